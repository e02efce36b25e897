"""One scheduled run: updates the summaries, judges every stream, and logs the findings.

A stream is the predictions of one model in one log group. A slot is a quarter of an hour.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

from opensearchpy.exceptions import TransportError

from monitor.accuracy.accuracy_findings import Told, announce_accuracy
from monitor.accuracy.known_accuracy import Remembered, estimated
from monitor.baselines.acceptance import grown
from monitor.baselines.activation import adopt, next_number
from monitor.baselines.baseline import BaselineUnreadable
from monitor.judgement import false_alarm_table
from monitor.judgement.false_alarm_table import Choice
from monitor.judgement.judge_stream import GROWS, Accepted, Finding, State, follow
from monitor.judgement.profile_reference import Profile
from monitor.log_lines import Line, lines
from monitor.messages.evidence import Sight
from monitor.messages.findings import announce
from monitor.messages.muting import Silence
from monitor.messages.transitions import Episode
from monitor.opensearch_problem import ServerProblem, sentence
from monitor.summaries.read_summaries import (
    MOST_STREAMS,
    Connection,
    ReadIncomplete,
    find_streams,
    read_counts,
    read_slots,
)
from monitor.summaries.searches import SPAN
from monitor.summaries.store import Conflict, Found, Kind, Store, stream_of
from monitor.summaries.summary import SLOT, Stream
from monitor.summaries.windows import DAY, HOUR

BEHIND: Final = SLOT  # seconds from the end of a slot until it is read; lines may be late
# The longest span of one counting request. A stream that had no predictions for this time is no
# longer followed.
WEEK: Final = 7 * DAY
VERDICT: Final = "verdict"  # the message of a line with a verdict
TOLD: Final = 20  # the largest number of stream names in a heartbeat line


@dataclass(slots=True)
class Run:
    """The result of a run.

    - `streams` counts the streams to judge. `not_judged` names the streams that are not judged,
      because a run judges only the largest streams.
    - `slots` counts the slots that were read.
    - `words` maps a verdict to the number of streams that got this verdict. A verdict is the result
      of the comparison with the baseline.
    - `inaccurate` counts the streams with a version whose known accuracy is too low.
    - `failed` counts the streams with a failure: a defect of the monitor prevented the judgement,
      or the baseline cannot be read.
    - `problems` has a sentence for each problem.
    - `defects` maps each sentence about a defect of the monitor to the exception.
    """

    streams: int = 0
    not_judged: list[str] = field(default_factory=list)
    slots: int = 0
    words: dict[str, int] = field(default_factory=dict)
    inaccurate: int = 0
    failed: int = 0
    problems: list[str] = field(default_factory=list)
    defects: dict[str, Exception] = field(default_factory=dict)


def run(
    connection: Connection,
    store: Store,
    stack: str,
    index: str,
    *,
    days: float,
    profile: Profile | None,
    now: float,
    tell: Callable[[Line], None],
    sight: Sight,
) -> Run:
    """Read the slots that ended at least a quarter of an hour before `now`, judge them, and report.

    `tell` logs a line. `sight` has the connection, the links and the settings for messages.

    The lines of a finding are logged once. To ensure this, a run writes the state of the stream,
    and then logs the findings. If another run wrote the state first, only the other run logs the
    findings. If a run is stopped between the two steps, the next run logs the lines that have a
    message. The id of such a message stays the same.

    Raises `ServerProblem` if OpenSearch fails.
    """
    closed = int(now - BEHIND) // SLOT * SLOT
    found, others = asking(
        partial(find_streams, connection, stack, closed - DAY, closed, index=index)
    )
    states = {stream_of(one.source): one for one in store.documents(Kind.STATE)}
    recent = {
        stream for stream, one in states.items() if closed - State.read(one.source).until < WEEK
    }
    streams = [*found, *sorted(recent - {*found, *others})]
    judged, not_judged = streams[:MOST_STREAMS], [*streams[MOST_STREAMS:], *others]
    report = Run(streams=len(judged), not_judged=[name(stream) for stream in not_judged[:TOLD]])
    baselines = {stream: _accepted(store, stream, report) for stream in judged}
    sharing = max(1, sum(one is not None for one in baselines.values()))
    for stream in judged:
        before = states.get(stream)
        known = before.source if before else {}
        state = State.read(before.source) if before else State(until=closed - DAY)
        start = max(closed - WEEK, min(state.until or closed - DAY, closed - DAY))
        report.slots += fill(connection, store, stream, start, closed, index=index)
        # The slots of the day before are needed to compare two versions that answer side by side.
        slots = store.summaries(stream, start - DAY, closed)
        episode = Episode.read(known)
        for fields in known.get("untold", ()):
            tell(Line(VERDICT, fields))
        try:
            accepted, choice = _grown(
                store, stream, baselines[stream], report, closed=closed, days=days, streams=sharing
            )
            after, findings = follow(
                stream, slots, state, accepted=accepted, profile=profile, choice=choice, now=now
            )
            silences = [Silence.read(one.source) for one in store.documents(Kind.SILENCE, stream)]
            findings = estimated(findings, sight.golden.card)
            remembered = Remembered.read(known)
            later, told = announce(
                sight, findings, episode, silences, stream=stream, accepted=accepted,
                choice=choice, now=now, accuracy=remembered,
            )  # fmt: skip
            accuracy, of_labels = _accuracy(
                sight, stream, findings, remembered, silences, report, now=closed
            )
            told += of_labels
        except ServerProblem:
            raise
        # A failure in one stream must not prevent the other streams from being judged.
        except Exception as problem:  # noqa: BLE001
            said = f"the stream could not be judged ({type(problem).__name__}): please report this"
            report.problems.append(f"{name(stream)}: {said}")
            report.defects[report.problems[-1]] = problem
            report.failed += 1
            if before and known.get("untold"):
                with suppress(Conflict):  # another run logged the lines too
                    store.put_state(stream, known | {"untold": []}, before.version)
            continue
        written = [line for found, message in told for line in lines(found, choice, message)]
        content = after.document() | {
            "episode": later.document(),
            "accuracy": accuracy.document(),
        }
        try:
            _tell(store, stream, content, before=before, written=written, tell=tell)
        except Conflict:
            report.problems.append(
                f"{name(stream)}: another run was faster, and reported the findings"
            )
            continue
        if after.word:
            report.words[after.word] = report.words.get(after.word, 0) + 1
        report.inaccurate += bool(accuracy.low)
    return report


def _accuracy(  # noqa: PLR0917  one step of `run`
    sight: Sight,
    stream: Stream,
    findings: Sequence[Finding],
    before: Remembered,
    silences: Sequence[Silence],
    report: Run,
    *,
    now: int,
) -> tuple[Remembered, Told]:
    """Return the result of `announce_accuracy` or, after a defect, `before` and no findings.

    Labels that cannot be counted must not prevent the stream from being judged.
    """
    try:
        return announce_accuracy(sight, stream, findings, before, silences, now=now)
    except ServerProblem:
        raise
    except Exception as problem:  # noqa: BLE001
        said = f"its labels could not be counted ({type(problem).__name__}): please report this"
        report.problems.append(f"{name(stream)}: {said}")
        report.defects[report.problems[-1]] = problem
        return before, []


def _tell(
    store: Store,
    stream: Stream,
    content: dict[str, Any],
    *,
    before: Found | None,
    written: Sequence[Line],
    tell: Callable[[Line], None],
) -> None:
    """Write the stream's new state, log its lines, and then note that messages were logged.

    Raises `Conflict` if another run wrote the state first. Then no line is logged.
    """
    untold = [line.fields for line in written if "message" in line.fields["monitor"]]
    known = before.source if before else {}
    version = before.version if before else None
    if any(known.get(key) != value for key, value in content.items()) or known.get("untold"):
        version = store.put_state(stream, content | {"untold": untold}, version)
    for line in written:
        tell(line)
    if untold:
        with suppress(Conflict):  # another run logged the lines too
            store.put_state(stream, content | {"untold": []}, version)


def fill(
    connection: Connection, store: Store, stream: Stream, start: int, end: int, *, index: str
) -> int:
    """Summarise each slot that has more predictions than its summary says.

    A slot with predictions but without a summary is summarised too. If a slot has fewer predictions
    than its summary says, the summary is kept, because old predictions are deleted earlier than
    summaries. Returns the number of slots that were read. Raises `ServerProblem`.
    """
    kept = store.counts(stream, start, end)
    read = 0
    for begin in range(start, end, WEEK):
        counts = asking(
            partial(read_counts, connection, stream, begin, min(end, begin + WEEK), index=index)
        )
        changed = [slot for slot, rows in counts.items() if rows > kept.get(slot, 0)]
        for first, last in _spans(sorted(changed)):
            summaries = asking(partial(read_slots, connection, stream, first, last, index=index))
            asking(partial(store.put_summaries, summaries))
        read += len(changed)
    return read


def in_use(store: Store, stream: Stream) -> Accepted | None:
    """Return the baseline that the monitor uses, or None if none was accepted.

    The last stored decision names this baseline.

    Raises `BaselineUnreadable` and `ServerProblem`.
    """
    decisions = store.documents(Kind.DECISION, stream)
    if not decisions:
        return None
    number = int(decisions[-1].source["baseline"])
    baselines = store.documents(Kind.BASELINE, stream, number)
    return Accepted.read(baselines[0].source) if baselines else None


def name(stream: Stream) -> str:
    """Return the name of a stream for lines and messages."""
    return f"{stream.log_group} {stream.model}".strip()


def _grown(
    store: Store,
    stream: Stream,
    accepted: Accepted | None,
    report: Run,
    *,
    closed: int,
    days: float,
    streams: int,
) -> tuple[Accepted | None, Choice]:
    """Return the baseline to use, which may have grown, and its row of false_alarm_table.json.

    A baseline grows only in the first hour of a day. Several runs start in that hour. So if a run
    fails, a later run can grow the baseline.
    """
    choice = false_alarm_table.choose(
        accepted.baseline.windows if accepted else 0, days=days, streams=streams
    )
    if accepted is None or closed % DAY >= HOUR or not accepted.may_grow(closed):
        return accepted, choice
    new, reason = growth(store, stream, accepted, choice, closed)
    if reason:
        said = f"baseline {accepted.number} cannot grow, so accept other days. {reason}"
        report.problems.append(f"{name(stream)}: {said}")
        return accepted, choice
    try:
        adopt(store, stream, new, "grow", closed)
    except Conflict:
        return accepted, choice  # another run was faster
    return new, false_alarm_table.choose(new.baseline.windows, days=days, streams=streams)


def growth(
    store: Store, stream: Stream, accepted: Accepted, choice: Choice, now: float
) -> tuple[Accepted, str]:
    """Return the baseline with the days until today added, and an empty text.

    If it cannot grow, return `accepted` itself, and the reason. A baseline that began too long ago
    does not grow, because too many summaries would have to be read at once. Raises `ServerProblem`.
    """
    today = int(now) // DAY * DAY
    start = accepted.baseline.start // DAY * DAY
    if today - start > GROWS:
        days = GROWS // DAY
        return accepted, (
            f"It began more than {days} days ago, and a baseline grows for at most {days} days."
        )
    slots = store.summaries(stream, start, today)
    number = next_number(store, Kind.BASELINE, stream)
    return grown(accepted, number, slots, today, choice=choice)


def _accepted(store: Store, stream: Stream, report: Run) -> Accepted | None:
    try:
        return in_use(store, stream)
    except BaselineUnreadable as problem:
        report.problems.append(f"{name(stream)}: {problem}; accept a new baseline")
        report.failed += 1
        return None


def asking[Answer](ask: Callable[[], Answer]) -> Answer:
    """Call `ask` and return its answer. Raises `ServerProblem` if the server fails."""
    try:
        return ask()
    except TransportError as problem:
        raise ServerProblem(sentence(problem)) from None
    except ReadIncomplete as problem:
        raise ServerProblem(str(problem)) from None


def _spans(slots: list[int]) -> list[tuple[int, int]]:
    """Join slots to spans (start, end). One search reads a whole span.

    Slots that lie close together are in one span, which includes the slots between them.
    """
    spans: list[tuple[int, int]] = []
    for slot in slots:
        if spans and slot - spans[-1][1] < SPAN:
            spans[-1] = (spans[-1][0], slot + SLOT)
        else:
            spans.append((slot, slot + SLOT))
    return spans
