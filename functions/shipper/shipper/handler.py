"""The shipper's Lambda handler.

It sends the lines of a subscription payload to OpenSearch, or fails so that the payload is kept.
"""

from __future__ import annotations

import os
import time
from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.metrics import EphemeralMetrics, MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext

from shipper import logging_variables
from shipper.client import connect
from shipper.decode import decode
from shipper.deliver import Outcome, RetryBudget
from shipper.memory import memory_utilization
from shipper.report import report
from shipper.settings import settings
from shipper.ship import ship

SERVICE = "shipper"
# Time for the last chunk and the report: Lambda ends an invocation at its time limit without a
# warning.
REPORT_SECONDS = 4.0

setting = settings(os.environ)
connection = connect(setting.opensearch_url, os.environ)
logging_variables.ignore(os.environ)
logger = Logger(service=SERVICE, level="INFO", use_rfc3339=True, utc=True, location=None)
# All stacks share the namespace of the metrics.
dimensions = {"function_name": os.environ.get("AWS_LAMBDA_FUNCTION_NAME", SERVICE)}
metrics = EphemeralMetrics(
    namespace="PredictionMonitor", service=SERVICE, default_dimensions=dimensions
)


@logger.inject_lambda_context(clear_state=True)
def handler(event: Any, context: LambdaContext) -> dict[str, int]:
    """Ship one payload.

    Raises `PayloadInvalid` if the payload cannot be read, and `NotDelivered` if a document is not
    in the index.
    """
    budget = RetryBudget(
        time.monotonic() + context.get_remaining_time_in_millis() / 1000 - REPORT_SECONDS
    )
    payload = decode(event, limit=setting.max_payload_bytes)
    if payload.log_group == setting.own_log_group:
        # An exception would make Lambda retry. Each retry would log new lines, and these lines
        # would be shipped too.
        logger.error(
            "this is the shipper's own log group: remove its subscription",
            log_group=payload.log_group,
        )
        outcome = Outcome(excluded=len(payload.events))
    else:
        outcome = ship(payload, setting.rules, connection, budget)
    metrics.add_metric(
        "MemoryUtilization", MetricUnit.Percent, memory_utilization(context.memory_limit_in_mb)
    )
    report(payload, outcome, time.time(), logger, metrics)
    return outcome.or_raise()
