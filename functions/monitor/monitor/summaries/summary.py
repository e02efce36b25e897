"""The summary of a stream's predictions in a slot of 15 minutes.

A stream is the predictions of one model in one log group. A summary contains no text. Its numbers
can be added, so successive summaries can be joined to a window that is long enough to be judged.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

FORMAT: Final = 1
SLOT: Final = 900  # seconds
TOP: Final = 20  # the largest number of hashes of texts in the summary of a slot

SIGNATURE: Final = tuple(f"input.sig.s{at}" for at in range(8))
PROBABILITY: Final = "prediction.probability"
# For each of these fields, and for each label's probability, a summary has the number of values,
# their sum, and the sum of their squares.
MOMENTS: Final = (
    "prediction.score", "input.words", "input.tokens_per_word", "input.non_letter_share",
    "input.novelty", "input.surprisal", *SIGNATURE,
)  # fmt: skip


class UnknownSummary(ValueError):
    """The document is no summary, or a summary in an unknown format."""


@dataclass(frozen=True, slots=True, order=True)
class Stream:
    """A stream: predictions that are judged together."""

    stack: str
    log_group: str
    model: str


@dataclass(frozen=True, slots=True)
class Moments:
    """The number of values of a field, their sum, and the sum of their squares."""

    count: int = 0
    total: float = 0.0
    squares: float = 0.0

    def __add__(self, other: Moments) -> Moments:
        return Moments(
            self.count + other.count, self.total + other.total, self.squares + other.squares
        )


@dataclass(frozen=True, slots=True)
class Summary:
    """The summary of one stream's predictions of one version.

    It covers the time between `start` and `start + seconds`, in seconds since 1970.

    - `version` is the version of the model, and `profile` the id of its profile. Both may be empty.
    - `rows` is the number of predictions.
    - `moments` maps a field to its moments.
    - `bins` maps a field to the bins of its histogram. Each bin has a code (bins.py), and the code
      is mapped to the number of rows in the bin.
    - `labels`, `flags` and `scripts` map a value to the number of rows that have it.
    - `unknown` counts the rows with a word piece that the tokenizer does not know.
    - `hashes` has the most frequent texts. It maps a text's hash to the number of rows.
    - `distinct` is the approximate number of different texts.
    """

    stream: Stream
    version: str
    start: int
    seconds: int = SLOT
    profile: str = ""
    rows: int = 0
    moments: Mapping[str, Moments] = field(default_factory=dict)
    bins: Mapping[str, Mapping[int, int]] = field(default_factory=dict)
    labels: Mapping[str, int] = field(default_factory=dict)
    flags: Mapping[str, int] = field(default_factory=dict)
    scripts: Mapping[str, int] = field(default_factory=dict)
    unknown: int = 0
    hashes: Mapping[str, int] = field(default_factory=dict)
    distinct: int = 0

    @property
    def end(self) -> int:
        """The end of the time that the summary covers, exclusive."""
        return self.start + self.seconds

    def mean(self, name: str) -> float | None:
        """Return the mean of a field, or None if no row has the field."""
        found = self.moments.get(name)
        return found.total / found.count if found and found.count else None


def total(summaries: Iterable[Summary]) -> Summary:
    """Add one or more summaries. The result covers the time from the first start to the last end.

    It has the stream, the version and the profile of the first summary.
    """
    parts = sorted(summaries, key=lambda s: s.start)
    first = parts[0]
    start, end = first.start, max(s.end for s in parts)
    moments: dict[str, Moments] = {}
    bins: dict[str, Counter[int]] = {}
    for part in parts:
        for name, value in part.moments.items():
            moments[name] = moments.get(name, Moments()) + value
        for name, counts in part.bins.items():
            bins.setdefault(name, Counter()).update(counts)
    return Summary(
        stream=first.stream,
        version=first.version,
        start=start,
        seconds=end - start,
        profile=first.profile,
        rows=sum(s.rows for s in parts),
        moments=moments,
        bins={name: dict(counts) for name, counts in bins.items()},
        labels=_added(s.labels for s in parts),
        flags=_added(s.flags for s in parts),
        scripts=_added(s.scripts for s in parts),
        unknown=sum(s.unknown for s in parts),
        hashes=_added(s.hashes for s in parts),
        distinct=sum(s.distinct for s in parts),
    )


def to_document(summary: Summary) -> dict[str, Any]:
    """Return the summary as a JSON object.

    Fields that are searched are at the root. The numbers that are only read are in `numbers`.
    OpenSearch stores this field, but cannot search it.
    """
    return {
        "format": FORMAT,
        "@timestamp": datetime.fromtimestamp(summary.start, UTC).isoformat().replace("+00:00", "Z"),
        "stack": summary.stream.stack,
        "log_group": summary.stream.log_group,
        "model": {
            "name": summary.stream.model,
            "version": summary.version,
            "profile": summary.profile,
        },
        "start": summary.start,
        "seconds": summary.seconds,
        "rows": summary.rows,
        "numbers": {
            "moments": {n: [m.count, m.total, m.squares] for n, m in summary.moments.items()},
            "bins": {n: {str(c): k for c, k in b.items()} for n, b in summary.bins.items()},
            "labels": dict(summary.labels),
            "flags": dict(summary.flags),
            "scripts": dict(summary.scripts),
            "unknown": summary.unknown,
            "hashes": dict(summary.hashes),
            "distinct": summary.distinct,
        },
    }


def from_document(document: Mapping[str, Any]) -> Summary:
    """Read a summary that `to_document` wrote. Raises `UnknownSummary`."""
    if document.get("format") != FORMAT:
        raise UnknownSummary(
            f"this is no summary in format {FORMAT}, the only format that this version reads"
        )
    try:
        model, numbers = document["model"], document["numbers"]
        return Summary(
            stream=Stream(document["stack"], document["log_group"], model["name"]),
            version=model["version"],
            profile=model["profile"],
            start=int(document["start"]),
            seconds=int(document["seconds"]),
            rows=int(document["rows"]),
            moments={n: Moments(int(m[0]), m[1], m[2]) for n, m in numbers["moments"].items()},
            bins={n: {int(c): int(k) for c, k in b.items()} for n, b in numbers["bins"].items()},
            labels=numbers["labels"],
            flags=numbers["flags"],
            scripts=numbers["scripts"],
            unknown=int(numbers["unknown"]),
            hashes=numbers["hashes"],
            distinct=int(numbers["distinct"]),
        )
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise UnknownSummary(f"a field of the summary cannot be read: {error}") from error


def _added(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    added: Counter[str] = Counter()
    for one in counts:
        added.update(one)
    return dict(added)
