"""Makes the log record of a prediction, of a request that failed, or of feedback.

The schemas are events/record.schema.json and events/feedback.schema.json. The logger adds the
fields `message` (the kind of record), `cold_start`, `function_request_id` and `correlation_id`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from inference.classifier import Prediction
from inference.descriptors import Usual, describe
from inference.label_fields import field_names
from inference.problem import Problem

VERSION: Final = 2
SCORE_STEPS: Final = 20  # if signals are not logged, scores are rounded to steps of .05


def prediction_record(
    sentence: str,
    prediction: Prediction,
    *,
    prediction_id: str,
    model: dict[str, Any],
    traffic: str,
    key: bytes,
    log_text: bool,
    log_signals: bool,
    usual: Usual,
) -> dict[str, Any]:
    """Return the fields of one `prediction` line.

    Without `log_text`, the line has no `text`. Without `log_signals`, the score is rounded to steps
    of .05, and probabilities, signature, novelty and surprisal are left out. Nobody can then
    guess the text by comparing its record with the records of many other texts.
    """
    return {
        "record_version": VERSION,
        "traffic": traffic,
        "prediction_id": prediction_id,
        **({"text": sentence} if log_text else {}),
        "prediction": {"label": prediction.label, **_scores(prediction, exact=log_signals)},
        "input": {
            **describe(
                sentence,
                tokens=prediction.tokens,
                unknown=prediction.unknown,
                truncated=prediction.truncated,
                key=key,
                usual=usual,
            ),
            **(_signals(prediction) if log_signals else {}),
        },
        "model": model,
        "latency_ms": round(prediction.latency_ms, 3),
    }


def _scores(prediction: Prediction, *, exact: bool) -> dict[str, Any]:
    if exact:
        names = field_names(tuple(prediction.probability))
        return {
            "score": prediction.score,
            "probability": {names[label]: each for label, each in prediction.probability.items()},
        }
    return {"score": round(prediction.score * SCORE_STEPS) / SCORE_STEPS}


def _signals(prediction: Prediction) -> dict[str, Any]:
    return {
        "sig": {f"s{at}": component for at, component in enumerate(prediction.signature)},
        "novelty": _of_single_precision(prediction.novelty),
        "surprisal": _of_single_precision(prediction.surprisal),
    }


def _of_single_precision(value: float) -> float:
    """Round a number to nine significant digits.

    The model calculates with single precision (IEEE 754). Nine digits distinguish all such numbers,
    and further digits carry no information.
    """
    return float(f"{value:.9g}")


def error_record(problem: Problem, model: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of one `prediction_error` line, which never holds text of the input."""
    error = {
        "type": problem.error_type,
        "status": problem.status,
        **({"field": problem.field} if problem.field else {}),
    }
    return {"record_version": VERSION, "traffic": problem.traffic, "error": error, "model": model}


def feedback_record(feedback: Mapping[str, str], *, log_text: bool) -> dict[str, Any]:
    """Return the fields of one `feedback` line.

    Without `log_text`, the explanation is left out, because it may quote the text.
    """
    kept = {name: each for name, each in feedback.items() if log_text or name != "explanation"}
    return {"record_version": VERSION, **kept}
