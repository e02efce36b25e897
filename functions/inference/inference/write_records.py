"""Writes the records and metrics of a request.

If a record cannot be written, a request for predictions is answered anyway. But a request with
feedback fails, because its only purpose is the record.
"""

from __future__ import annotations

import sys
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from aws_lambda_powertools import Logger

from inference.classifier import Prediction
from inference.descriptors import Usual
from inference.memory_use import memory_utilization
from inference.metrics import metrics_line
from inference.problem import FeedbackFailed, Problem
from inference.record import error_record, feedback_record, prediction_record
from inference.request import Request


class RecordLog:
    """Writes records and metrics to standard output.

    `model`, `usual`, `key`, `log_text` and `log_signals` are the arguments of `prediction_record`
    that are the same for every record. `dimensions` are the dimensions of the metrics. `memory_mb`
    is the function's memory in MB.
    """

    def __init__(
        self,
        logger: Logger,
        *,
        dimensions: dict[str, str],
        model: dict[str, Any],
        usual: Usual,
        key: bytes,
        log_text: bool,
        log_signals: bool,
        memory_mb: int,
    ) -> None:
        self._logger = logger
        self._dimensions = dimensions
        self._model = model
        self._usual = usual
        self._key = key
        self._log_text = log_text
        self._log_signals = log_signals
        self._memory_mb = memory_mb
        self._lost = 0  # lost records that are not yet counted in a line of metrics

    def predictions(
        self, request: Request, predictions: Sequence[Prediction], ids: Sequence[str]
    ) -> None:
        """Write one record per sentence, and the metrics.

        Metrics count live traffic only, as the dashboard panels do.
        """
        for sentence, prediction, prediction_id in zip(
            request.sentences, predictions, ids, strict=True
        ):
            with self._losing_at_most_the_record():
                record = prediction_record(
                    sentence,
                    prediction,
                    prediction_id=prediction_id,
                    model=self._model,
                    traffic=request.traffic,
                    key=self._key,
                    log_text=self._log_text,
                    log_signals=self._log_signals,
                    usual=self._usual,
                )
                self._logger.info("prediction", fields=record)
        self._write_metrics(
            {
                "PredictionLatency": [round(each.latency_ms, 3) for each in predictions],
                "MemoryUtilization": round(memory_utilization(self._memory_mb), 1),
            }
            if request.traffic == "live"
            else {}
        )

    def feedback(self, several: Sequence[Mapping[str, str]]) -> None:
        """Write one record per label, and the metric. Raises `FeedbackFailed`.

        After a failure, the caller sends all labels again. Some labels are then written twice, but
        count only once.
        """
        try:
            for one in several:
                fields = feedback_record(one, log_text=self._log_text)
                self._logger.info("feedback", fields=fields)
        except Exception as failure:
            raise FeedbackFailed(failure) from failure
        self._write_metrics({"FeedbackAccepted": len(several)})

    def feedback_problem(self, problem: Problem) -> None:
        """Count a request whose feedback is refused.

        No record is needed, because the API's access log shows the request and its caller. Answers
        with status 500 are not counted here, because the API counts them itself.
        """
        self._write_metrics({"FeedbackRefused": 1} if problem.status < 500 else {})

    def problem(self, problem: Problem) -> None:
        """Write the record and the metric of a request without a prediction.

        If the model raised an exception, the traceback is written to standard error.
        """
        with self._losing_at_most_the_record():
            fields = error_record(problem, self._model)
            self._logger.info("prediction_error", fields=fields)
        name = "RefusedRequests" if problem.status < 500 else "PredictionFailures"
        self._write_metrics({name: 1} if problem.traffic == "live" else {})
        # Only the traceback is written, because the exception's message may quote the text.
        if problem.__cause__:
            with suppress(OSError, ValueError):
                print(
                    "".join(traceback.format_tb(problem.__cause__.__traceback__)), file=sys.stderr
                )

    @contextmanager
    def _losing_at_most_the_record(self) -> Iterator[None]:
        """Catch any exception in the `with` block, report it on standard error, and count it.

        The answer is sent anyway.
        """
        try:
            yield
        except Exception as failure:  # noqa: BLE001
            with suppress(OSError, ValueError):  # writing to standard error may fail as well
                print(f"record lost: {type(failure).__name__}", file=sys.stderr)
            self._lost += 1

    def _write_metrics(self, values: dict[str, float | list[float]]) -> None:
        lost = {"RecordsLost": self._lost} if self._lost else {}
        with self._losing_at_most_the_record():
            if found := {**values, **lost}:
                print(metrics_line(found, self._dimensions, time.time()), flush=True)
                self._lost = 0
