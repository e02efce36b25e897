"""Reports one invocation in one line of counts and metrics, never with a line per event."""

from __future__ import annotations

from typing import Any, Final

from shipper.decode import Payload
from shipper.deliver import Outcome
from shipper.log import Log

COUNTS: Final = (
    "EventsIndexed",
    "EventsDuplicate",
    "EventsRescued",
    "EventsExcluded",
    "EventsFailed",
    "PredictionsShipped",
)
METRICS: Final = ("EventsReceived", *COUNTS, "IndexDelay", "MemoryUtilization")


def report(
    log: Log,
    request_id: str,
    payload: Payload,
    outcome: Outcome,
    *,
    now: float,
    memory_utilization: float,
) -> None:
    """Write the metrics and the other counts of an invocation as one line.

    `now` is in seconds since 1970, `memory_utilization` in percent. The metric `EventsReceived` is
    the sum of the other five metrics of events. The line has no counts of 0, except for
    `EventsReceived`, because CloudWatch charges more for the line than Lambda for the time.

    `PredictionsShipped` counts predictions of live traffic from any function, but only in payloads
    without failures. `IndexDelay` is the time from the oldest line's timestamp to the end of the
    delivery.
    """
    counts = (
        outcome.indexed,
        outcome.duplicate,
        outcome.rescued,
        outcome.excluded,
        outcome.failed,
        # A payload with failures is delivered again as a whole. Its predictions count only then.
        0 if outcome.failed else outcome.predictions,
    )
    metrics: dict[str, float] = {"EventsReceived": len(payload.events)}
    metrics |= {name: count for name, count in zip(COUNTS, counts, strict=True) if count}
    if outcome.indexed or outcome.rescued:
        delay = round(now * 1000 - min(event.timestamp for event in payload.events))
        metrics["IndexDelay"] = max(delay, 0)
    metrics["MemoryUtilization"] = memory_utilization
    fields: dict[str, Any] = {"log_group": payload.log_group, "requests": outcome.requests}
    if outcome.retries:
        fields["retries"] = outcome.retries
    fields["bytes"] = outcome.sent_bytes
    if outcome.reasons:
        fields["reasons"] = dict(outcome.reasons)
    log.write("ERROR" if outcome.failed else "INFO", "shipment", request_id, fields, metrics)
