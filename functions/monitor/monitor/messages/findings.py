"""Composes the messages to people about the findings of a stream.

A finding gets a message only if it is a transition: a change that people must know. For example,
several windows in a row have become unusual: this is the beginning of a notice. A stream that
cannot give notices gets a weekly digest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

from monitor.accuracy.known_accuracy import Remembered, overlapping, unlike_profile
from monitor.judgement.false_alarm_table import Choice
from monitor.judgement.judge_stream import Accepted, Finding, Reference
from monitor.judgement.verdict import other_weekdays
from monitor.log_lines import utc
from monitor.messages import weekly_digest
from monitor.messages.evidence import Sight, facts
from monitor.messages.message import compose
from monitor.messages.muting import Silence, silencing
from monitor.messages.transitions import Episode, Transition, advance
from monitor.summaries.summary import Stream

NOTHING_KNOWN: Final = Remembered()

Told = list[tuple[Finding, dict[str, Any] | None]]  # findings, with the fields of their messages


def announce(
    sight: Sight,
    findings: Sequence[Finding],
    episode: Episode,
    silences: Sequence[Silence],
    *,
    stream: Stream,
    accepted: Accepted | None,
    choice: Choice,
    now: float,
    accuracy: Remembered = NOTHING_KNOWN,
) -> tuple[Episode, Told]:
    """Return the episode after the findings, and each finding with the fields of its message.

    An episode holds the messages that were sent about the stream so far. `accuracy` is the known
    accuracy, which a message shows next to the estimated accuracy. A message with the field
    `silenced` must not be sent. This field has the reason.
    """
    told: Told = []
    for finding in findings:
        window = finding.window
        silence = silencing(silences, window.start, window.end, now)
        episode, transition = advance(
            episode,
            finding,
            in_a_row=choice.row.in_a_row,
            silenced=silence is not None,
            odd=accepted is not None and _not_comparable(finding, accepted),
        )
        said = (
            _message(
                sight,
                finding,
                transition,
                silence,
                accepted=accepted,
                choice=choice,
                accuracy=unlike_profile(overlapping(findings, finding), accuracy),
            )
            if transition
            else None
        )
        told.append((finding, said))
    episode, week = weekly_digest.due(episode, accepted, int(now))
    if week:
        silence = silencing(silences, now, now, now)
        told += _digest(sight, stream, week, silence, accepted=accepted, choice=choice)
    return episode, told


def _not_comparable(finding: Finding, accepted: Accepted) -> bool:
    """Return whether the accepted baseline cannot judge the window of a finding.

    A baseline cannot judge a weekday that it lacks. A baseline that is too small for notices cannot
    judge another version of the model.
    """
    odd = other_weekdays(accepted.baseline, finding.window.start)
    if finding.reference is Reference.VERSION:
        return finding.older is None and (odd or not accepted.armed)
    return odd and finding.reference is Reference.BASELINE


def _digest(
    sight: Sight,
    stream: Stream,
    week: tuple[int, int],
    silence: Silence | None,
    *,
    accepted: Accepted | None,
    choice: Choice,
) -> Told:
    """Return the week's digest, or nothing if this week and the week before have no predictions."""
    start, end = week
    slots = sight.store.summaries(stream, start - weekly_digest.WEEK, end)
    if not slots:
        return []
    before = [slot for slot in slots if slot.start < start]
    now = [slot for slot in slots if slot.start >= start]
    lines = weekly_digest.numbers(now, before, weekly_digest.reason(accepted))
    finding, transition = weekly_digest.finding(stream, now, week), weekly_digest.transition(week)
    said = _message(
        sight, finding, transition, silence, accepted=accepted, choice=choice, lines=lines
    )
    return [(finding, said)]


def _message(
    sight: Sight,
    finding: Finding,
    transition: Transition,
    silence: Silence | None,
    *,
    accepted: Accepted | None,
    choice: Choice,
    lines: tuple[str, ...] = (),
    accuracy: Remembered = NOTHING_KNOWN,
) -> dict[str, Any]:
    known = facts(
        sight, finding, transition, accepted,
        in_a_row=choice.row.in_a_row, promised=choice.promised,
        unlike=accuracy.unlike, known=accuracy.tally(finding.window.version),
    )  # fmt: skip
    message = compose(replace(known, digest=lines))
    fields: dict[str, Any] = {
        "id": message.id,
        "change": str(message.change),
        "signal": message.signal,
        "action": str(message.action),
        "since": utc(transition.since),
        "subject": message.subject,
        "text": message.text,
    }
    if silence:
        fields["silenced"] = f"{silence.kind} by {silence.by}: {silence.reason}"
    return fields
