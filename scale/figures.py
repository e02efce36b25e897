"""The measured and the assumed figures that docs/scale.md uses, each with its source."""

from __future__ import annotations

import json
from bisect import bisect_left
from collections.abc import Mapping
from typing import Final

from tools.root import ROOT

RESULTS: Final = ROOT / "bench" / "results.json"
# The names of rows in `RESULTS`, by the number of records in a payload. Only one value of a row is
# used: the handler's processor time per record. (A row also compares the handler with another
# program, the floor.)
ROWS: Final = {
    1: "an invocation, 1 record: handler / floor",
    5: "an invocation, 5 records: handler / floor",
    20: "an invocation, 20 records: handler / floor",
    100: "an invocation, 100 records: handler / floor",
    1_000: "1,000 records: handler / floor",
}

# --- measured
# The bytes of a payload, by the number of its prediction records. The payload has the records of
# `make bench`, compressed as CloudWatch does it (gzip, level 6).
PAYLOAD_BYTES: Final = {1: 718, 5: 1_572, 20: 4_505, 100: 19_303, 1_000: 184_535}
# The processor time that OpenSearch 3.8 needs to index a record, measured by `make outage`. The
# JVM of the measured node had 512 MB and used only its first, weaker compiler. A domain needs less
# time.
INDEX_MICROSECONDS: Final = 276

# --- assumed
DOMAIN_MS: Final = 50  # the time in which a domain answers a request, without the indexing
# The share of a domain's processors that may be busy with indexing. The rest is for searches and
# merges.
BUSY: Final = 0.5

# --- about Lambda
# https://docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html, as quoted in 2026
PROCESSOR_MB: Final = 1_769  # a function with this memory has one processor

# --- about the domain
# For each instance type: the number of processors, and the largest gp3 disk in GiB.
# https://docs.aws.amazon.com/opensearch-service/latest/developerguide/supported-instance-types.html
# and limits.html of the same guide, as quoted by an OpenSearch calculator. The template allows only
# smaller disks for the last type.
INSTANCES: Final = {
    "t3.small.search": (2, 100),
    "r8g.large.search": (2, 1_532),
    "r8g.xlarge.search": (4, 3_072),
    "r8g.2xlarge.search": (8, 6_144),
}


def between(known: Mapping[int, float], at: float) -> float:
    """Return the value at `at` by linear interpolation, or extrapolation beyond the last point.

    `known` has the values of the known points.
    """
    points = sorted(known)
    place = min(max(bisect_left(points, at), 1), len(points) - 1)
    left, right = points[place - 1], points[place]
    slope = (known[right] - known[left]) / (right - left)
    return known[left] + slope * (at - left)


def processor_microseconds() -> dict[int, float]:
    """Return the processor time of an invocation, by the number of lines in its payload.

    It was measured by `make bench`. A processor of the measured machine counts as a processor of
    Lambda.
    """
    rows = {
        row["name"]: row["value"] for row in json.loads(RESULTS.read_text(encoding="utf-8"))["rows"]
    }
    return {lines: rows[name] * lines for lines, name in ROWS.items()}
