"""Composes the message about known accuracy: it became too low, or it is high enough again.

Known accuracy is the share of right answers among the predictions whose right label is known. The
first line of the message says what happened, and the second line says what to do. The other lines
are the evidence.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from monitor.accuracy.intervals import (
    CANNOT_SEE,
    ENOUGH,
    NO_ESTIMATE,
    Accuracy,
    Estimate,
    Interval,
    Labelled,
)
from monitor.messages.message import (
    CANARY_FAILS,
    LONGEST,
    NAME,
    SUBJECT,
    Action,
    Canary,
    Deployment,
    Message,
    invoke,
)
from monitor.messages.transitions import Change
from monitor.printable import plain
from monitor.summaries.summary import Stream
from monitor.summaries.windows import HOUR, moment

SIGNAL: Final = "accuracy"
ERRORS: Final = 3  # the largest number of kinds of wrong answers that a message names
OTHERS: Final = 3  # the largest number of other versions that a message names
SUBJECTS: Final = {Change.INACCURATE: "Accuracy too low", Change.ACCURATE: "Accuracy is back"}
NEEDED: Final = {"canary": "the canary's result", "deployment": "the last deployment"}


@dataclass(frozen=True, slots=True)
class AccuracyFacts:
    """The facts of a message about known accuracy. An unknown fact is empty or None.

    - `others` has the counts of labels of each other version of the stream.
    - `unlike` is true if the texts of the last window are unlike the model's profile (the
      statistics of its validation texts). The message then has no estimated accuracy.
    - `unread` has the reason for each fact that could not be read.
    """

    stream: Stream
    change: Change
    version: str
    start: int
    end: int
    accuracy: Accuracy
    others: Mapping[str, Labelled] = field(default_factory=dict)
    unlike: bool = False
    canary: Canary | None = None
    deployment: Deployment | None = None
    links: Mapping[str, str] = field(default_factory=dict)
    unread: Mapping[str, str] = field(default_factory=dict)

    @property
    def labelled(self) -> Labelled:
        """The counts of labels for predictions of the version."""
        assert self.accuracy.labelled is not None
        return self.accuracy.labelled

    @property
    def better(self) -> str | None:
        """The version that certainly answers better than this version, or None.

        The other version has at least `ENOUGH` labels, and the interval of its accuracy lies above
        the interval of this version's accuracy. Of several such versions, the one with the highest
        lower bound is returned.
        """
        least = self.labelled.known.interval.high
        found = [
            (one.known.interval.low, version)
            for version, one in self.others.items()
            if one.known.labelled >= ENOUGH and one.known.interval.low > least
        ]
        return max(found)[1] if found else None


def compose_accuracy(facts: AccuracyFacts) -> Message:
    """Return the message."""
    action, reason = _advice(facts)
    stream = facts.stream
    subject = f"{SUBJECTS[facts.change]}: {action} - {stream.stack} {stream.model}"
    parts = [*_stream(stream), facts.version, SIGNAL, facts.change, facts.end]
    return Message(
        hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32],
        facts.change,
        SIGNAL,
        action,
        plain(subject).encode("ascii", "replace").decode()[:SUBJECT],
        "\n".join(_lines(facts, action, reason)) + "\n",
    )


def swapped(labelled: Labelled) -> float | None:
    """Return the accuracy that the predictions would have with their two labels exchanged.

    Returns None
    - if there are not exactly two labels;
    - if the interval of known accuracy reaches 0.5;
    - if the labels are not a random sample. For example, if only complaints get a label, all
      labelled answers are wrong.
    """
    if not labelled.random:
        return None
    one = labelled.known
    names = {*labelled.confusion, *(n for row in labelled.confusion.values() for n in row)}
    if len(names) != 2 or one.interval.high >= 0.5 or one.share is None:
        return None
    return 1 - one.share


def _advice(facts: AccuracyFacts) -> tuple[Action, str]:
    if facts.change is Change.ACCURATE:
        return Action.NOTHING, "Enough predictions agree with their labels again."
    if facts.canary and facts.canary.compared and not facts.canary.passed:
        return Action.ROLL_BACK, CANARY_FAILS
    if facts.better is not None:
        said = f"Labels show that version {_name(facts.better)} answers better."
        return Action.ROLL_BACK, said
    if swapped(facts.labelled) is not None:
        said = "Most answers would be right with the two labels exchanged: check whether the model"
        return Action.ROLL_BACK, f"{said} or the sender of the feedback exchanges the labels."
    if unread := [words for name, words in NEEDED.items() if name in facts.unread]:
        said = f"{' and '.join(unread).capitalize()} could not be read"
        return Action.WAIT, f"{said}, so nothing shows that a rollback would help."
    said = "No other version is known to answer better, so nothing shows that a rollback would help"
    return Action.WAIT, f"{said}. Look at the wrong answers."


def _lines(facts: AccuracyFacts, action: Action, reason: str) -> Iterator[str]:
    yield _short(_headline(facts))
    yield _short(f"WHAT TO DO NOW: {action.upper()}. {reason}")
    yield _short(f"Labels: {_labels(facts)}")
    yield _short(f"Estimated accuracy: {_estimate(facts.accuracy.estimate, unlike=facts.unlike)}")
    if errors := _errors(facts.labelled):
        yield _short(f"Wrong answers: {errors}.")
    if (other := swapped(facts.labelled)) is not None:
        yield _short(f"If the two labels were exchanged, the accuracy would be {other:.2f}.")
    if facts.others:
        several = sorted(facts.others.items(), key=lambda item: -item[1].known.labelled)[:OTHERS]
        said = "; ".join(f"{_name(version) or 'none'} {_share(one)}" for version, one in several)
        yield _short(f"Other versions: {said}.")
    if facts.canary:
        passed = "passed" if facts.canary.passed else "FAILED"
        compared = passed if facts.canary.compared else "got no comparable answer"
        yield f"Canary: {compared} at {moment(facts.canary.at)} UTC."
    if facts.deployment:
        one = facts.deployment
        yield _short(
            f"Last deployment: {one.of} {_name(one.value)}, first seen {moment(one.first)} UTC."
        )
    if facts.unread:
        yield _short(f"Some facts could not be read: {next(iter(facts.unread.values()))}.")
    for name, address in facts.links.items():
        yield f"{name}: {address}"
    if facts.change is Change.INACCURATE:
        until = moment(facts.end + 24 * HOUR).replace(" ", "T")
        command = f"mute --until {until} --reason WHY --by YOU"
        yield f"To mute: {invoke(facts.stream.stack, command)}"


def _headline(facts: AccuracyFacts) -> str:
    stream, one = facts.stream, facts.labelled.known
    who = f"{_name(stream.model) or 'the model'} in {_name(stream.log_group)}"
    what = "ACCURACY TOO LOW" if facts.change is Change.INACCURATE else "ACCURACY IS BACK"
    said = (
        f"{what}: version {_name(facts.version) or 'none'} of {who} gave the right label "
        f"in {one.right:,} of {one.labelled:,} labelled predictions, "
        f"{_interval(one.share, one.interval)}"
    )
    if facts.accuracy.expected:
        said += f"; {facts.accuracy.expected.text} is expected"
    return f"{said}."


def _labels(facts: AccuracyFacts) -> str:
    labelled = facts.labelled
    coverage = labelled.coverage
    of_all = "" if coverage is None else f"{100 * coverage:.2g} % of the predictions have a label; "
    these = f"the labels of predictions since {moment(facts.start)[:10]} are"
    if labelled.random:
        return f"{of_all}{these} a random sample (source: audit)."
    score = labelled.known.score
    said = f"{of_all}{these} not a random sample. The accuracy of all predictions may be different."
    if score is None:
        return said
    return (
        f"{said} The expected accuracy of the labelled predictions is {score:.2f}, computed from "
        "their scores."
    )


def _estimate(estimate: Estimate | None, *, unlike: bool) -> str:
    if unlike:
        return f"none. {NO_ESTIMATE.partition(': ')[2].capitalize()}"
    if estimate is None:
        return f"none, because scores are missing or not calibrated. {CANNOT_SEE}"
    return f"{_interval(estimate.share, estimate.interval)} of all predictions. {CANNOT_SEE}"


def _errors(labelled: Labelled) -> str:
    wrong = [
        (count, right, predicted)
        for right, row in labelled.confusion.items()
        for predicted, count in row.items()
        if predicted != right
    ]
    largest = sorted(wrong, key=lambda one: -one[0])[:ERRORS]
    return "; ".join(
        f"{count:,} times {_name(predicted)} (right: {_name(right)})"
        for count, right, predicted in largest
    )


def _share(labelled: Labelled) -> str:
    one = labelled.known
    return f"{_interval(one.share, one.interval)} of {one.labelled:,} labels"


def _interval(share: float | None, interval: Interval) -> str:
    return f"{share or 0:.2f} ({interval.text})"


def _stream(stream: Stream) -> tuple[str, str, str]:
    return stream.stack, stream.log_group, stream.model


def _name(text: str) -> str:
    return plain(text)[:NAME]


def _short(line: str) -> str:
    line = plain(line)
    return line if len(line) <= LONGEST else f"{line[: LONGEST - 1]}…"
