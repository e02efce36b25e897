"""What one invocation did: metrics, and one summary line. Never a line per event."""

from __future__ import annotations

from typing import Any

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit

from shipper.decode import Payload
from shipper.deliver import Outcome


def report(outcome: Outcome, payload: Payload, logger: Logger, metrics: Metrics) -> None:
    """Write the counts. `EventsReceived` is always the sum of the other three."""
    counts = {
        "received": len(payload.events),
        "indexed": outcome.indexed,
        "duplicate": outcome.duplicate,
        "failed": outcome.failed,
    }
    for name, count in counts.items():
        metrics.add_metric(f"Events{name.capitalize()}", MetricUnit.Count, count)
    metrics.flush_metrics()
    summary: dict[str, Any] = {"log_group": payload.log_group, **counts, "reasons": dict(outcome.reasons)}
    (logger.error if outcome.failed else logger.info)("shipment", **summary)
