"""`FalseAlarmDays` chooses a row of a measured table; there is no formula.

`dial.json` is written by `make bench-monitor`. A row promises the upper 95 % bound of the false
notices that were measured on traffic like the baseline's, in the worst of several kinds of it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

TABLE: Final = Path(__file__).with_name("dial.json")
DEFAULT_DAYS: Final = 90


@dataclass(frozen=True, slots=True)
class Row:
    """A window is unusual below `level`; `in_a_row` of them are a notice.

    Measured with baselines of `windows` windows: at most one false notice in `days` days of one
    stream.
    """

    windows: int
    level: float
    in_a_row: int
    days: float


@dataclass(frozen=True, slots=True)
class Choice:
    """The row that is used for one of `streams` streams, and whether it keeps the wanted promise."""

    row: Row
    asked: float
    streams: int

    @property
    def promised(self) -> float:
        """Days in which the whole stack has at most one false notice."""
        return self.row.days / self.streams

    @property
    def kept(self) -> bool:
        """Whether these are at least the days that were asked for."""
        return self.promised >= self.asked

    def sentence(self) -> str:
        """One sentence that states the promised rate of false alarms."""
        promise = f"At most one false notice in {self.promised:.0f} days"
        if self.kept:
            return f"{promise}, on traffic like the baseline's."
        return f"{promise}: no row of the table is strict enough for {self.asked:.0f} days and {self.streams} streams."


@cache
def rows() -> tuple[Row, ...]:
    """The measured rows."""
    content = json.loads(TABLE.read_text(encoding="utf-8"))
    return tuple(Row(r["windows"], r["level"], r["in_a_row"], r["days"]) for r in content["rows"])


def choose(
    windows: int,
    *,
    days: float = DEFAULT_DAYS,
    streams: int = 1,
    table: tuple[Row, ...] | None = None,
) -> Choice:
    """The loosest row that keeps `days` for all streams together, else the strictest one.

    The rows have several sizes of baseline. Those of the largest size that the baseline reaches are
    used, else those of the smallest.
    """
    table = table or rows()
    sizes = sorted({row.windows for row in table})
    size = max([s for s in sizes if s <= windows], default=sizes[0])
    of_size = [row for row in table if row.windows == size]
    enough = [row for row in of_size if row.days >= days * streams]
    loosest = min(enough, key=lambda row: (row.days, -row.level), default=None)
    return Choice(loosest or max(of_size, key=lambda row: (row.days, row.level)), days, streams)
