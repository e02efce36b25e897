"""Follows the known accuracy of each model version in a stream from run to run.

A stream is the predictions of one model in one log group. Known accuracy is the share of right
answers among the predictions that have a label. A version gets a finding (a verdict that is logged)
when its counts of labels change. People get a message when its accuracy becomes too low, and when
its accuracy is high enough again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, Self

from monitor.accuracy.intervals import (
    CANNOT_SEE,
    ENOUGH,
    NO_ESTIMATE,
    Accuracy,
    Card,
    Labelled,
    Tally,
    below,
    estimate,
    expected,
)
from monitor.judgement.judge_stream import Finding, Reference
from monitor.judgement.verdict import Verdict
from monitor.messages.transitions import Change
from monitor.summaries.summary import Stream, Summary

type News = tuple[Finding, Change | None]  # a finding, and the change that its message reports

# If a version has fewer labels than this, its last result is forgotten. A version can lose labels,
# because only the labels of the last 30 days count.
HELD: Final = ENOUGH // 2

SCORE: Final = "prediction.score"

NOT_RANDOM: Final = (
    "The labels are not a random sample, so the accuracy of all predictions may be outside the "
    "interval."
)


@dataclass(frozen=True, slots=True)
class Remembered:
    """The facts about a stream's accuracy that one run keeps for the next.

    - `counts` has four numbers for each version: labels, right answers, labels of the random
      sample, and right answers of the random sample.
    - `low` has the versions whose accuracy is too low.
    - `told` has the versions for which a message about low accuracy was sent.
    - `unlike` is true if the last window was unlike the model's profile (the statistics of its
      validation texts).
    """

    counts: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    low: tuple[str, ...] = ()
    told: tuple[str, ...] = ()
    unlike: bool = False

    @classmethod
    def read(cls, document: Mapping[str, Any]) -> Self:
        """Read the facts from the document of the stream's state."""
        found = document.get("accuracy", {})
        return cls(
            {str(one["version"]): tuple(one["counts"]) for one in found.get("counts", ())},
            tuple(map(str, found.get("low", ()))),
            tuple(map(str, found.get("told", ()))),
            bool(found.get("unlike", False)),
        )

    def tally(self, version: str) -> Tally | None:
        """Return the version's counts of labels, or None if the version is not known.

        They are the counts of the random sample if this sample has enough labels.
        """
        if version not in self.counts:
            return None
        every, right, audit, of_audit = self.counts[version]
        return Labelled(Tally(every, right), Tally(audit, of_audit)).known

    def document(self) -> dict[str, Any]:
        """Return the document that `read` reads."""
        counts = [
            {"version": version, "counts": list(numbers)}
            for version, numbers in sorted(self.counts.items())
        ]
        low, told = list(self.low), list(self.told)
        return {"counts": counts, "low": low, "told": told, "unlike": self.unlike}


def known(
    stream: Stream,
    found: Mapping[str, Labelled],
    card: Card | None,
    before: Remembered,
    *,
    span: tuple[int, int],
    silenced: bool,
) -> tuple[Remembered, list[News]]:
    """Return the facts to remember, and a finding for each version whose counts changed.

    `found` has the labels of the predictions in `span` (start, end), by version. A version is
    compared with `card` only if the card is of this version. While messages are silenced, people
    get no message about a change. They get the message after the silence. If a version has fewer
    than `ENOUGH` labels, its last result is kept. But if it has even fewer than `HELD`, its last
    result is forgotten.
    """
    several: list[News] = []
    low, told = [], []
    for version, labelled in sorted(found.items()):
        own = card if card and (card.name, card.version) == (stream.model, version) else None
        was = version in before.low
        now = below(labelled, own, before=was) if own else None
        # If a version has no card or few labels, its accuracy is not judged: `now` is None.
        held = own is not None and labelled.known.labelled >= HELD
        is_low = (held and was) if now is None else now
        was_told = (held or now is not None) and version in before.told
        quiet = silenced or now is None
        if is_low:
            low.append(version)
        if was_told if quiet else is_low:
            told.append(version)
        change = None
        if not quiet and is_low is not was_told:
            change = Change.INACCURATE if is_low else Change.ACCURATE
        if change or counts(labelled) != before.counts.get(version):
            finding = _finding(stream, version, labelled, own, span, low=is_low)
            begins = change is Change.INACCURATE
            several.append((replace(finding, begins=begins), change))
    numbers = {version: counts(labelled) for version, labelled in found.items()}
    return replace(before, counts=numbers, low=tuple(low), told=tuple(told)), several


def counts(labelled: Labelled) -> tuple[int, ...]:
    """Return the counts of a version as `Remembered.counts` has them."""
    every, audit = labelled.every, labelled.audit
    return every.labelled, every.right, audit.labelled, audit.right


def estimated(findings: Sequence[Finding], card: Card | None) -> list[Finding]:
    """Add the estimated accuracy to each finding that compares a window with the profile.

    If the window is unlike the profile, accuracy is not estimated, and the finding's sentence says
    so.
    """
    return [_estimated(one, card) for one in findings]


def unlike_profile(findings: Sequence[Finding], before: Remembered) -> Remembered:
    """Remember whether the last window that was compared with the profile is unlike the profile."""
    compared = [one for one in findings if one.reference is Reference.PROFILE]
    if not compared:
        return before
    return replace(before, unlike=compared[-1].verdict is Verdict.UNUSUAL)


def overlapping(findings: Sequence[Finding], finding: Finding) -> list[Finding]:
    """Return the findings whose time overlaps with the time of `finding`.

    A comparison of two versions may cover a longer time than one window.
    """
    window = finding.window
    return [
        one for one in findings if one.window.start < window.end and window.start < one.window.end
    ]


def _estimated(finding: Finding, card: Card | None) -> Finding:
    if card is None or finding.reference is not Reference.PROFILE:
        return finding
    window = finding.window
    scores = window.moments.get(SCORE)
    if window.profile != card.profile or scores is None:
        return finding
    if finding.verdict is Verdict.UNUSUAL:
        return replace(finding, sentence=f"{finding.sentence} {NO_ESTIMATE}")
    found = estimate(scores, card.calibrated_on)
    if found is None:
        return finding
    low, high = found.interval
    said = f"Estimated accuracy {found.share:.3f} ({low:.3f} to {high:.3f}). {CANNOT_SEE}"
    return replace(
        finding, sentence=f"{finding.sentence} {said}", accuracy=Accuracy(estimate=found)
    )


def _finding(
    stream: Stream,
    version: str,
    labelled: Labelled,
    card: Card | None,
    span: tuple[int, int],
    *,
    low: bool,
) -> Finding:
    start, end = span
    window = Summary(stream, version, start, end - start, rows=labelled.rows)
    limit = expected(labelled, card) if card else None
    if labelled.known.labelled < ENOUGH:
        verdict = Verdict.INSUFFICIENT
    else:
        verdict = Verdict.NOTICE if low else Verdict.OK
    return Finding(
        Reference.LABELS,
        window,
        verdict,
        _sentence(version, labelled, card, low=low),
        accuracy=Accuracy(labelled, expected=limit),
    )


def _sentence(version: str, labelled: Labelled, card: Card | None, *, low: bool) -> str:
    one, (least, most) = labelled.known, labelled.known.interval
    said = [f"Version {version or 'none'}: {one.right:,} of {one.labelled:,} labelled predictions"]
    said.append(f"are right: {one.share or 0:.3f} ({least:.3f} to {most:.3f}).")
    if not labelled.random:
        said.append(NOT_RANDOM)
    if one.labelled < ENOUGH:
        said.append(f"A comparison with the model's card needs {ENOUGH} labels.")
    elif card is None:
        said.append("The monitor has no card of this version, so the accuracy is not judged.")
    else:
        limit = expected(labelled, card)
        is_above = least > limit.high
        where = "is below" if low else "is above" if is_above else "agrees with"
        said.append(
            f"This {where} the expected accuracy of {limit.low:.3f} to {limit.high:.3f}, which "
            "follows from the card and the scores of these predictions."
        )
    return " ".join(said)
