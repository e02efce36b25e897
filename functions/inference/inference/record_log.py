"""Writes the records and metrics of a request. A failure here never fails the answer."""

from __future__ import annotations

import logging
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, TextIO

from aws_lambda_powertools import Logger
from aws_lambda_powertools.metrics import EphemeralMetrics, MetricUnit

from inference.classifier import Prediction
from inference.descriptors import Usual
from inference.memory import memory_utilization
from inference.problem import Problem
from inference.record import error_record, prediction_record
from inference.request import Request


class RaisingHandler(logging.StreamHandler[TextIO]):
    """Raises an exception if a line cannot be written.

    The logging module would print the exception with the text of the line, and continue.
    """

    # the base class chose the name
    def handleError(self, _record: logging.LogRecord) -> None:  # noqa: N802
        """Raise the exception that is being handled."""
        raise  # noqa: PLE0704  called by `emit` inside its except


class RecordLog:
    """Writes records and metrics to standard output.

    `model`, `usual`, `key`, `log_text` and `log_signals` are the arguments of `prediction_record`
    that are the same for every record. `memory_mb` is the function's memory in MB.
    """

    def __init__(
        self,
        logger: Logger,
        metrics: EphemeralMetrics,
        *,
        model: dict[str, Any],
        usual: Usual,
        key: bytes,
        log_text: bool,
        log_signals: bool,
        memory_mb: int,
    ) -> None:
        self._logger = logger
        self._metrics = metrics
        self._model = model
        self._usual = usual
        self._key = key
        self._log_text = log_text
        self._log_signals = log_signals
        self._memory_mb = memory_mb

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
                self._logger.info("prediction", **record)
        with self._losing_at_most_the_record():
            if request.traffic == "live":
                self._metrics.add_metric("Predictions", MetricUnit.Count, len(predictions))
                for prediction in predictions:
                    self._metrics.add_metric(
                        "PredictionLatency", MetricUnit.Milliseconds, prediction.latency_ms
                    )
                self._metrics.add_metric(
                    "MemoryUtilization", MetricUnit.Percent, memory_utilization(self._memory_mb)
                )
            self._flush()

    def problem(self, problem: Problem) -> None:
        """Write the record and the metric of a request without a prediction.

        If the model raised an exception, the traceback is written to standard error.
        """
        with self._losing_at_most_the_record():
            self._logger.info("prediction_error", **error_record(problem, self._model))
        with self._losing_at_most_the_record():
            if problem.traffic == "live":
                name = "RefusedRequests" if problem.status < 500 else "PredictionFailures"
                self._metrics.add_metric(name, MetricUnit.Count, 1)
            self._flush()
        if problem.__cause__:  # without the exception's message, which may quote the text
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
        # the contract: a failure to log never fails a prediction
        except Exception as failure:  # noqa: BLE001
            with suppress(OSError, ValueError):  # writing to standard error may fail as well
                print(f"record lost: {type(failure).__name__}", file=sys.stderr)
            self._metrics.add_metric("RecordsLost", MetricUnit.Count, 1)

    def _flush(self) -> None:
        try:
            if self._metrics.metric_set:
                self._metrics.flush_metrics()
        finally:
            self._metrics.clear_metrics()
