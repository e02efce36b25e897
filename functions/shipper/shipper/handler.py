"""The shipper: a subscription payload in, its documents in OpenSearch out; or the invocation fails and the payload is kept."""

from __future__ import annotations

import os
from typing import Any

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.utilities.typing import LambdaContext

from shipper.client import client
from shipper.decode import decode
from shipper.deliver import deliver
from shipper.document import document
from shipper.report import report

SERVICE = "shipper"
MAX_PAYLOAD_BYTES = int(os.environ.get("MAX_PAYLOAD_BYTES") or 128 * 1024 * 1024)

opensearch = client(os.environ["OPENSEARCH_URL"], os.environ.get("AWS_REGION", ""))
logger = Logger(service=SERVICE, level="INFO", use_rfc3339=True, utc=True, location=None)
metrics = Metrics(namespace="PredictionMonitor", service=SERVICE)


@logger.inject_lambda_context(clear_state=True)
def handler(event: Any, context: LambdaContext) -> dict[str, int]:
    """Ship one payload. Raises `PayloadInvalid` for one that cannot be read, `NotDelivered` for what is not in the index."""
    payload = decode(event, limit=MAX_PAYLOAD_BYTES)
    outcome = deliver((document(line, payload) for line in payload.events), opensearch)
    report(outcome, payload, logger, metrics)
    return outcome.or_raise()
