"""A joined record: one label joined to its prediction, by events/joined.schema.json.

Joined records are documents of the monitor's own index. The index has at most one for each
prediction and identifier, so a query on `kind: feedback` counts each label once. Aggregations may
use the fields `feedback.correct` (boolean), `feedback.score`, `feedback.label`,
`feedback.predicted`, `feedback.source`, `model.version`, `log_group`, `model.name`, `stack` and
`@timestamp` (the time of the prediction).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Self

from monitor.summaries.store import Kind, Store
from monitor.summaries.summary import Stream


@dataclass(frozen=True, slots=True)
class Judgement:
    """A label that somebody gave for a prediction.

    `timestamp` is the time of the label, in milliseconds since 1970. `source` is human, model,
    code, audit or empty. `identifier` names one of several judgements of a prediction; it may be
    empty.
    """

    prediction_id: str
    label: str
    timestamp: int
    source: str = ""
    explanation: str = ""
    identifier: str = ""


@dataclass(frozen=True, slots=True)
class Joined:
    """A judgement and its prediction.

    `prediction_timestamp` is in milliseconds since 1970. `version` is the version of the model,
    else of the function, else empty. `score` is the score of the predicted label, or None. If
    `calibrated` is false, scores are no probabilities.
    """

    stream: Stream
    version: str
    profile: str
    prediction_timestamp: int
    predicted: str
    score: float | None
    judgement: Judgement
    calibrated: bool = True

    @property
    def correct(self) -> bool:
        """Whether the predicted label is the right one."""
        return self.predicted == self.judgement.label

    @property
    def key(self) -> str:
        """The id of the document: a later label of the same prediction and identifier has it too.

        It has no label, no time and no stream, so that nothing but prediction and identifier
        decides which label is replaced.
        """
        one = self.judgement
        text = json.dumps([self.stream.stack, one.prediction_id, one.identifier])
        return f"{Kind.FEEDBACK}-{hashlib.sha256(text.encode()).hexdigest()[:32]}"

    def document(self) -> dict[str, Any]:
        """Return the document of the index."""
        one = self.judgement
        said = {
            "source": one.source,
            "explanation": one.explanation,
            "identifier": one.identifier,
        }
        return {
            "kind": Kind.FEEDBACK,
            "key": self.key,
            "@timestamp": _text(self.prediction_timestamp),
            "start": self.prediction_timestamp // 1000,
            "stack": self.stream.stack,
            "log_group": self.stream.log_group,
            "model": {
                "name": self.stream.model,
                "version": self.version,
                "profile": self.profile,
                **({} if self.calibrated else {"calibrated": False}),
            },
            "prediction_id": one.prediction_id,
            "feedback": {
                "label": one.label,
                "predicted": self.predicted,
                "correct": self.correct,
                **({} if self.score is None else {"score": self.score}),
                "prediction_timestamp": _text(self.prediction_timestamp),
                "timestamp": _text(one.timestamp),
                **{name: value for name, value in said.items() if value},
            },
        }

    @classmethod
    def read(cls, source: Mapping[str, Any]) -> Self:
        """Return the joined record of a document that `document` made."""
        model, said = source["model"], source["feedback"]
        return cls(
            stream=Stream(source["stack"], source["log_group"], model["name"]),
            version=model["version"],
            profile=model["profile"],
            prediction_timestamp=milliseconds(said["prediction_timestamp"]),
            predicted=said["predicted"],
            score=said.get("score"),
            judgement=Judgement(
                source["prediction_id"],
                said["label"],
                milliseconds(said["timestamp"]),
                said.get("source", ""),
                said.get("explanation", ""),
                said.get("identifier", ""),
            ),
            calibrated=model.get("calibrated", True),
        )


def read_joined(store: Store, stream: Stream, start: int, end: int) -> Iterator[Joined]:
    """Yield the joined records of a stream whose predictions lie in a span, in their order.

    The span is from `start` until before `end`, in seconds since 1970. A label that was replaced is
    not among them. Raises `ServerProblem`.
    """
    for found in store.between(Kind.FEEDBACK, stream, start, end):
        yield Joined.read(found.source)


def _text(milliseconds: int) -> str:
    """Return a time as RFC 3339, in UTC, with milliseconds."""
    moment = datetime.fromtimestamp(milliseconds // 1000, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{milliseconds % 1000:03}Z"


def milliseconds(text: str) -> int:
    """Return a time of the index (RFC 3339) in milliseconds since 1970."""
    moment = datetime.fromisoformat(text)
    return int(moment.timestamp()) * 1000 + moment.microsecond // 1000
