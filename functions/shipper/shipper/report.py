"""The report of one invocation: metrics and one summary line, never a line per event."""

from __future__ import annotations

from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.metrics import EphemeralMetrics, MetricUnit

from shipper.decode import Payload
from shipper.deliver import Outcome


def report(
    payload: Payload, outcome: Outcome, now: float, logger: Logger, metrics: EphemeralMetrics
) -> None:
    """Write the counts; `EventsReceived` is the sum of the other five.

    `now` is in seconds since 1970.

    `PredictionsShipped` are predictions of live traffic, of whatever function, in payloads of which
    nothing failed. `IndexDelay` is that of the oldest line: from its time to the end of its
    delivery.
    """
    counts = {
        "received": len(payload.events),
        "indexed": outcome.indexed,
        "duplicate": outcome.duplicate,
        "rescued": outcome.rescued,
        "excluded": outcome.excluded,
        "failed": outcome.failed,
    }
    for name, count in counts.items():
        metrics.add_metric(f"Events{name.capitalize()}", MetricUnit.Count, count)
    shipped = 0 if outcome.failed else outcome.predictions  # what failed comes again, whole
    metrics.add_metric("PredictionsShipped", MetricUnit.Count, shipped)
    metrics.add_metric("BulkRequests", MetricUnit.Count, outcome.requests)
    metrics.add_metric("BulkBytes", MetricUnit.Bytes, outcome.sent_bytes)
    metrics.add_metric("BulkRetries", MetricUnit.Count, outcome.retries)
    summary: dict[str, Any] = {
        "log_group": payload.log_group,
        **counts,
        "predictions": shipped,
        "requests": outcome.requests,
        "retries": outcome.retries,
    }
    if outcome.indexed or outcome.rescued:
        delay = round(now * 1000 - min(event.timestamp for event in payload.events))
        metrics.add_metric("IndexDelay", MetricUnit.Milliseconds, max(delay, 0))
        summary["delay_ms"] = delay
    metrics.flush_metrics()
    (logger.error if outcome.failed else logger.info)(
        "shipment", **summary, reasons=dict(outcome.reasons)
    )
