"""The values that the page shows.

A *stream* is the predictions of one model in one log group.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta


@dataclass(frozen=True, slots=True)
class Span:
    """The time that is shown, from `start` to just before `end`, in buckets of length `step`."""

    start: datetime
    end: datetime
    step: timedelta

    def times(self) -> list[datetime]:
        """Return the beginning of each bucket. The last bucket may reach beyond the end."""
        count = -((self.start - self.end) // self.step)
        return [self.start + self.step * at for at in range(count)]


@dataclass(frozen=True, slots=True)
class Bucket:
    """The predictions of one time step: their number, and their counts by label, flag and version.

    `score` is the mean score. `latency` is the median and the 95 % quantile, in milliseconds. A
    value is None if no prediction has the field.
    """

    time: datetime
    predictions: int
    labels: Mapping[str, int]
    flags: Mapping[str, int]
    versions: Mapping[str, int]
    score: float | None
    latency: tuple[float | None, float | None]


@dataclass(frozen=True, slots=True)
class Predictions:
    """Live predictions of the span.

    `all_labels` begins with the labels that the model can give, in the model's order. Other labels
    that were found come after them. If there are very many labels, only the most frequent labels
    are included. `labels` counts the predictions by label.

    `scores` has 21 counts for each label: 20 bins of the score, each 0.05 wide, and scores of
    exactly 1. `all_scores` has the same counts for all labels together. `texts` is the approximate
    number of different texts, or 0 if it is unknown.
    """

    number: int
    all_labels: tuple[str, ...]
    labels: Mapping[str, int]
    scores: Mapping[str, tuple[int, ...]]
    score: float | None
    latency: tuple[float | None, float | None]
    texts: int
    buckets: tuple[Bucket, ...]
    all_scores: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Refusals:
    """Requests without a prediction.

    `types` counts them by error type. `callers` (status 4xx, the caller's fault) and `ours` (5xx)
    have a count for each time step.
    """

    types: Mapping[str, int]
    callers: tuple[int, ...]
    ours: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Example:
    """One prediction. `text` is None if texts are kept out of the log."""

    time: datetime | None
    text: str | None
    label: str
    score: float | None
    novelty: float | None
    flags: tuple[str, ...]
    hash: str
    chars: int | None
    id: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """The verdict on a window of a stream, which was compared with the stream's baseline.

    `message` is the subject of the message about this window, `change` is the kind of the message,
    and `action` is its advice. If the message was not sent, `silenced` is the reason. `baseline` is
    the number of the baseline. The values `message`, `change`, `action`, `silenced` and `baseline`
    may be empty.
    """

    stream: str
    start: datetime
    end: datetime
    rows: int
    word: str
    sentence: str
    in_a_row: int
    wanted: int
    message: str = ""
    silenced: str = ""
    change: str = ""
    action: str = ""
    baseline: str = ""


@dataclass(frozen=True, slots=True)
class Drift:
    """A signal of a window: a comparison of one property of the predictions with the baseline.

    `part` is the part of the property that moved most, for instance one label. `value` is the
    present value of this part, and `expected` is its usual value. The signal is unusual if `p` is
    below `limit` and `effect` is at least `floor`.
    """

    stream: str
    end: datetime
    signal: str
    p: float | None
    effect: float | None
    floor: float
    part: str
    value: float | None
    expected: float | None
    unusual: bool
    limit: float | None = None


@dataclass(frozen=True, slots=True)
class Shipping:
    """The documents of the span.

    `kinds` counts them by kind. `rescued` is the number of documents that lost a field. `delay` is
    the time from event to arrival: the median and the 95 % quantile, in milliseconds.
    """

    kinds: Mapping[str, int]
    rescued: int
    delay: tuple[float | None, float | None]


@dataclass(frozen=True, slots=True)
class Said:
    """A log line of the canary or of feedback. `word` is its result or label, and may be empty."""

    time: datetime | None
    kind: str
    word: str
    sentence: str


@dataclass(frozen=True, slots=True)
class Canary:
    """The last result of the scheduled canary.

    The canary sends sentences with known answers to the model.

    If the canary failed, `since` is the time of the first failure after the last pass, and
    `passed_before` is true. If no pass was found, `passed_before` is false, and `since` is the time
    of the oldest failure that was found.

    `versions` are the model's version and the function's version. Both may be empty.
    """

    word: str
    sentence: str
    faults: tuple[str, ...] = ()
    since: datetime | None = None
    passed_before: bool = False
    versions: tuple[str, str] = ("", "")


@dataclass(frozen=True, slots=True)
class Gap:
    """A period without predictions.

    `expected` is the usual number of predictions in a period of this length.
    """

    start: datetime
    end: datetime
    expected: float


@dataclass(frozen=True, slots=True)
class View:
    """All that the page shows.

    Verdicts, drifts, the examples of `newest`, and the lines of each kind in `others` are in order
    of time, the newest first. `failed` has a pair for each index in which a search failed: the
    index's name and the reason.
    """

    span: Span
    predictions: Predictions
    refusals: Refusals
    verdicts: tuple[Verdict, ...]
    drifts: tuple[Drift, ...]
    newest: tuple[Example, ...]
    uncertain: tuple[Example, ...]
    strangest: tuple[Example, ...]
    shipping: Shipping
    others: tuple[Said, ...]
    gaps: tuple[Gap, ...]
    canary: Canary | None = None
    failed: tuple[tuple[str, str], ...] = ()
