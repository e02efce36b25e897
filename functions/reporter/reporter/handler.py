"""The Lambda handler, which makes a report every quarter of an hour.

The report's name in the bucket is the day in UTC, such as 2026-11-23.html, so each report replaces
the day's earlier report. The last report of a day stays until the bucket deletes it.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import boto3
from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from opensearchpy.exceptions import TransportError

from monitor import logging_variables
from monitor.client import connect
from monitor.index_prefix import PREFIX, index_prefix
from monitor.settings import stack_name
from report import page_words
from report.page import render
from report.read import read, span
from report.search import searching

SHOWN: Final = timedelta(days=1)
SECONDS: Final = 15  # the time limit of a search
CONFIG: Final = Config(connect_timeout=3, read_timeout=10, retries={"total_max_attempts": 2})
NEEDED: Final = ("OPENSEARCH_URL", "REPORT_BUCKET")

for variable in NEEDED:
    if not os.environ.get(variable):
        raise ValueError(f"{variable} must be set: see ReportFunction in template.yaml")
stack = stack_name(os.environ.get("STACK", ""), "STACK")
prefix = index_prefix(os.environ.get("INDEX_PREFIX") or PREFIX, "INDEX_PREFIX")
search = searching(connect(os.environ["OPENSEARCH_URL"], os.environ), f"{prefix}*", SECONDS)
s3 = boto3.client("s3", config=CONFIG)
logging_variables.ignore(os.environ)
logger = Logger(service="report", level="INFO", use_rfc3339=True, utc=True, location=None)


class NotMade(Exception):
    """The report was not made. The message is one sentence. An alarm counts such errors."""


@logger.inject_lambda_context(clear_state=True)
def handler(event: Any, context: LambdaContext) -> dict[str, str]:
    """Write the report of the last 24 hours, and return its name and its title.

    The content of the event does not matter. Raises `NotMade` if OpenSearch or the bucket refuses a
    request; the next run tries again.
    """
    now = datetime.now(UTC)
    name = f"{now:%Y-%m-%d}.html"
    try:
        view = read(search, span(now, SHOWN), stack)
        s3.put_object(
            Bucket=os.environ["REPORT_BUCKET"],
            Key=name,
            Body=render(view).encode(),
            ContentType="text/html; charset=utf-8",
            CacheControl="no-store",
        )
    except (TransportError, BotoCoreError, ClientError) as problem:
        raise NotMade(reason(problem)) from None
    answer = page_words.answer(view).title
    logger.info("report", object=name, predictions=view.predictions.number, answer=answer)
    return {"name": name, "answer": answer}


def reason(problem: TransportError | BotoCoreError | ClientError) -> str:
    """Return one sentence about a failure and its remedy. It quotes no text from the server."""
    if isinstance(problem, ClientError):
        code = problem.response["Error"]["Code"]
        return (
            f"the bucket refuses the report ({code}): look at the bucket, its key, and the policy "
            "of the endpoint for S3"
        )
    if isinstance(problem, TransportError):
        if problem.status_code in {401, 403}:
            return (
                f"OpenSearch gives ReportFunction no access ({problem.status_code}): map the "
                "role of ReportFunction to the fine-grained role prediction-monitor-monitor"
            )
        if isinstance(problem.status_code, int):
            return f"OpenSearch refuses a search ({problem.status_code}): the next run tries again"
        return f"OpenSearch cannot be reached ({type(problem).__name__}): the next run tries again"
    return (
        f"the bucket cannot be reached ({type(problem).__name__}): in a VPC, the subnets need a "
        "gateway endpoint for S3"
    )
