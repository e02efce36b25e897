"""The inference function: an event in, an answer out, one record left in the log for each sentence."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit

from inference.answer import prediction_answer, refusal, success
from inference.classifier import Classifier
from inference.problem import Refused
from inference.record import error_record, prediction_record
from inference.request import Request, asks_description, correlation_id, is_http, parse

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

SERVICE = "inference"
LOG_TEXT = os.environ.get("LOG_TEXT", "true").lower() == "true"
HASH_KEY = os.environ["HASH_KEY"].encode()  # no default: with a known key a short sentence could be guessed
MODEL_FOLDER = Path(os.environ.get("MODEL_FOLDER") or Path(__file__).parent.parent / "model")

if not HASH_KEY:
    raise ValueError("HASH_KEY is empty: set it to a secret of at least 16 characters")

classifier = Classifier(MODEL_FOLDER)
model = {"name": classifier.card["name"], "version": classifier.card["version"]}
logger = Logger(service=SERVICE, level="INFO", use_rfc3339=True, utc=True, location=None)
metrics = Metrics(namespace="PredictionMonitor", service=SERVICE)


@logger.inject_lambda_context(clear_state=True)
def handler(event: Any, context: LambdaContext) -> dict[str, Any]:
    """Answer one event: a prediction, a batch of them, the model's card, or why there is none.

    Raises what the model raises (after leaving its record): the API then answers 500, the function's `Errors` count it.
    """
    logger.set_correlation_id(correlation_id(event))
    http = is_http(event)
    if asks_description(event):
        return {"card": classifier.card}
    try:
        request = parse(event)
    except Refused as problem:
        leave_error(problem.kind, int(problem.status), problem.field, problem.traffic)
        return refusal(problem, http=http)
    return success(predict(request), http=http)


def predict(request: Request) -> dict[str, Any]:
    """The answer's body; leaves one record a sentence."""
    try:
        predictions = [classifier.predict(sentence) for sentence in request.sentences]
    except Exception as failure:
        leave_error(type(failure).__name__, 500, None, request.traffic)
        raise
    answers = []
    for sentence, prediction in zip(request.sentences, predictions, strict=True):
        prediction_id = uuid4().hex
        leave(
            "prediction",
            prediction_record(
                sentence, prediction, prediction_id=prediction_id, model=model, traffic=request.traffic, key=HASH_KEY, log_text=LOG_TEXT
            ),
        )
        metrics.add_metric("PredictionLatency", MetricUnit.Milliseconds, prediction.latency_ms)
        answers.append(prediction_answer(sentence, prediction, prediction_id, model))
    metrics.add_metric("Predictions", MetricUnit.Count, len(answers))
    flush_metrics()
    return {"predictions": answers} if request.batch else answers[0]


def leave_error(kind: str, status: int, field: str | None, traffic: str) -> None:
    """Leave the record of a request without prediction, and count it."""
    leave("prediction_error", error_record(kind=kind, status=status, field=field, model=model, traffic=traffic))
    metrics.add_metric("RefusedRequests" if status < 500 else "PredictionFailures", MetricUnit.Count, 1)
    flush_metrics()


def leave(kind: str, record: dict[str, Any]) -> None:
    """Write one record. A line that cannot be written is logging's own complaint on standard error, never an exception."""
    logger.info(kind, **record)


def flush_metrics() -> None:
    """Write the metrics line; where standard output is gone, say so and go on: a prediction is worth more than its count."""
    try:
        metrics.flush_metrics()
    except (OSError, ValueError) as problem:
        print(f"metrics not written: {problem}", file=sys.stderr)
        metrics.clear_metrics()
