"""Reports one invocation with metrics and one summary line, never with a line per event."""

from __future__ import annotations

from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.metrics import EphemeralMetrics, MetricUnit

from shipper.decode import Payload
from shipper.deliver import Outcome


def report(
    payload: Payload, outcome: Outcome, now: float, logger: Logger, metrics: EphemeralMetrics
) -> None:
    """Write the metrics and the summary line.

    `now` is in seconds since 1970. The metric `EventsReceived` is the sum of the other five metrics
    of events. `PredictionsShipped` counts predictions of live traffic from any function, but only
    in payloads without failures. `IndexDelay` is the time from the oldest line's timestamp to the
    end of the delivery.
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
    # A payload with failures is delivered again as a whole, so its predictions count only then.
    shipped = 0 if outcome.failed else outcome.predictions
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
