"""Measures false alarms of the monitor.

A first measurement gives the rows of false_alarm_table.json. A second measurement tests the chosen
row on other documents.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from bench.monitor import traffic
from bench.monitor.traffic import DAY_ROWS, MONDAY, Chance, Index, Pool, Table
from monitor.baselines import baseline
from monitor.baselines.baseline import Baseline
from monitor.judgement.judge_windows import Judgement, judge
from monitor.judgement.verdict import begins
from monitor.statistics import tail_probabilities
from monitor.summaries.summary import Stream
from monitor.summaries.windows import DAY, Windows

Days = Callable[[int, Chance], Index]
Tick = Callable[[], None]

STREAM: Final = Stream("bench", "bench", "bench")
WINDOW: Final = 800
LEVELS: Final = (0.02, 0.01, 0.005, 0.002, 0.001)
IN_A_ROW: Final = (2, 3)
# The number of consecutive unusual windows that begin a notice. It is the same in every row of
# false_alarm_table.json. With two windows, the rate of false notices could be equally low, but new
# sources of traffic would give about three times as many notices.
USED: Final = 3
# Sizes of baseline: each key is a number of windows, and its value is the number of days from which
# they are taken. A window has 800 rows, and a day has 19,200. Seven days of real traffic often have
# fewer than 168 windows, because a quiet hour has too few rows for a window.
BASELINES: Final = {168: 7, 150: 7, 72: 3}
TEST_DAYS: Final = 30
SURE: Final = 0.05  # the probability that the true mean is above the upper bound


@dataclass(frozen=True, slots=True)
class Draw:
    """Baselines of several sizes. The same windows are judged with each baseline.

    The keys are the sizes. `windows` are the judged windows, of the 30 days after the baselines.
    """

    baselines: dict[int, Baseline]
    judgements: dict[int, Judgement]
    windows: Windows


def fitted(source: Table, rows: Index, *, size: int = WINDOW, start: float = MONDAY) -> Baseline:
    """Fit a baseline to these rows."""
    return baseline.fit_windows(
        traffic.windows(source, rows.reshape(-1, size), start=start), STREAM, "1", "1"
    )


def draw(
    source: Table,
    made: Days,
    chance: Chance,
    sizes: Mapping[int, int],
    *,
    tested: Days | None = None,
    size: int = WINDOW,
) -> Draw:
    """Draw traffic, fit baselines of several sizes, and judge the test days.

    `made` makes the traffic. If `tested` is given, `tested` makes the traffic of the test days
    instead. Each baseline covers the last days before the test days.
    """
    days = max(sizes.values())
    before, after = made(days, chance), (tested or made)(TEST_DAYS, chance)
    windows = traffic.windows(
        source, after.reshape(-1, size), start=MONDAY + days * DAY, squares=False
    )
    fits = {
        count: fitted(
            source,
            before[-some * DAY_ROWS :][: count * size],
            size=size,
            start=MONDAY + (days - some) * DAY,
        )
        for count, some in sizes.items()
    }
    return Draw(fits, {count: judge(windows, fit) for count, fit in fits.items()}, windows)


def upper_bound(counts: Sequence[int]) -> float:
    """Return the one-sided 95 % upper bound of the mean of these counts.

    The counts are assumed to have a Poisson distribution. If the counts vary more than this
    distribution does, the bound is higher.
    """
    total, number = sum(counts), len(counts)
    wider = (
        max(1.0, float(np.var(counts, ddof=1)) / max(total / number, 1e-9))
        if total and number > 1
        else 1.0
    )
    seen, low, high = total / wider, 0.0, 10.0 + 3 * total
    for _ in range(80):
        middle = (low + high) / 2
        # the function is P(X <= seen) for a Poisson distribution with the mean `middle`
        low, high = (
            (middle, high)
            if float(tail_probabilities.gamma_upper(seen + 1, middle)) > SURE
            else (low, middle)
        )
    return high * wider / number


def kinds(of: Pool, nights: Pool) -> dict[str, Days]:
    """Return the kinds of traffic on which the false-alarm table is measured."""
    return {
        "bursts": traffic.steady(of),
        "genres change by hour, ± 30 %": traffic.by_hour(of, 0.3),
        "genres change by hour, ± 60 %": traffic.by_hour(of, 0.6),
        "another language by night": traffic.by_night(of, nights),
    }


def rows_of(kind: str, draws: Mapping[int, list[Judgement]]) -> Iterator[dict[str, Any]]:
    """Yield figures for each size of baseline, each level, and each number of windows in a row."""
    for windows, judgements in draws.items():
        for level in LEVELS:
            unusual = [j.unusual(level) for j in judgements]
            share = float(np.mean([u.mean() for u in unusual]))
            for in_a_row in IN_A_ROW:
                notices = [len(begins(u.tolist(), in_a_row=in_a_row)) for u in unusual]
                yield {
                    "traffic": kind,
                    "windows": windows,
                    "level": level,
                    "in_a_row": in_a_row,
                    "draws": len(notices),
                    "false_windows": round(share, 5),
                    "notices_in_30_days": round(float(np.mean(notices)), 4),
                    "most": max(notices),
                    "upper_bound": round(upper_bound(notices), 5),
                }


def measured(
    source: Table, of: Mapping[str, Days], draws: int, seed: int, tick: Tick, **given: Any
) -> list[dict[str, Any]]:
    """Measure each kind of traffic, and return the rows of figures."""
    found: list[dict[str, Any]] = []
    sizes = given.pop("sizes", BASELINES)
    for number, (kind, made) in enumerate(of.items()):
        judgements: dict[int, list[Judgement]] = {count: [] for count in sizes}
        for at in range(draws):
            one = draw(source, made, np.random.default_rng([seed, number, at]), sizes, **given)
            for count, judgement in one.judgements.items():
                judgements[count].append(judgement)
            tick()
        found += rows_of(kind, judgements)
    return found


def chosen(
    figures: Sequence[Mapping[str, Any]], *, false_windows: float = 0.01
) -> list[dict[str, Any]]:
    """Choose the rows of the false-alarm table.

    The figures for each size and level are those of the worst kind of traffic. Rows with too many
    false windows are left out.
    """
    found = []
    for windows in sorted({f["windows"] for f in figures}):
        for level in LEVELS:
            same = [
                f
                for f in figures
                if (f["windows"], f["level"], f["in_a_row"]) == (windows, level, USED)
            ]
            if max(f["false_windows"] for f in same) <= false_windows:
                worst = max(f["upper_bound"] for f in same)
                found.append(
                    {
                        "windows": windows,
                        "level": level,
                        "in_a_row": USED,
                        "days": round(TEST_DAYS / worst),
                    }
                )
    return found
