"""The inference function's Lambda handler.

It answers an event, and logs one record for each sentence, or for each label of feedback.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from inference import logging_variables
from inference.answer import accepted, answer, refusal, success
from inference.classifier import Classifier, Prediction
from inference.description import description
from inference.feedback import asks_feedback, parse_feedback
from inference.powertools_logger import record_logger
from inference.problem import PredictionFailed, Problem
from inference.request import Request, asks_description, correlation_id, is_http, parse
from inference.write_records import RecordLog

SERVICE = "inference"
LOG_TEXT = os.environ.get("LOG_TEXT", "true")
LOG_SIGNALS = os.environ.get("LOG_SIGNALS", "false")
HASH_KEY = os.environ.get("HASH_KEY", "").encode()
# There is no default key: if the key is known, a short sentence can be guessed from its hash.
if not HASH_KEY:
    raise ValueError("HASH_KEY must be set to a secret, the key of input.hash")
for setting, value in (("LOG_TEXT", LOG_TEXT), ("LOG_SIGNALS", LOG_SIGNALS)):
    if value not in {"true", "false"}:
        raise ValueError(f"{setting} must be true or false, not {value!r}")
logging_variables.ignore(os.environ)

folder = Path(os.environ.get("MODEL_FOLDER") or Path(__file__).parents[1] / "model")
classifier = Classifier(folder)
model = {name: classifier.card[name] for name in ("name", "version")}
labels: list[str] = classifier.card["labels"]
logger = record_logger(SERVICE)
record_log = RecordLog(
    logger,
    # All stacks write their metrics into one namespace. The function's name tells the stacks apart.
    dimensions={
        "service": SERVICE,
        "function_name": os.environ.get("AWS_LAMBDA_FUNCTION_NAME", SERVICE),
    },
    # A record has the field `calibrated` (always false) only if the model is not calibrated.
    model={
        **model,
        "profile": classifier.card["profile"],
        **({} if classifier.card["calibrated"] else {"calibrated": False}),
    },
    usual=classifier.usual,
    key=HASH_KEY,
    log_text=LOG_TEXT == "true",
    # The signals (such as the novelty) help to guess a text. If the text itself is logged, they
    # reveal nothing more.
    log_signals="true" in {LOG_TEXT, LOG_SIGNALS},
    memory_mb=int(os.environ.get("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "1024")),
)


@logger.inject_lambda_context
def handler(event: Any, context: LambdaContext) -> dict[str, Any]:
    """Answer an event.

    The answer holds predictions, the model's description, the number of accepted labels, or a
    problem.
    """
    logger.set_correlation_id(correlation_id(event))
    if asks_description(event):
        return description(folder, classifier.card)
    http = is_http(event)
    if http and asks_feedback(event):
        return take_feedback(event)
    try:
        request = parse(event)
        predictions = predict(request)
    except Problem as problem:
        record_log.problem(problem)
        return refusal(problem, http=http)
    ids = [os.urandom(16).hex() for _ in predictions]
    record_log.predictions(request, predictions, ids)
    canary = request.traffic == "canary" and not http
    return success(answer(request, predictions, ids, model, canary=canary), http=http)


def take_feedback(event: dict[str, Any]) -> dict[str, Any]:
    """Log the labels of a request to /feedback, and accept them."""
    try:
        several = parse_feedback(event, labels)
        record_log.feedback(several)
    except Problem as problem:
        record_log.feedback_problem(problem)
        return refusal(problem, http=True)
    return accepted(len(several))


def predict(request: Request) -> list[Prediction]:
    """Predict each sentence of a request. Raises `PredictionFailed` if the model fails."""
    try:
        return [classifier.predict(sentence) for sentence in request.sentences]
    except Exception as failure:
        raise PredictionFailed(failure, request.traffic) from failure
