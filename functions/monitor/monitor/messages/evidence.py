"""Reads the facts of a message from summaries and with a few searches.

A message tells people about a transition, such as the beginning of a notice. If a search fails, a
fact is missing, and a sentence of the message says so. The message is sent in any case.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from opensearchpy.exceptions import TransportError

from monitor.accuracy.intervals import Card, Estimate, Tally, estimate
from monitor.baselines.baseline import Baseline
from monitor.judgement.judge_stream import Accepted, Drift, Finding
from monitor.messages import locate_change
from monitor.messages import moved_parts as moving
from monitor.messages.locate_change import Span
from monitor.messages.message import Arrived, Facts, Moved, Share, Source, links, report_link
from monitor.messages.moved_parts import Measure
from monitor.messages.transitions import Change, Transition
from monitor.opensearch_problem import ServerProblem, sentence
from monitor.summaries.read_summaries import Connection, ReadIncomplete, aggregations
from monitor.summaries.store import Store
from monitor.summaries.summary import SIGNATURE, Summary, total
from monitor.summaries.windows import DAY, HOUR, cut

DAYS: Final = 30  # days before the change; a message states the most extreme value in these days
TIMEOUT: Final = 20  # seconds for one search
LABELS: Final = 3  # at most this many labels are shown
VERSIONS: Final = (Change.DIFFERS, Change.AGREES)
NUMBERS: Final = (
    Change.BEGINS, Change.SPREADS, Change.RECOVERS, Change.WEEKDAY, *VERSIONS,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Golden:
    """The id of the model's profile, the signatures of its golden sentences, and its card.

    A signature has eight numbers that describe the content of a text. Golden sentences are texts
    with the answers that the model gave when it was made. The keys of `signatures` are these texts.
    `card` has the accuracy that the model's card states, and is None if the card states none.
    """

    profile: str = ""
    signatures: Mapping[str, Sequence[int]] = field(default_factory=dict)
    card: Card | None = None


@dataclass(frozen=True, slots=True)
class Sight:
    """The connection, the links and the settings for messages.

    - `index` is the pattern of the prediction indices.
    - `dashboard` is the installer's link to the dashboard *Predictions*.
    - `reports` is the part of each report's address before the date of the report.
    - `by` is a keyword field of the records, such as the customer. A message names one value of
      this field: for example, the customer that contributes most of the change.
    - `words` says whether a message may quote words of texts.

    `dashboard`, `reports` and `by` may be empty.
    """

    connection: Connection
    store: Store
    index: str
    dashboard: str = ""
    reports: str = ""
    by: str = ""
    words: bool = False
    golden: Golden = Golden()

    def search(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Return the aggregations of a search over predictions. Raises `ServerProblem`."""
        try:
            return aggregations(self.connection, self.index, body, TIMEOUT)
        except TransportError as problem:
            raise ServerProblem(sentence(problem)) from None
        except ReadIncomplete:
            raise ServerProblem(f"OpenSearch could not read all of {self.index}") from None


def facts(
    sight: Sight,
    finding: Finding,
    transition: Transition,
    accepted: Accepted | None,
    *,
    in_a_row: int,
    promised: float,
    unlike: bool = False,
    known: Tally | None = None,
) -> Facts:
    """Return the facts of the message about a transition.

    `in_a_row` is the number of unusual windows in a row that a notice requires. The stack has at
    most one false notice in `promised` days. `unlike` is true if the window differs from the
    model's profile (statistics of validation texts). `known` counts the labelled predictions of the
    window's version.
    """
    window, unread = finding.window, Unread()
    stream = window.stream
    span = Span(window.start, window.end, min(transition.since, window.start))
    usual: Summary | None = None
    found: list[tuple[Measure, Moved]] = []
    compared: list[Moved] = []
    older = _older(finding, accepted) if transition.change in VERSIONS else ""
    numbers = transition.change in NUMBERS and window.rows > 0
    if finding.older:
        usual, compared = finding.older, moving.beside(finding.drifts, older)
    elif accepted and numbers:
        usual = unread.or_else("usual", None, lambda: _usual(sight.store, accepted.baseline))
        found = unread.or_else(
            "moved", found, lambda: _moved(sight, finding, accepted, transition, usual)
        )
    arrived = None
    if transition.change is Change.STALE:
        arrived = unread.or_else("arrived", None, lambda: _arrived(sight.store, finding, accepted))
    notice = transition.change in {Change.BEGINS, Change.SPREADS, Change.WEEKDAY}
    sources: tuple[Source, ...] = ()
    if notice:
        sources = unread.or_else("sources", (), lambda: _sources(sight, span, window, found, usual))
    return Facts(
        stream, transition, window.start, window.end, window.rows,
        in_a_row=in_a_row,
        moved=(*compared, *(one for _, one in found)),
        sources=sources,
        towards=_towards(sight, finding, accepted) if notice else (),
        words=_words(sight, span, window, unread) if notice else (),
        labels=_labels(window, usual) if numbers else (),
        score=_score(window, usual) if numbers else None,
        estimate=None if unlike else _estimate(sight.golden.card, window),
        unlike=unlike,
        known=known,
        hourly=_hourly(window, usual) if window.rows else None,
        deployment=unread.or_else(
            "deployment", None, lambda: locate_change.deployed(sight.search, stream, window.end)
        ),
        canary=unread.or_else(
            "canary", None, lambda: locate_change.canary(sight.search, stream, window.end)
        ),
        baseline=finding.number,
        promised=promised,
        links={
            **(links(sight.dashboard, stream, span.since, window.end) if window.rows else {}),
            **report_link(sight.reports, window.end),
        },
        unread=unread.why,
        newer=(window.version or "none") if older else "",
        older=older,
        beside=finding.older is not None,
        arrived=arrived,
    )  # fmt: skip


class Unread:
    """Keeps the names of the facts that could not be read, each with the reason."""

    def __init__(self) -> None:
        self.why: dict[str, str] = {}

    def or_else[Answer](self, fact: str, otherwise: Answer, ask: Callable[[], Answer]) -> Answer:
        """Return the result of `ask`, or `otherwise` if the fact cannot be read."""
        try:
            return ask()
        except ServerProblem as problem:
            self.why[fact] = str(problem)
        # The message must be sent even if an answer of OpenSearch is not as expected.
        except (LookupError, TypeError, ValueError) as problem:
            self.why[fact] = f"an answer could not be understood ({type(problem).__name__})"
        return otherwise


def _older(finding: Finding, accepted: Accepted | None) -> str:
    """Return the name of the version with which the window's version was compared."""
    if finding.older:
        return finding.older.version or "none"
    return (accepted.baseline.version if accepted else "") or "none"


def _arrived(store: Store, finding: Finding, accepted: Accepted | None) -> Arrived:
    """Return how many predictions came in the time of the finding, and how many usually come.

    In this time, no window was complete. The baseline gives two usual numbers: one for a time of
    the same length, and one for an hour at the same time of day.
    """
    window = finding.window
    came = [s for s in store.summaries(window.stream, window.start, window.end) if s.rows]
    last = max((s.end for s in came), default=None)
    rows = sum(s.rows for s in came)
    of_days = [] if accepted is None else _of_days(store, accepted.baseline)
    if accepted is None or not of_days:
        return Arrived(rows, last)
    seconds = accepted.baseline.end - accepted.baseline.start
    whole = sum(s.rows for s in of_days) * window.seconds / seconds
    now = window.end // HOUR % 24
    this_hour = sum(s.rows for s in of_days if s.start // HOUR % 24 == now)
    return Arrived(rows, last, whole, this_hour / max(1.0, seconds / DAY))


def _of_days(store: Store, base: Baseline) -> list[Summary]:
    return store.summaries(base.stream, base.start, base.end)


def _usual(store: Store, base: Baseline) -> Summary | None:
    """Return one summary of the baseline's days, or None if their summaries are deleted."""
    of_days = _of_days(store, base)
    parts = [s for s in of_days if (s.version, s.profile) == (base.version, base.profile)]
    return total(parts or of_days) if of_days else None


def _moved(
    sight: Sight,
    finding: Finding,
    accepted: Accepted,
    transition: Transition,
    usual: Summary | None,
) -> list[tuple[Measure, Moved]]:
    since = min(transition.since, finding.window.start)
    slots = sight.store.summaries(finding.window.stream, since - DAYS * DAY, since)
    before = cut(slots, rows=accepted.rows, at_most=accepted.longest).full
    days = round((since - min(s.start for s in slots)) / DAY) if slots else 0
    drifts = _ordered(finding.drifts, transition)
    return moving.moved(
        drifts, accepted.baseline, finding.window, usual, before, days=min(DAYS, max(1, days))
    )


def _ordered(drifts: Sequence[Drift], transition: Transition) -> list[Drift]:
    """Return the unusual signals in the order of the message.

    If the message is about a further signal that moved, this signal comes first. Components of the
    signature come last, because their names mean nothing to people.
    """
    spread = transition.signal if transition.change is Change.SPREADS else ""
    return sorted(
        (drift for drift in drifts if drift.unusual),
        key=lambda d: (d.signal != spread, d.part in SIGNATURE, 1.0 if d.p is None else d.p),
    )


def _sources(
    sight: Sight,
    span: Span,
    window: Summary,
    found: Sequence[tuple[Measure, Moved]],
    usual: Summary | None,
) -> tuple[Source, ...]:
    if not found:
        return ()
    measure, one = found[0]
    # OpenSearch returns the mean of the field, so the usual value must be a mean too.
    before = usual.mean(measure.mean) if usual and measure.mean else None
    value = one.usual if before is None else before
    return locate_change.locate(
        sight.search, window.stream, span, measure, usual=value, by=sight.by
    )


def _towards(sight: Sight, finding: Finding, accepted: Accepted | None) -> tuple[str, ...]:
    """Return golden sentences that the texts became similar to, if the signature is unusual."""
    signed = any(d.unusual and d.part in SIGNATURE for d in finding.drifts)
    if not (signed and accepted and sight.golden.profile == finding.window.profile):
        return ()
    return moving.towards(sight.golden.signatures, accepted.baseline, finding.window)


def _words(sight: Sight, span: Span, window: Summary, unread: Unread) -> tuple[str, ...]:
    if not sight.words:
        return ()
    return unread.or_else(
        "words", (), lambda: locate_change.typical(sight.search, window.stream, span)
    )


def _labels(window: Summary, usual: Summary | None) -> tuple[Share, ...]:
    known = usual.labels if usual else {}
    rows, before = max(1, window.rows), max(1, usual.rows) if usual else 0
    names = dict.fromkeys([*_most(known), *_most(window.labels)])
    return tuple(
        Share(
            name,
            window.labels.get(name, 0) / rows,
            known.get(name, 0) / before if before else None,
        )
        for name in list(names)[:LABELS]
    )


def _most(labels: Mapping[str, int]) -> list[str]:
    return sorted(labels, key=lambda name: -labels[name])[:LABELS]


def _score(window: Summary, usual: Summary | None) -> tuple[float, float | None] | None:
    now = window.mean("prediction.score")
    before = usual.mean("prediction.score") if usual else None
    return None if now is None else (now, before)


def _estimate(card: Card | None, window: Summary) -> Estimate | None:
    scores = window.moments.get("prediction.score")
    if card is None or scores is None or window.profile != card.profile:
        return None
    return estimate(scores, card.calibrated_on)


def _hourly(window: Summary, usual: Summary | None) -> tuple[float, float | None]:
    now = window.rows / (window.seconds / HOUR)
    return now, usual.rows / (usual.seconds / HOUR) if usual else None
