"""A joined record: one label joined to its prediction, in the form of events/joined.schema.json.

Joined records are documents of the monitor's own index. The index has at most one joined record for
each pair of prediction and identifier, so a query on `kind: feedback` counts each label once.
Aggregations may use the fields `feedback.correct` (boolean), `feedback.score`, `feedback.label`,
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
    code, audit or empty. The judgements of one prediction all have different values of
    `identifier`. An `identifier` may be empty.
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

    `prediction_timestamp` is in milliseconds since 1970. `version` is the version of the model. If
    the record has no model version, `version` is the version of the function, or empty. `score`
    is the score of the predicted label, or None. If `calibrated` is false, scores are not
    probabilities.
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
        """The id of the document, made only from stack, prediction and identifier.

        A later label with the same prediction and identifier therefore replaces this document.
        """
        one = self.judgement
        text = json.dumps([self.stream.stack, one.prediction_id, one.identifier])
        return f"{Kind.FEEDBACK}-{hashlib.sha256(text.encode()).hexdigest()[:32]}"

    def document(self) -> dict[str, Any]:
        """Return the document for the index."""
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
        """Read a joined record from a document that `document` returned."""
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
    """Yield the joined records of a stream's predictions in a span, in the order of time.

    The span includes `start` but not `end`, both in seconds since 1970. Replaced labels are left
    out. Raises `ServerProblem`.
    """
    for found in store.between(Kind.FEEDBACK, stream, start, end):
        yield Joined.read(found.source)


def _text(milliseconds: int) -> str:
    moment = datetime.fromtimestamp(milliseconds // 1000, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{milliseconds % 1000:03}Z"


def milliseconds(text: str) -> int:
    """Turn a time in RFC 3339, as the index has it, into milliseconds since 1970."""
    moment = datetime.fromisoformat(text)
    return int(moment.timestamp()) * 1000 + moment.microsecond // 1000
