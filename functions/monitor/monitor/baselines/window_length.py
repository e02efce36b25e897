"""Chooses the length of windows, and decides whether a baseline is armed.

Only an armed baseline can lead to notices.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from monitor.statistics import means_chart
from monitor.summaries.summary import Summary
from monitor.summaries.windows import DAY, HOUR, cut, stack

WINDOWS: Final = 72  # a baseline with fewer windows is provisional
# If similar rows arrive in bursts, n rows are worth only n / `deff` independent rows (`deff` is the
# design effect). A window should be worth this many independent rows, because the rates of false
# notices (false_alarm_table.py) were measured with such windows.
INDEPENDENT: Final = 150
# Up to this deff, rows count as independent. A window of `LEAST` rows is then enough.
ALIKE: Final = 1.25
LEAST: Final = 100
SIZES: Final = (100, 200, 400, 800, 1600, 3200, 6400, 12800)  # rows of a window


@dataclass(frozen=True, slots=True)
class Plan:
    """A plan: each window has at least `rows` predictions in at most `longest` seconds.

    `windows` is the number of windows in the days for which the plan was made. A baseline of these
    windows is `armed` if there are at least 72, each worth 150 independent rows. `deff` is the
    design effect. `days` is the number of days in which the same traffic gives 72 windows.
    """

    rows: int
    longest: int
    windows: int
    deff: float
    armed: bool
    days: float

    def sentence(self) -> str:
        """Return a sentence: the baseline is armed, or it needs this number of days."""
        if self.armed:
            return (
                f"Armed: {self.windows} windows. Each window has at least {self.rows} predictions"
                " and lasts at least one hour."
            )
        return (
            f"Provisional: notices need 72 windows of {self.rows} predictions, which take"
            f" {self.days:.0f} days of this traffic."
        )


def worth_a_window(rows: float, deff: float) -> bool:
    """Return whether a window of `rows` predictions has enough of them to be judged reliably."""
    return rows / deff >= INDEPENDENT or (deff <= ALIKE and rows >= LEAST)


def plan(slots: Sequence[Summary]) -> Plan:
    """Plan the shortest windows that have enough predictions for a reliable judgement.

    `slots` are summaries of 15 minutes each, all of one version. The time from the first slot to
    the last slot is rounded up to whole days. At first, a window may last 1/72 of this time, or
    an hour if 1/72 is less than an hour. If such windows are too small, a window may last up to a
    day, and the baseline is not armed. If windows of a day are too small as well, the plan's size
    is an estimate from the last `deff` that could be measured. Raises `ValueError` if the slots
    have no predictions.
    """
    if not sum(s.rows for s in slots):
        raise ValueError("there is no slot with predictions in these days")
    start, end = min(s.start for s in slots), max(s.end for s in slots)
    span = max(1, -(-(end - start) // DAY))
    longest = max(HOUR, round(span * DAY / WINDOWS))
    a_day = sum(s.rows for s in slots) / ((end - start) / DAY)
    deff, rows, count = _shortest(slots, longest)
    if rows:
        size = sum(s.rows for s in cut(slots, rows=rows, at_most=longest).full) / count
        days = WINDOWS * size / a_day
        return Plan(rows, longest, count, deff, armed=count >= WINDOWS, days=days)
    deff, rows, count = _shortest(slots, DAY, deff)
    if not rows:
        rows = LEAST if deff <= ALIKE else round(INDEPENDENT * deff)
        count = len(cut(slots, rows=rows, at_most=DAY).full)
    return Plan(rows, DAY, count, deff, armed=False, days=WINDOWS * rows / a_day)


def _shortest(slots: Sequence[Summary], longest: int, deff: float = 1.0) -> tuple[float, int, int]:
    """Return the design effect, the smallest sufficient window size, and the number of windows.

    The size is in rows. If no size suffices, size and number are 0. The design effect is the last
    one that could be measured, or `deff` if none could be measured.
    """
    for rows in SIZES:
        windows = cut(slots, rows=rows, at_most=longest).full
        if len(windows) < 3:
            break
        arrays = stack(windows)
        labels = arrays.labels
        label = labels.names[int(labels.counts.sum(axis=0).argmax())] if labels.names else None
        chart, _ = means_chart.fit(arrays, means_chart.component_names(label))
        deff = chart.deff if chart else deff
        if worth_a_window(float(arrays.rows.mean()), deff):
            return deff, rows, len(windows)
    return deff, 0, 0
