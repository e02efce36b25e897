"""Composes the findings about a stream's known accuracy, and the messages to people about it.

A stream is all predictions of one stack, log group and model. Known accuracy is the share of right
answers among the predictions whose right label is known.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from monitor.accuracy.accuracy_message import AccuracyFacts, compose_accuracy
from monitor.accuracy.intervals import Accuracy, Estimate, Labelled, estimate
from monitor.accuracy.known_accuracy import Remembered, known, unlike_profile
from monitor.accuracy.labelled_predictions import SPAN, labelled_body, parse_labelled
from monitor.judgement.judge_stream import Finding
from monitor.log_lines import utc
from monitor.messages import locate_change
from monitor.messages.evidence import Sight, Unread
from monitor.messages.message import links
from monitor.messages.muting import Silence, silencing
from monitor.messages.transitions import Change
from monitor.summaries.summary import Stream

Told = list[tuple[Finding, dict[str, Any] | None]]  # findings, with the fields of their messages


def announce_accuracy(
    sight: Sight,
    stream: Stream,
    findings: Sequence[Finding],
    before: Remembered,
    silences: Sequence[Silence],
    *,
    now: int,
) -> tuple[Remembered, Told]:
    """Return data for the next run, and findings about accuracy.

    Only some findings have a message. `before` is the data from the last run. `findings` are this
    run's findings about drift. Only labels of predictions of the last thirty days are counted.
    Raises `ServerProblem`.
    """
    before = unlike_profile(findings, before)
    span = (now - SPAN, now)
    found = parse_labelled(sight.store.aggregate(labelled_body(stream, *span)))
    card = sight.golden.card
    silenced = silencing(silences, now, now, now) is not None
    after, news = known(stream, found, card, before, span=span, silenced=silenced)
    estimates: Mapping[str, Estimate] = {}
    if news and card and not after.unlike:
        scores = sight.store.scores(stream, *span)
        own = scores.get(card.version) if card.name == stream.model else None
        one = estimate(own, card.calibrated_on) if own else None
        estimates = {card.version: one} if one else {}
    told: Told = []
    for finding, change in news:
        version = finding.window.version
        accuracy = replace(finding.accuracy or Accuracy(), estimate=estimates.get(version))
        whole = replace(finding, accuracy=accuracy)
        said = None
        if change:
            others = {name: one for name, one in found.items() if name != version}
            said = _message(sight, whole, accuracy, change, others, unlike=after.unlike)
        told.append((whole, said))
    return after, told


def _message(
    sight: Sight,
    finding: Finding,
    accuracy: Accuracy,
    change: Change,
    others: Mapping[str, Labelled],
    *,
    unlike: bool,
) -> dict[str, Any]:
    window, unread = finding.window, Unread()
    search, stream, end = sight.search, window.stream, window.end
    message = compose_accuracy(
        AccuracyFacts(
            stream,
            change,
            window.version,
            window.start,
            end,
            accuracy,
            others,
            unlike=unlike,
            canary=unread.or_else(
                "canary", None, lambda: locate_change.canary(search, stream, end)
            ),
            deployment=unread.or_else(
                "deployment", None, lambda: locate_change.deployed(search, stream, end)
            ),
            links=links(sight.dashboard, stream, window.start, end),
            unread=unread.why,
        )
    )
    return {
        "id": message.id,
        "change": str(message.change),
        "signal": message.signal,
        "action": str(message.action),
        "since": utc(window.start),
        "subject": message.subject,
        "text": message.text,
    }
