"""Writes one line of counts and metrics for a payload, or for an attempt to deliver a batch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from shipper.decode import Payload
from shipper.log import Log
from shipper.outcome import Outcome

if TYPE_CHECKING:
    from shipper.stream import Attempt

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
    the sum of the other five metrics of events. Counts of 0 are left out, except for
    `EventsReceived`, because CloudWatch charges for the length of the line.

    `PredictionsShipped` counts predictions of live traffic from any function, but only in payloads
    without failures. `IndexDelay` is the time from the oldest line's timestamp to the end of the
    delivery.
    """
    _write(
        log,
        request_id,
        outcome,
        {"log_group": payload.log_group},
        received=len(payload.events),
        # A payload with failures is delivered again, and its predictions are counted then.
        predictions=0 if outcome.failed else outcome.predictions,
        # The oldest timestamp is computed only if a metric needs it, because a payload may have
        # ten thousand events.
        oldest=(
            min(event.timestamp for event in payload.events)
            if outcome.indexed or outcome.rescued
            else 0
        ),
        now=now,
        memory_utilization=memory_utilization,
    )


def report_attempt(
    log: Log, request_id: str, attempt: Attempt, *, now: float, memory_utilization: float
) -> None:
    """Write the counts of an attempt to deliver a batch, as `report` does for one payload.

    `PredictionsShipped` counts only predictions before the first payload that is not delivered.
    If some records can never be read, the line gives their places in the batch, and the reasons.
    """
    outcome = attempt.outcome
    fields: dict[str, Any] = {"log_groups": sorted(attempt.groups), "records": attempt.records}
    if attempt.first_failed is not None:
        fields["first_failed"] = attempt.first_failed
    if attempt.unreadable:
        fields["unreadable"] = {str(place): why for place, why in attempt.unreadable.items()}
    _write(
        log,
        request_id,
        outcome,
        fields,
        received=attempt.received,
        predictions=outcome.predictions,
        oldest=attempt.oldest,
        now=now,
        memory_utilization=memory_utilization,
        failed=attempt.first_failed is not None,
    )


def _write(
    log: Log,
    request_id: str,
    outcome: Outcome,
    fields: dict[str, Any],
    *,
    received: int,
    predictions: int,
    oldest: int,
    now: float,
    memory_utilization: float,
    failed: bool = False,
) -> None:
    counts = (
        outcome.indexed,
        outcome.duplicate,
        outcome.rescued,
        outcome.excluded,
        outcome.failed,
        predictions,
    )
    metrics: dict[str, float] = {"EventsReceived": received}
    metrics |= {name: count for name, count in zip(COUNTS, counts, strict=True) if count}
    if outcome.indexed or outcome.rescued:
        metrics["IndexDelay"] = max(round(now * 1000 - oldest), 0)
    metrics["MemoryUtilization"] = memory_utilization
    fields["requests"] = outcome.requests
    if outcome.retries:
        fields["retries"] = outcome.retries
    fields["bytes"] = outcome.sent_bytes
    if outcome.reasons:
        fields["reasons"] = dict(outcome.reasons)
    level = "ERROR" if failed or outcome.failed else "INFO"
    log.write(level, "shipment", request_id, fields, metrics)
