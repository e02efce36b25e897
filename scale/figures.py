"""The measured and assumed figures of docs/scale.md, each with its source."""

from __future__ import annotations

import json
from bisect import bisect_left
from collections.abc import Mapping
from typing import Final

from tools.root import ROOT

RESULTS: Final = ROOT / "bench" / "results.json"
ROWS: Final = {
    1: "an invocation, 1 record: handler / floor",
    5: "an invocation, 5 records: handler / floor",
    20: "an invocation, 20 records: handler / floor",
    100: "an invocation, 100 records: handler / floor",
    1_000: "1,000 records: handler / floor",
}

# --- measured
# The bytes of a payload with so many prediction records, as CloudWatch compresses it (gzip, level
# 6), with the records of `make bench`.
PAYLOAD_BYTES: Final = {1: 718, 5: 1_572, 20: 4_505, 100: 19_303, 1_000: 184_535}
# The processor time with which OpenSearch 3.8 indexes a record, by `make outage`. That node's JVM
# has 512 MB and only its first compiler, so a domain needs less.
INDEX_MICROSECONDS: Final = 276

# --- assumed
DOMAIN_MS: Final = 50  # that the domain answers a request, apart from indexing; as in cost/
BUSY: Final = 0.5  # of a domain's processors, so that searches and merges have the rest

# --- about Lambda
# https://docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html, as quoted in 2026
PROCESSOR_MB: Final = 1_769  # of memory give a function one processor

# --- about the domain
# https://docs.aws.amazon.com/opensearch-service/latest/developerguide/supported-instance-types.html
# and limits.html of the same guide, as quoted by an OpenSearch calculator: processors, and the most
# GiB of gp3. The template's own limit for a disk is lower for the last type.
INSTANCES: Final = {
    "t3.small.search": (2, 100),
    "r8g.large.search": (2, 1_532),
    "r8g.xlarge.search": (4, 3_072),
    "r8g.2xlarge.search": (8, 6_144),
}


def between(known: Mapping[int, float], at: float) -> float:
    """Return the value at `at`, on straight lines between the known points and beyond the last."""
    points = sorted(known)
    place = min(max(bisect_left(points, at), 1), len(points) - 1)
    left, right = points[place - 1], points[place]
    slope = (known[right] - known[left]) / (right - left)
    return known[left] + slope * (at - left)


def processor_microseconds() -> dict[int, float]:
    """Return the processor time of an invocation by the lines of its payload, from `make bench`.

    One processor of the machine that measured counts as one of Lambda.
    """
    rows = {
        row["name"]: row["value"] for row in json.loads(RESULTS.read_text(encoding="utf-8"))["rows"]
    }
    return {lines: rows[name] * lines for lines, name in ROWS.items()}
