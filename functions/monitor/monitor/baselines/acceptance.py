"""Evaluates a proposed baseline and collects the reasons against it.

All functions are pure functions of slots. A slot is the summary of 15 minutes of predictions. A
window is the predictions that are judged together. A notice means that several windows in a row are
unusual.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from typing import Final

from monitor.baselines import baseline as accepted
from monitor.baselines.baseline import TooFewWindows
from monitor.baselines.detectable_drift import smallest_effect
from monitor.baselines.window_length import WINDOWS, Plan, plan
from monitor.judgement import false_alarm_table
from monitor.judgement.false_alarm_table import Choice
from monitor.judgement.judge_stream import Accepted, Finding, Reference, State, follow
from monitor.judgement.verdict import Verdict
from monitor.summaries.summary import SLOT, Summary
from monitor.summaries.windows import DAY, HOUR, cut, moment

GAP: Final = 2 * SLOT  # seconds: a shorter time without predictions is no gap
# If slots have at least this many predictions on average, an empty slot is unlikely to be chance.
ENOUGH: Final = 100


@dataclass(frozen=True, slots=True)
class Proposal:
    """A proposed baseline, the plan of its windows, and the reasons against accepting it."""

    accepted: Accepted
    plan: Plan
    against: tuple[str, ...]


def propose(
    number: int,
    slots: Sequence[Summary],
    start: int,
    end: int,
    *,
    current: Accepted | None,
    choice: Choice,
) -> Proposal:
    """Propose a baseline that is made from the slots between `start` and `end`.

    The times are in seconds since 1970. A reason against the proposal is, for example, that the
    baseline `current` gives a notice in these slots. Raises `TooFewWindows`.
    """
    inside = [slot for slot in slots if start <= slot.start < end and slot.rows]
    if not inside:
        raise TooFewWindows("these days have no predictions")
    versions = sorted({(slot.version, slot.profile) for slot in inside})
    rows = {v: sum(s.rows for s in inside if (s.version, s.profile) == v) for v in versions}
    main = max(versions, key=lambda v: rows[v])
    of_main = [slot for slot in inside if (slot.version, slot.profile) == main]
    planned = plan(of_main)
    full = cut(of_main, rows=planned.rows, at_most=planned.longest).full
    if len(full) < accepted.LEAST:
        raise TooFewWindows(_too_few(rows[main], len(full), planned))
    new = Accepted.of(number, accepted.fit(full), planned)
    against = []
    if len(versions) > 1:
        names = ", ".join(version or "none" for version, _ in versions)
        against.append(f"More than one version answered ({names}): give days of one version.")
    against += gaps(of_main, start, end)
    if not planned.armed:
        against.append(new.sentence)
    against += _noticed(inside, current, choice, end)
    return Proposal(new, planned, tuple(against))


def grown(
    current: Accepted, number: int, slots: Sequence[Summary], end: int, *, choice: Choice
) -> tuple[Accepted, str]:
    """Add the days until `end` to a provisional baseline, which has too few windows for notices.

    The days are added without asking a person, so there must be no reason against them. Returns the
    larger baseline, which gets the number `number`, and an empty text. If there is a reason against
    the days, returns the current baseline and this reason.
    """
    start = current.baseline.start // DAY * DAY
    try:
        proposal = propose(number, slots, start, end, current=current, choice=choice)
    except TooFewWindows as problem:
        return current, f"{problem}."
    others = [reason for reason in proposal.against if reason != proposal.accepted.sentence]
    return (current, others[0]) if others else (proposal.accepted, "")


def _too_few(rows: int, windows: int, planned: Plan) -> str:
    return (
        f"a baseline needs at least {accepted.LEAST} windows, but the days for this baseline"
        f" have only {windows}. A window needs {planned.rows} predictions within"
        f" {planned.longest / HOUR:.3g} h. The days have {rows:,} predictions in all. A baseline"
        f" that gives notices needs {WINDOWS} windows, about"
        f" {ceil(planned.days)} days of this traffic"
    )


def gaps(slots: Sequence[Summary], start: int, end: int) -> list[str]:
    """Return a sentence for each unexplained time without predictions.

    There are two explanations. If slots have fewer than 100 predictions on average, an empty slot
    may be chance. If an hour is empty on most days, this is part of the daily cycle.
    """
    there = {slot.start for slot in slots}
    if not there or sum(slot.rows for slot in slots) / len(there) < ENOUGH:
        return []
    days = max(1, (end - start) // DAY)
    found: list[tuple[int, int]] = []
    for at in range(start, end, SLOT):
        usual = sum((at + shift * DAY) in there for shift in range(-days, days + 1)) > days / 2
        if at not in there and usual:
            if found and found[-1][1] == at:
                found[-1] = (found[-1][0], at + SLOT)
            else:
                found.append((at, at + SLOT))
    return [f"No predictions from {moment(a)} until {moment(b)}." for a, b in found if b - a >= GAP]


def _noticed(
    slots: Sequence[Summary], current: Accepted | None, choice: Choice, end: int
) -> list[str]:
    if current is None:
        return []
    findings = judged(slots, current, choice, end)
    return [
        f"The baseline in use gives a notice in these days, {said(f)}"
        for f in findings
        # A provisional baseline gives no notice, so the count of unusual windows decides.
        if f.in_a_row == choice.row.in_a_row
    ]


def judged(
    slots: Sequence[Summary], reference: Accepted, choice: Choice, end: float
) -> list[Finding]:
    """Judge the slots by the baseline, and return the findings that a scheduled run would have."""
    if not slots:
        return []
    _, findings = follow(
        slots[0].stream, slots, State(), accepted=reference, profile=None, choice=choice, now=end
    )
    return [finding for finding in findings if finding.reference is Reference.BASELINE]


def comparison(old: Accepted, new: Accepted) -> list[tuple[str, str, str]]:
    """Return the rows of a table: a quantity, its value in the old and in the new baseline."""
    a, b = old.baseline, new.baseline
    table = [
        ("days", _days(old), _days(new)),
        ("version", a.version or "none", b.version or "none"),
        ("windows", f"{a.windows} of {old.rows}", f"{b.windows} of {new.rows}"),
        ("predictions", f"{a.rows:,}", f"{b.rows:,}"),
        ("design effect", f"{a.deff:.2f}", f"{b.deff:.2f}"),
    ]
    if a.label and b.label:
        for label in dict.fromkeys([*a.labels, *b.labels]):
            shares = [_share(x.labels, x.label.expected.tolist(), label) for x in (a, b) if x.label]
            table.append((f"share of {label}", *shares))  # type: ignore[arg-type]
    if a.means and b.means:
        before = dict(zip(a.means.names, a.means.centre.tolist(), strict=True))
        after = dict(zip(b.means.names, b.means.centre.tolist(), strict=True))
        names = dict.fromkeys([*before, *after])
        table += [(f"mean of {n}", _number(before.get(n)), _number(after.get(n))) for n in names]
    return table


def feasible(slots: Sequence[Summary], *, days: float, streams: int) -> list[str]:
    """Return sentences about the smallest change that can be detected, and the time until a notice.

    The calculation allows at most one false notice in `days` days. This limit is for all streams
    together, and `streams` is their number.
    """
    if not slots:
        return ["No predictions in these days."]
    newest = max(slots, key=lambda s: s.start)
    of_one = [
        s for s in slots if (s.version, s.profile) == (newest.version, newest.profile) and s.rows
    ]
    span = max(DAY, max(s.end for s in of_one) - min(s.start for s in of_one))
    a_day = sum(s.rows for s in of_one) / (span / DAY)
    planned = plan(of_one)
    lines = [
        (
            f"Version {newest.version or 'none'}: {a_day:,.0f} predictions a day,"
            f" the mean of {span / DAY:.0f} days."
        ),
        planned.sentence(),
    ]
    full = cut(of_one, rows=planned.rows, at_most=planned.longest).full
    if len(full) < accepted.LEAST:
        return lines
    fitted = accepted.fit(full)
    windows = max(planned.windows, WINDOWS)
    choice = false_alarm_table.choose(windows, days=days, streams=streams)
    hours = choice.row.in_a_row * max(1.0, fitted.rows_a_window / a_day * 24)
    if fitted.means:
        least = smallest_effect(
            components=len(fitted.means.names),
            windows=windows,
            rows=fitted.rows_a_window,
            deff=fitted.deff,
            level=choice.row.level,
        )
        lines.append(
            "Smallest shift of the means that is detected in 19 of 20 windows:"
            f" {least:.2f} standard deviations of single predictions."
        )
    lines.append(
        f"A notice needs {choice.row.in_a_row} unusual windows in a row, about {hours:.1f} hours."
    )
    lines.append(choice.sentence())
    if fitted.missing:
        lines.append(f"Not judged: {', '.join(sorted(fitted.missing))}.")
    return lines


def notices(findings: Sequence[Finding]) -> list[str]:
    """Return a line for each notice: its unusual windows, and the sentence about its beginning."""
    runs: list[list[Finding]] = []
    for finding in findings:
        if finding.in_a_row == 1:
            runs.append([])
        if finding.in_a_row:
            runs[-1].append(finding)
    return [
        f"{moment(run[0].window.start)} to {moment(run[-1].window.end)}, {len(run)} unusual windows"
        f" in a row: {begun.sentence}"
        for run in runs
        for begun in run
        if begun.begins
    ]


def said(finding: Finding) -> str:
    """Return the finding as one line of text."""
    window = finding.window
    return f"{moment(window.start)} to {moment(window.end)}: {finding.sentence}"


def rate(findings: Sequence[Finding]) -> str:
    """Return one line: the share of unusual windows, and the number of notices."""
    full = [f for f in findings if f.verdict not in {Verdict.INSUFFICIENT, Verdict.STALE}]
    if not full:
        return "No window had enough predictions."
    unusual = sum(f.in_a_row > 0 or f.verdict is Verdict.UNUSUAL for f in full)
    begun = sum(f.begins for f in findings)
    days = (max(f.window.end for f in full) - min(f.window.start for f in full)) / DAY
    each = f"one in {days / begun:.1f} days" if begun else f"none in {days:.1f} days"
    share = 100 * unusual / len(full)
    return f"{len(full)} windows, {unusual} unusual ({share:.1f} %); {begun} notices: {each}."


def _days(one: Accepted) -> str:
    return f"{moment(one.baseline.start)} to {moment(one.baseline.end)}"


def _share(names: tuple[str, ...], shares: list[float], label: str) -> str:
    return f"{shares[names.index(label)]:.3f}" if label in names else "-"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}"
