"""A stream's findings, each with the message to a person if it is a transition."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from monitor.dial import Choice
from monitor.evidence import Sight, facts
from monitor.follow import Accepted, Finding, Reference
from monitor.lines import utc
from monitor.message import compose
from monitor.silence import Silence, silencing
from monitor.transitions import Episode, Transition, advance
from monitor.verdict import other_weekdays

Told = list[tuple[Finding, dict[str, Any] | None]]


def announce(
    sight: Sight,
    findings: Sequence[Finding],
    episode: Episode,
    silences: Sequence[Silence],
    *,
    accepted: Accepted | None,
    choice: Choice,
    now: float,
) -> tuple[Episode, Told]:
    """The episode after the findings, and each finding with its message's fields, if it has one.

    A message that is silenced has `silenced`, the reason of the silence, and is not to be sent.
    """
    told: Told = []
    for finding in findings:
        window = finding.window
        silence = silencing(silences, window.start, window.end, now)
        odd = (
            accepted is not None
            and finding.reference is Reference.BASELINE
            and other_weekdays(accepted.baseline, window.start)
        )
        episode, transition = advance(
            episode,
            finding,
            in_a_row=choice.row.in_a_row,
            silenced=silence is not None,
            odd=odd,
        )
        said = (
            _message(sight, finding, transition, silence, accepted=accepted, choice=choice)
            if transition
            else None
        )
        told.append((finding, said))
    return episode, told


def _message(
    sight: Sight,
    finding: Finding,
    transition: Transition,
    silence: Silence | None,
    *,
    accepted: Accepted | None,
    choice: Choice,
) -> dict[str, Any]:
    message = compose(
        facts(
            sight, finding, transition, accepted,
            in_a_row=choice.row.in_a_row, promised=choice.promised,
        )
    )  # fmt: skip
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
