"""Chooses how strictly windows are judged, for the setting `FalseAlarmDays`.

A stream is the predictions of one model in one log group. A window is a group of successive
predictions of a stream. A notice is a verdict that several windows in a row are unusual.

The choice is a row of the table `false_alarm_table.json`, which `make bench-monitor` writes. Each
row promises a rate of false notices. The rate was measured on several kinds of traffic without
drift, and the promise is the upper 95 % bound of the rate on the worst of these kinds.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

TABLE: Final = Path(__file__).with_name("false_alarm_table.json")
DEFAULT_DAYS: Final = 90


@dataclass(frozen=True, slots=True)
class Row:
    """A row of the table.

    With a lower `level`, fewer windows are unusual. A notice needs `in_a_row` consecutive unusual
    windows. With a baseline of `windows` windows, one stream then has at most one false notice in
    `days` days.
    """

    windows: int
    level: float
    in_a_row: int
    days: float


@dataclass(frozen=True, slots=True)
class Choice:
    """The row that is used when `streams` streams are judged.

    `asked` is a number of days: the user allows at most one false notice in this time.
    """

    row: Row
    asked: float
    streams: int

    @property
    def promised(self) -> float:
        """The number of days in which the whole stack has at most one false notice."""
        return self.row.days / self.streams

    @property
    def kept(self) -> bool:
        """Whether the promised days are at least the days that were asked for."""
        return self.promised >= self.asked

    def sentence(self) -> str:
        """Return one sentence that states the promised rate of false notices."""
        promise = f"At most one false notice in {self.promised:.0f} days"
        if self.kept:
            return f"{promise}, on traffic like the traffic of the baseline."
        return (
            f"{promise}: no row of the table is strict enough for {self.asked:.0f} days and"
            f" {self.streams} streams."
        )


@cache
def rows() -> tuple[Row, ...]:
    """Return the measured rows."""
    content = json.loads(TABLE.read_text(encoding="utf-8"))
    return tuple(Row(r["windows"], r["level"], r["in_a_row"], r["days"]) for r in content["rows"])


def choose(
    windows: int,
    *,
    days: float = DEFAULT_DAYS,
    streams: int = 1,
    table: tuple[Row, ...] | None = None,
) -> Choice:
    """Choose the row for the setting: at most one false notice in `days` days.

    The false notices of all streams count together. If several rows promise this rate, the least
    strict row is chosen (the smallest `Row.days`). If no row promises this rate, the strictest row
    is chosen (the largest `Row.days`). Only the rows for one size of baseline are considered.
    This is the largest size in the table that is not above `windows`. If all sizes are above
    `windows`, it is the smallest size.
    """
    table = table or rows()
    sizes = sorted({row.windows for row in table})
    size = max([s for s in sizes if s <= windows], default=sizes[0])
    of_size = [row for row in table if row.windows == size]
    enough = [row for row in of_size if row.days >= days * streams]
    loosest = min(enough, key=lambda row: (row.days, -row.level), default=None)
    return Choice(loosest or max(of_size, key=lambda row: (row.days, row.level)), days, streams)
