"""Builds the answer to the caller: a plain object for a direct invocation, or an HTTP response.

The HTTP response is the same for a REST API (v1) and an HTTP API (v2).
"""

from __future__ import annotations

from collections.abc import Sequence
from json import JSONEncoder
from typing import Any

from inference.classifier import Prediction
from inference.problem import Problem, details
from inference.request import Request

encode = JSONEncoder(ensure_ascii=False).encode


def answer(
    request: Request,
    predictions: Sequence[Prediction],
    ids: Sequence[str],
    model: dict[str, str],
    *,
    canary: bool = False,
) -> dict[str, Any]:
    """Return the answer for one sentence or for a batch.

    The answer for a batch is an object whose `predictions` holds one answer per sentence.
    """
    answers = [
        {
            "text": sentence,
            "prediction": {"label": prediction.label, "score": prediction.score},
            "prediction_id": prediction_id,
            "model": model,
            **({"input": _input(prediction)} if canary else {}),
        }
        for sentence, prediction, prediction_id in zip(
            request.sentences, predictions, ids, strict=True
        )
    ]
    return {"predictions": answers} if request.batch else answers[0]


def _input(prediction: Prediction) -> dict[str, Any]:
    """Return the values that a canary compares in addition to label and score.

    A canary sends sentences with known answers to the model.
    """
    return {
        "tokens": prediction.tokens,
        "truncated": prediction.truncated,
        "signature": prediction.signature,
    }


def accepted(labels: int) -> dict[str, Any]:
    """Return the HTTP response 202 to feedback.

    `labels` is the number of accepted labels. The monitor finds out later whether each label
    belongs to a prediction.
    """
    return _response(202, "application/json", {"accepted": labels})


def success(body: dict[str, Any], *, http: bool) -> dict[str, Any]:
    """Return the body itself, or an HTTP response 200 with the body."""
    return _response(200, "application/json", body) if http else body


def refusal(problem: Problem, *, http: bool) -> dict[str, Any]:
    """Return RFC 9457 problem details, or an HTTP response with them and the problem's status."""
    body = details(problem)
    return _response(problem.status, "application/problem+json", body) if http else body


def _response(status: int, content_type: str, body: dict[str, Any]) -> dict[str, Any]:
    return {
        "statusCode": status,
        "headers": {"content-type": content_type},
        "body": encode(body) + "\n",
        "isBase64Encoded": False,
    }
