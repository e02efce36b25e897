"""The values that the page shows, as the index has them: no request and no markup."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta


@dataclass(frozen=True, slots=True)
class Span:
    """The time that is shown: from `start` to just before `end`, in buckets of `step`."""

    start: datetime
    end: datetime
    step: timedelta

    def times(self) -> list[datetime]:
        """Return the beginning of each bucket. The last bucket may reach beyond the end."""
        count = -((self.start - self.end) // self.step)
        return [self.start + self.step * at for at in range(count)]


@dataclass(frozen=True, slots=True)
class Bucket:
    """The predictions of one step of time: the number in all, and by label, flag and version.

    `score` is the mean score, `latency` the milliseconds that 50 and 95 % of them took at most.
    None where no prediction has the field.
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

    `all_labels` are all that the model can answer, in the model's order, and any others that were
    found; with very many labels, they are the most frequent ones. `scores` counts predictions by
    label, in twentieths from 0 to 1, the last one being a score of exactly 1. `all_scores` counts
    the predictions of every label. `texts` is the number of different texts, about, and 0 where
    none is known.
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
    """Requests without a prediction, by error type and over time.

    Over time, the caller's faults (4xx) and ours (5xx) are counted apart.
    """

    types: Mapping[str, int]
    callers: tuple[int, ...]
    ours: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Example:
    """One prediction. `text` is None where it is kept out of the log."""

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
    """The verdict on a window of a stream, compared with its baseline.

    `message` is the subject of the message about this window, `change` and `action` are its kind
    and its advice, and `silenced` is the reason why the message was not sent. `baseline` is the
    baseline's number. All of these may be empty.
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
    """A signal of a window: the present and the usual value of the part that moved most.

    It is unusual if `p` is below `limit` and `effect` is at least `floor`.
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
    """The documents of the span by kind, and the number that lost a field.

    `delay` has the milliseconds from event to arrival that 50 and 95 % took at most.
    """

    kinds: Mapping[str, int]
    rescued: int
    delay: tuple[float | None, float | None]


@dataclass(frozen=True, slots=True)
class Said:
    """A line of another kind, such as a canary's: its time, a word if any, and a sentence."""

    time: datetime | None
    kind: str
    word: str
    sentence: str


@dataclass(frozen=True, slots=True)
class Canary:
    """The last result of the scheduled canary.

    If it failed, `since` is the first result of an unbroken row of failures. It may have failed
    earlier too, unless `passed_before`. `versions` are the model's version and the function's, and
    either may be empty.
    """

    word: str
    sentence: str
    faults: tuple[str, ...] = ()
    since: datetime | None = None
    passed_before: bool = False
    versions: tuple[str, str] = ("", "")


@dataclass(frozen=True, slots=True)
class Gap:
    """A time without a prediction that is not chance: so many were to be expected."""

    start: datetime
    end: datetime
    expected: float


@dataclass(frozen=True, slots=True)
class View:
    """All that the page shows.

    Verdicts, drifts and examples are the newest first, and so are lines of each kind.

    `failed` has the index and the reason of
    each search that failed in a part of the indices.
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
