"""Decides the verdict on a stream from the judgements of its last windows."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from enum import StrEnum

from monitor.baselines.baseline import Baseline
from monitor.judgement.judge_windows import Judgement, Signal
from monitor.summaries.windows import DAY


class Verdict(StrEnum):
    """The verdict on a stream's last window."""

    OK = "ok"
    UNUSUAL = "unusual"  # the last window is unusual, but this is not enough for a notice
    NOTICE = "notice"  # enough windows in a row are unusual: a person should look
    INSUFFICIENT = "insufficient"  # too few predictions for a window
    PROVISIONAL = "provisional"  # judged, but the baseline is too small to be relied on
    STALE = "stale"  # nothing new to judge


def decide(unusual: Sequence[bool], *, in_a_row: int, armed: bool) -> Verdict:
    """Return the verdict on the last of several consecutive windows.

    `unusual` has one entry for each window: whether the window is unusual. All windows are judged
    against one baseline. A notice needs a baseline that is `armed` (large enough for notices), and
    at least `in_a_row` unusual windows at the end of `unusual`.
    """
    if not unusual:
        return Verdict.INSUFFICIENT
    if not armed:
        return Verdict.PROVISIONAL
    if len(unusual) >= in_a_row and all(unusual[-in_a_row:]):
        return Verdict.NOTICE
    return Verdict.UNUSUAL if unusual[-1] else Verdict.OK


def begins(unusual: Sequence[bool], *, in_a_row: int) -> list[int]:
    """Return the positions of the windows with which a notice begins.

    In each unbroken series of unusual windows, the notice begins with window number `in_a_row`,
    counted from 1.
    """
    found, run = [], 0
    for at, one in enumerate(unusual):
        run = run + 1 if one else 0
        if run == in_a_row:
            found.append(at)
    return found


def stale(last_end: float, now: float) -> bool:
    """Return whether the last full window ended a day ago or earlier."""
    return now - last_end >= DAY


def other_weekdays(baseline: Baseline, start: float) -> bool:
    """Return whether a window begins on a weekday that the baseline does not cover.

    If so, the verdict on the window is only information, and never a notice.
    """
    return datetime.fromtimestamp(start, UTC).weekday() not in baseline.weekdays


def sentence(
    judgement: Judgement, window: int, level: float, *, reference: str = "the baseline"
) -> str:
    """Return a sentence about the unusual signal with the smallest p.

    If no signal is unusual, the sentence says so.
    """
    signal = judgement.leading(window, level)
    if signal is None:
        return "No signal is unusual."
    part, value, expected = signal.part[window], signal.value[window], signal.expected[window]
    return f"{_subject(signal, part)} {_number(value)}; in {reference} {_number(expected)}."


def _subject(signal: Signal, part: str) -> str:
    match signal.name:
        case "means":
            return f"The mean of {part} is"
        case "label":
            return f"The share of the label {part} is"
        case "strange":
            return f"The share of strange values of {part} is"
        case "flags":
            return f"The share of rows with {part} is"
        case "duplicates":
            return f"The rise in the share of predictions with the same text (hash {part}) is"
        case _:
            return f"The share of rows with {signal.name} in {part} is"


def _number(value: float) -> str:
    return f"{value:.3g}"
