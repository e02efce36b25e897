"""The shipper's Lambda handler.

It sends the lines of subscription payloads to OpenSearch. CloudWatch Logs invokes it with one
payload: if a line is not delivered, the invocation fails, so that Lambda keeps the payload. A
Kinesis stream invokes it with a batch of records, each with one payload: the stream keeps the
records that are not delivered.
"""

from __future__ import annotations

import os
import time
from typing import Any

from shipper.back_off import RetryBudget
from shipper.client import connect
from shipper.decode import decode
from shipper.log import Log
from shipper.memory_use import memory_utilization
from shipper.outcome import Outcome
from shipper.report import report, report_attempt
from shipper.settings import settings
from shipper.ship import ship

SERVICE = "shipper"
# Time reserved for the last bulk request and the report. At the time limit, Lambda ends an
# invocation without a warning.
REPORT_SECONDS = 4.0

setting = settings(os.environ)
connection = connect(setting.opensearch_url, os.environ)
log = Log(SERVICE, os.environ.get("AWS_LAMBDA_FUNCTION_NAME", SERVICE))


def handler(event: Any, context: Any) -> dict[str, Any]:
    """Ship one payload, or a batch of a stream.

    For one payload, returns its counts. Raises `PayloadInvalid` if the payload cannot be read, and
    `NotDelivered` if a document is not in the index. For a batch, returns the first record that is
    not delivered.
    """
    if isinstance(event, dict) and "Records" in event:
        return _batch(event, context)
    budget = _budget(context)
    payload = decode(event, limit=setting.max_payload_bytes)
    if payload.log_group == setting.own_log_group:
        _warn(context, payload.log_group)
        outcome = Outcome(excluded=len(payload.events))
    else:
        outcome = ship(payload, setting.rules, connection, budget)
    report(
        log,
        context.aws_request_id,
        payload,
        outcome,
        now=time.time(),
        memory_utilization=memory_utilization(context.memory_limit_in_mb),
    )
    return outcome.or_raise()


def _batch(event: Any, context: Any) -> dict[str, Any]:
    # Imported here, because most stacks have no stream, and every import delays a cold start.
    from shipper.stream import Attempt, ship_stream  # noqa: PLC0415

    def report_one(attempt: Attempt) -> None:
        if setting.own_log_group in attempt.groups:
            _warn(context, setting.own_log_group)
        report_attempt(
            log,
            context.aws_request_id,
            attempt,
            now=time.time(),
            memory_utilization=memory_utilization(context.memory_limit_in_mb),
        )

    return ship_stream(event, setting, connection, _budget(context), report_one)


def _budget(context: Any) -> RetryBudget:
    return RetryBudget(
        time.monotonic() + context.get_remaining_time_in_millis() / 1000 - REPORT_SECONDS
    )


def _warn(context: Any, log_group: str | None) -> None:
    """Warn that the shipper's own log group is subscribed to the shipper.

    An exception would make Lambda retry. Each retry would log new lines, and these lines would be
    shipped too.
    """
    log.write(
        "ERROR",
        "this is the shipper's own log group: remove its subscription",
        context.aws_request_id,
        {"log_group": log_group},
    )
