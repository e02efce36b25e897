"""The log record of a prediction or of a request without one: the contract in events/record.schema.json.

Powertools adds `timestamp`, `level`, `message` (the kind), `service`, `cold_start`, `function_request_id` and
`correlation_id`.
"""

from __future__ import annotations

from typing import Any, Final

from inference.classifier import Prediction
from inference.descriptors import describe
from inference.problem import Problem

VERSION: Final = 1


def prediction_record(
    sentence: str, prediction: Prediction, *, prediction_id: str, model: dict[str, str], traffic: str, key: bytes, log_text: bool
) -> dict[str, Any]:
    """The fields of one `prediction` line; without `text` where raw text is to stay out of the log."""
    return {
        "record_version": VERSION,
        "traffic": traffic,
        "prediction_id": prediction_id,
        **({"text": sentence} if log_text else {}),
        "prediction": {"label": prediction.label, "score": prediction.score, "probability": prediction.probability},
        "input": {
            **describe(sentence, tokens=prediction.tokens, unknown=prediction.unknown, truncated=prediction.truncated, key=key),
            "sig": {f"s{at}": component for at, component in enumerate(prediction.signature)},
            "novelty": prediction.novelty,
            "surprisal": prediction.surprisal,
        },
        "model": model,
        "latency_ms": round(prediction.latency_ms, 3),
    }


def error_record(problem: Problem, model: dict[str, str]) -> dict[str, Any]:
    """The fields of one `prediction_error` line: never a word of the input."""
    error = {"type": problem.error_type, "status": problem.status, **({"field": problem.field} if problem.field else {})}
    return {"record_version": VERSION, "traffic": problem.traffic, "error": error, "model": model}
