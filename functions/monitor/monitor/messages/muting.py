"""Silences: periods without messages.

A person mutes messages for a time, or announces a time of unusual traffic. During a silence,
windows are judged and shown in charts as usual. If a notice (several unusual windows in a row)
lasts longer than the silence, its message is sent when the silence ends.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Self


class Kind(StrEnum):
    """The kind of a decision about messages.

    `mute` and `expect` (announced traffic) begin a silence. `unmute` ends silences early.
    """

    MUTE = "mute"
    EXPECT = "expect"
    UNMUTE = "unmute"


@dataclass(frozen=True, slots=True)
class Silence:
    """A person's decision about messages.

    The silence includes `start` but not `end`. `decided` is the time of the decision. All three are
    in seconds since 1970. An `unmute` ends every silence that was decided before it. The `start`
    and the `end` of an `unmute` are the time of its decision.
    """

    kind: Kind
    start: int
    end: int
    by: str
    reason: str
    decided: int

    @classmethod
    def read(cls, document: Mapping[str, Any]) -> Self:
        """Read a silence from its document in the store."""
        start, end, decided = (int(document[name]) for name in ("start", "end", "decided"))
        said = (str(document["by"]), str(document["reason"]))
        return cls(Kind(document["action"]), start, end, *said, decided)

    def document(self) -> dict[str, Any]:
        """Return the document that `read` reads."""
        return {
            "action": self.kind,
            "start": self.start,
            "end": self.end,
            "by": self.by,
            "reason": self.reason,
            "decided": self.decided,
        }

    def covers(self, start: float, end: float, now: float) -> bool:
        """Return whether `now` or a part of the window from `start` to `end` is in the silence."""
        return self.start <= now < self.end or (start < self.end and end > self.start)


def silencing(silences: Iterable[Silence], start: float, end: float, now: float) -> Silence | None:
    """Return the silence that covers a window judged at `now`, or None.

    If several silences cover the window, the silence that ends last is returned.
    """
    held = [s for s in _not_lifted(silences) if s.covers(start, end, now)]
    return max(held, key=lambda s: s.end, default=None)


def in_force(silences: Iterable[Silence], now: float) -> list[Silence]:
    """Return the silences that an `unmute` at `now` would end: present and future silences."""
    return [s for s in _not_lifted(silences) if s.end > now]


def _not_lifted(silences: Iterable[Silence]) -> list[Silence]:
    ordered = sorted(silences, key=lambda s: s.decided)
    lifted = max((s.decided for s in ordered if s.kind is Kind.UNMUTE), default=-1)
    return [s for s in ordered if s.kind is not Kind.UNMUTE and s.decided > lifted]
