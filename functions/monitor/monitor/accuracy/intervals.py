"""Computes known and estimated accuracy, and decides whether known accuracy is too low.

*Known* accuracy is the share of right answers among the predictions whose right label is known.
*Estimated* accuracy is the mean of calibrated scores, and needs no label. This estimate assumes
that answers with the same score are right as often now as they were in the test of the model. The
model's card (card.json) has the result of the test.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import sqrt
from typing import Any, Final, NamedTuple, Self

from monitor.summaries.summary import Moments

Z: Final = 1.959964  # quantile of the normal distribution for a two-sided 95 % interval
ENOUGH: Final = 100  # with fewer labels, known accuracy is not compared with the card
CANNOT_SEE: Final = (
    "An estimate from scores cannot show that two labels are exchanged (each stands for the "
    "other), that usual texts get wrong answers, or that labels occur more or less often than "
    "before. Only right labels show this."
)
NO_ESTIMATE: Final = (
    "No estimated accuracy: the texts are unlike the model's profile, and for such texts nothing "
    "shows that the model's scores are still calibrated."
)


class Interval(NamedTuple):
    """The ends of a 95 % interval of a share."""

    low: float
    high: float

    @property
    def text(self) -> str:
        """The two ends as text."""
        return f"{self.low:.2f} to {self.high:.2f}"


@dataclass(frozen=True, slots=True)
class Tally:
    """The number of labelled predictions, how many of them are right, and their mean score.

    `score` is None if no labelled prediction has a score.
    """

    labelled: int = 0
    right: int = 0
    score: float | None = None

    @property
    def share(self) -> float | None:
        """Known accuracy, or None without a label."""
        return self.right / self.labelled if self.labelled else None

    @property
    def interval(self) -> Interval:
        """The interval of known accuracy, which is valid only for a random sample of labels."""
        return wilson(self.right, self.labelled)


@dataclass(frozen=True, slots=True)
class Labelled:
    """The counts of labels for the predictions of one version of a stream.

    A stream is the predictions of one model in one log group.

    - `every` counts all labels, and `audit` the labels of a random sample (`source: audit`).
    - `confusion[right][predicted]` is the number of predictions with this right label and this
      predicted label.
    - `bins` has the counts of labels by score, in 20 bins of 0.05. The keys are the lower edges of
      the bins, in hundredths: 0, 5, ... 95.
    - `rows` is the number of all predictions in the same period, with and without a label.
    """

    every: Tally
    audit: Tally = Tally()
    confusion: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    bins: Mapping[int, Tally] = field(default_factory=dict)
    rows: int = 0

    @property
    def coverage(self) -> float | None:
        """The share of the predictions that have a label."""
        return min(1.0, self.every.labelled / self.rows) if self.rows else None

    @property
    def random(self) -> bool:
        """Whether the random sample has enough labels to be the only source of known accuracy."""
        return self.audit.labelled >= ENOUGH

    @property
    def known(self) -> Tally:
        """The counts of the random sample if it has enough labels, otherwise of all labels."""
        return self.audit if self.random else self.every


@dataclass(frozen=True, slots=True)
class Card:
    """The accuracy that a model's card states.

    `calibrated_on` is the number of sentences with which the scores were calibrated.
    """

    name: str
    version: str
    profile: str
    accuracy: Interval
    calibrated_on: int

    @classmethod
    def read(cls, card: Mapping[str, Any]) -> Self | None:
        """Read the card, or return None if it states no accuracy or is not calibrated."""
        try:
            low, high = map(float, card["figures"]["accuracy_interval"])
            calibrated_on = int(card["calibrated_on"]["sentences"])
            name, version, profile = (str(card[key]) for key in ("name", "version", "profile"))
        except (KeyError, TypeError, ValueError):
            return None
        if not card.get("calibrated") or calibrated_on < 1:
            return None
        return cls(name, version, profile, Interval(low, high), calibrated_on)


@dataclass(frozen=True, slots=True)
class Estimate:
    """The estimated accuracy of `rows` predictions, and its interval."""

    share: float
    interval: Interval
    rows: int


def wilson(right: float, count: int) -> Interval:
    """Return the 95 % interval of the share `right / count`, or (0, 1) if `count` is 0.

    E. B. Wilson, 1927, "Probable inference, the law of succession, and statistical inference",
    Journal of the American Statistical Association 22.
    """
    if not count:
        return Interval(0.0, 1.0)
    share = right / count
    middle = (share + Z**2 / (2 * count)) / (1 + Z**2 / count)
    half = Z / (1 + Z**2 / count) * sqrt(share * (1 - share) / count + Z**2 / (4 * count**2))
    return Interval(max(0.0, middle - half), min(1.0, middle + half))


def estimate(scores: Moments, calibrated_on: int) -> Estimate | None:
    """Return the estimated accuracy of predictions with these calibrated scores.

    The estimate is the mean score (Guillory et al. 2021, "Predicting with confidence on unseen
    distributions"). The interval is for the share of right answers among exactly these predictions.
    Its variance is (1/n + 1/m) times the mean of p(1 - p), where p is a score. 1/n stands for
    chance in the n answers, and 1/m for the error of a calibration with m sentences. Returns None
    if there are no scores.
    """
    if not scores.count:
        return None
    share = scores.total / scores.count
    spread = max(0.0, (scores.total - scores.squares) / scores.count)
    half = Z * sqrt(spread * (1 / scores.count + 1 / calibrated_on))
    return Estimate(share, Interval(max(0.0, share - half), min(1.0, share + half)), scores.count)


def expected(labelled: Labelled, card: Card) -> Interval:
    """Return the interval in which known accuracy should be.

    If the labels are a random sample, or if there are no scores, this is the card's interval.
    Otherwise it is the lower of two intervals: the card's interval, and an interval of the same
    width around the mean score of the labelled predictions. The reason: people often label the
    least certain predictions. Wrong answers are more frequent among these than among all
    predictions.
    """
    score, (low, high) = labelled.known.score, card.accuracy
    if labelled.random or score is None:
        return card.accuracy
    half = (high - low) / 2
    return min(card.accuracy, Interval(max(0.0, score - half), min(1.0, score + half)))


def below(labelled: Labelled, card: Card, *, before: bool = False) -> bool | None:
    """Return whether known accuracy is too low, or None with too few labels.

    Known accuracy becomes too low when its whole interval is below the expected interval. `before`
    is true if known accuracy was already too low. In this case it stays too low until the share of
    right answers reaches the expected interval. It is not enough that the upper end of the whole
    interval reaches the expected interval, because then a single label could switch the result back
    and forth.
    """
    known = labelled.known
    if known.labelled < ENOUGH or known.share is None:
        return None
    limit = expected(labelled, card).low
    return (known.share if before else known.interval.high) < limit


@dataclass(frozen=True, slots=True)
class Accuracy:
    """The accuracy in a verdict: known from labels, estimated from scores, and expected."""

    labelled: Labelled | None = None
    estimate: Estimate | None = None
    expected: Interval | None = None

    def fields(self) -> dict[str, Any]:
        """Return the fields of a log line (events/monitor.schema.json), except empty fields."""
        found: dict[str, Any] = {}
        if self.labelled:
            known, coverage = self.labelled.known, self.labelled.coverage
            found |= {"labelled": known.labelled, "right": known.right, "known": known.share}
            found |= {"known_low": known.interval.low, "known_high": known.interval.high}
            found |= {"random": self.labelled.random, "coverage": coverage}
        if self.estimate:
            low, high = self.estimate.interval
            found |= {"estimated": self.estimate.share}
            found |= {"estimated_low": low, "estimated_high": high}
        if self.expected:
            found |= {"expected_low": self.expected.low, "expected_high": self.expected.high}
        return {
            name: float(f"{value:.6g}") if isinstance(value, float) else value
            for name, value in found.items()
            if value is not None
        }
