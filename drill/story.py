"""The drill's story as data: a series of situations, each with its expected result."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Expected(StrEnum):
    """The results that a situation can be expected to have."""

    QUIET = "no notice"
    NOTICE = "a notice"  # a notice begins, and its message is sent
    SILENT = "a silenced notice"  # its message is not sent, because the situation was announced
    RECOVERS = "recovers"  # the last verdict is ok, and no notice begins
    CANARY = "the canary fails"  # test questions get wrong answers, and no notice begins


@dataclass(frozen=True, slots=True)
class Situation:
    """Some hours of traffic.

    Changed predictions replace a share of the usual predictions. The share is `share[0]` at the
    beginning and `share[1]` at the end. The changed predictions have texts of the kind `kind`. If
    `version` is given, that version of the model makes the changed predictions. If `swapped`, the
    labels of the changed predictions are exchanged. `volume` multiplies the traffic. If
    `announced`, messages are silenced.
    """

    name: str
    hours: int
    expected: Expected
    kind: str = "usual"
    share: tuple[float, float] = (0.0, 0.0)
    volume: float = 1.0
    version: str = ""
    swapped: bool = False
    announced: bool = False


@dataclass(frozen=True, slots=True)
class Seen:
    """The result of a situation.

    `notices` counts the notices that began. `silenced` counts the notices whose message was
    silenced. `word` is the last verdict. `canary` has the canary's results. `hours` is the number
    of hours until the first notice. `title` is the title that the page shows at the end.
    """

    notices: int
    silenced: int
    word: str
    canary: tuple[str, ...]
    hours: float | None
    title: str = ""


BASELINE_DAYS: Final = 7
STORY: Final = (
    Situation("a quiet day", 24, Expected.QUIET),
    Situation("slow drift to headlines", 24, Expected.NOTICE, "headlines", (0.0, 0.6)),
    Situation("recovery", 14, Expected.RECOVERS),
    Situation("a new customer", 14, Expected.NOTICE, "customer", (0.25, 0.25)),
    Situation("recovery", 14, Expected.RECOVERS),
    Situation("an announced launch", 14, Expected.SILENT, "launch", (0.4, 0.4), 2, announced=True),
    Situation("recovery", 14, Expected.RECOVERS),
    Situation("truncated texts", 14, Expected.NOTICE, "truncated", (0.3, 0.3)),
    Situation("recovery", 14, Expected.RECOVERS),
    Situation("swapped labels", 14, Expected.CANARY, share=(1, 1), version="b", swapped=True),
    Situation("rolled back", 14, Expected.RECOVERS),
    Situation("a gradual rollout", 24, Expected.QUIET, share=(0.1, 1.0), version="c"),
)  # fmt: skip


def fulfilled(expected: Expected, seen: Seen) -> bool:
    """Return whether a situation ended as expected."""
    fails = "fail" in seen.canary
    match expected:
        case Expected.QUIET:
            return not seen.notices and not fails
        case Expected.NOTICE:
            return seen.notices > seen.silenced and not fails
        case Expected.SILENT:
            return seen.notices == seen.silenced > 0 and not fails
        case Expected.RECOVERS:
            return seen.word == "ok" and not seen.notices and not fails
        case Expected.CANARY:
            return fails and not seen.notices


def table(rows: Sequence[tuple[Situation, Seen]]) -> list[tuple[str, ...]]:
    """Return a row of the table for each situation."""
    return [
        (
            one.name,
            f"{one.hours} h",
            str(one.expected),
            _words(seen),
            seen.title,
            "yes" if fulfilled(one.expected, seen) else "NO",
        )
        for one, seen in rows
    ]


def _words(seen: Seen) -> str:
    notices = {0: "no notice", 1: "1 notice"}.get(seen.notices, f"{seen.notices} notices")
    after = f" after {seen.hours:.0f} h" if seen.hours is not None else ""
    silenced = f", {seen.silenced} silenced" if seen.silenced else ""
    canary = ", the canary fails" if "fail" in seen.canary else ""
    return f"{notices}{after}{silenced}, last verdict {seen.word}{canary}"
