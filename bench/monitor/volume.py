"""Measures the monitor with several volumes of traffic, from 50 to 1,000,000 predictions a day.

Three things are measured: whether a baseline is armed, the delay of a notice, and which drifts are
detected. A baseline is armed if it has enough windows for notices to be sent.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

import numpy as np

from bench.monitor import traffic
from bench.monitor.drift import BURSTS
from bench.monitor.false_alarms import STREAM, Tick
from bench.monitor.traffic import MONDAY, Chance, Index, Table
from monitor.baselines import baseline
from monitor.baselines.baseline import Baseline
from monitor.baselines.detectable_drift import smallest_effect
from monitor.baselines.window_length import Plan, plan
from monitor.judgement import false_alarm_table
from monitor.judgement.judge_windows import judge
from monitor.summaries.summary import SLOT, Moments, Summary
from monitor.summaries.windows import DAY, Windows, cut, stack

A_DAY: Final = (50, 200, 1_000, 10_000, 1_000_000)
DRIFTS: Final = ("1 word in 10 misspelt", "foreign 10 %", "shuffled 20 %", "junk 5 %")
TESTED: Final = 20  # windows that are judged for each drift


def summaries(windows: Windows) -> list[Summary]:
    """Return the summary of each window."""
    return [
        Summary(
            STREAM,
            "1",
            int(windows.start[at]),
            int(windows.end[at] - windows.start[at]),
            "1",
            int(windows.rows[at]),
            {
                n: Moments(int(m[at, 0]), float(m[at, 1]), float(m[at, 2]))
                for n, m in windows.moments.items()
            },
            {
                n: {int(c): int(b[at, c]) for c in np.flatnonzero(b[at])}
                for n, b in windows.bins.items()
            },
            _named(windows.labels, at),
            _named(windows.flags, at),
            _named(windows.scripts, at),
            int(windows.unknown[at]),
            windows.hashes[at],
            int(windows.distinct[at]),
        )
        for at in range(len(windows))
    ]


def slots(source: Table, rows: Index, a_day: int) -> list[Summary]:
    """Divide rows among slots of 15 minutes, at `a_day` rows a day. Returns a summary per slot."""
    every = max(1, round(96 / a_day)) * SLOT  # seconds between two slots with rows
    each = max(1, a_day * every // DAY)
    count = len(rows) // each
    arrays = traffic.windows(source, rows[: count * each].reshape(count, each))
    found = summaries(arrays)
    return [replace(s, start=int(MONDAY) + at * every, seconds=SLOT) for at, s in enumerate(found)]


def volume(source: Table, made: Callable[[int, Chance], Index], tick: Tick) -> list[dict[str, Any]]:
    """Measure the monitor at each number of predictions a day in `A_DAY`.

    Each number is measured with a baseline of 7 days, and each number up to 10,000 is also measured
    with a baseline of 30 days.

    The result has the planned windows, the smallest effect size δ that is detected, and the share
    of windows in which each drift is detected. `made(count, chance)` returns `count` rows of
    traffic.
    """
    found = []
    for a_day in A_DAY:
        for days in (7, 30) if a_day <= 10_000 else (7,):
            chance = np.random.default_rng([53, a_day, days])
            kept = slots(source, made(a_day * days, chance), a_day)
            planned = plan(kept)
            says = _says(planned)
            if planned.armed:
                full = cut(kept, rows=planned.rows, at_most=planned.longest).full
                reference = baseline.fit_windows(stack(full), STREAM, "1", "1")
                size = round(reference.rows_a_window)
                says |= _promised(reference, planned, a_day)
                says |= _found(
                    source, reference, made(TESTED * size, chance).reshape(TESTED, size), chance
                )
            found.append({"a_day": a_day, "days": days} | says)
            tick()
    return found


def _says(planned: Plan) -> dict[str, Any]:
    return {
        "armed": planned.armed,
        "says": planned.sentence(),
        "rows": planned.rows,
        "windows": planned.windows,
        "deff": round(planned.deff, 2),
        "days_needed": round(planned.days, 1),
    }


def _promised(reference: Baseline, planned: Plan, a_day: int) -> dict[str, Any]:
    """Return the delay of a notice and the smallest δ that is detected, both by calculation."""
    row, size = false_alarm_table.choose(planned.windows).row, reference.rows_a_window
    assert reference.means
    smallest = smallest_effect(
        components=len(reference.means.names),
        windows=planned.windows,
        rows=size,
        deff=planned.deff,
        level=row.level,
    )
    return {
        "hours_to_notice": round(row.in_a_row * max(1.0, size / a_day * 24), 1),
        "smallest_effect": round(smallest, 2),
    }


def _found(source: Table, reference: Baseline, rows: Index, chance: Chance) -> dict[str, float]:
    """Return, for each drift, the share of windows in which it is detected."""
    level = false_alarm_table.choose(reference.windows).row.level
    return {
        name: round(
            float(
                judge(traffic.windows(source, BURSTS[name](source, rows, "ewt", chance)), reference)
                .unusual(level)
                .mean()
            ),
            2,
        )
        for name in DRIFTS
    }


def _named(tally: Any, at: int) -> dict[str, int]:
    return {
        name: int(count) for name, count in zip(tally.names, tally.counts[at], strict=True) if count
    }
