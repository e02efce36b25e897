"""Measures how long the monitor takes to accept a baseline, and to judge a window.

The summaries of predictions exist already, so reading predictions is not measured.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from time import perf_counter
from typing import Final

import numpy as np

from bench.monitor import traffic
from bench.monitor.false_alarms import Days
from bench.monitor.traffic import DAY_ROWS, MONDAY, Chance, Table
from bench.monitor.volume import summaries
from monitor.baselines import baseline
from monitor.baselines.window_length import plan
from monitor.judgement.judge_windows import judge
from monitor.summaries.summary import SLOT, Moments, Summary, from_document, to_document
from monitor.summaries.windows import cut, stack

LARGE: Final = 20_000_000  # predictions a day
# A day of 20 million rows (predictions) is imitated in two steps. First, each slot (a quarter of an
# hour) gets ten times (`FULLER`) the usual number of rows. These rows fill as many bins of the
# histograms as 20 million rows a day would fill. Then each row is counted several times, so that a
# day has 20 million rows.
FULLER: Final = 10


def cost(source: Table, made: Days, chance: Chance) -> dict[str, float]:
    """Measure the time of accepting a baseline and of a run of the monitor, in seconds.

    The baseline has 7 days of 20 million predictions a day. The run judges two hours. The result
    also has the sizes of the largest summary and of the baseline, in kilobytes.
    """
    slots = np.concatenate([made(7, chance) for _ in range(FULLER)]).reshape(
        -1, FULLER * DAY_ROWS // 96
    )
    kept = summaries(traffic.windows(source, slots, start=MONDAY))
    kept = [replace(s, start=int(MONDAY) + at * SLOT, seconds=SLOT) for at, s in enumerate(kept)]
    times = LARGE // (FULLER * DAY_ROWS)
    large = [json.dumps(to_document(_times(s, times))) for s in kept]
    started = perf_counter()
    read = [from_document(json.loads(line)) for line in large]
    planned = plan(read)
    full = cut(read, rows=planned.rows, at_most=planned.longest).full
    accepted = baseline.fit(full)
    accepting = perf_counter() - started
    document = json.dumps(baseline.to_document(accepted))
    started = perf_counter()
    again = baseline.from_document(json.loads(document))
    window = cut([from_document(json.loads(line)) for line in large[-8:]], rows=planned.rows).full
    judge(stack(window), again)
    return {
        "accept_seconds": round(accepting, 2),
        "run_seconds": round(perf_counter() - started, 3),
        "summary_kilobytes": round(max(map(len, large)) / 1024, 1),
        "baseline_kilobytes": round(len(document) / 1024, 1),
    }


def _times(summary: Summary, number: int) -> Summary:
    """Return the slot with each row counted `number` times."""
    return replace(
        summary,
        rows=summary.rows * number,
        moments={
            n: Moments(m.count * number, m.total * number, m.squares * number)
            for n, m in summary.moments.items()
        },
        bins={n: _more(codes, number) for n, codes in summary.bins.items()},
        labels=_more(summary.labels, number),
        flags=_more(summary.flags, number),
        scripts=_more(summary.scripts, number),
        hashes=_more(summary.hashes, number),
        unknown=summary.unknown * number,
        distinct=summary.distinct * number,
    )


def _more[K](counts: Mapping[K, int], number: int) -> dict[K, int]:
    return {key: count * number for key, count in counts.items()}
