"""Fixtures: an index, a dead-letter bucket, a log group, and a function that runs a command."""

from __future__ import annotations

import base64
import gzip
import json
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import boto3
import pytest
from moto import mock_aws

from operate import __main__ as module
from operate.__main__ import main
from shipper.ship import ship
from tests.unit.conftest import NOON, Answer, Bulk, Refusal
from tests.unit.operate.searches import searchable

REGION = "eu-west-1"
GROUP = "/aws/lambda/predict"
BUCKET = "dead-letters"
# The start of yesterday, in milliseconds since 1970
MIDNIGHT = (time.time_ns() // 86_400_000_000_000 - 1) * 86_400_000
BASE = MIDNIGHT + 37_050_000  # 10:17:30
DAY = datetime.fromtimestamp(MIDNIGHT / 1000, UTC).date().isoformat()
SPAN = ["--from", f"{DAY}T10:17:30", "--to", f"{DAY}T14:00:00"]
ALL = ["--pattern", ""]
AWAY = Answer(503, "text/plain", b"no healthy upstream")
EXPIRED = Refusal(
    403, "security_exception", "no permissions for [indices:data/write/bulk[s]]", None
)
FORBIDDEN = "403 security_exception: the user needs the permission to write"

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in (
        "EXCLUDE",
        "REDACT_FIELDS",
        "REDACT_PATTERNS",
        "REDACT_KEY",
        "OPENSEARCH_URL",
        "AWS_SESSION_TOKEN",
        "FORCE_COLOR",
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("COLUMNS", "200")
    with mock_aws():
        yield


@pytest.fixture
def index(bulk: Bulk) -> Bulk:
    return searchable(bulk)


@pytest.fixture
def run(aws: None, index: Bulk, capsys: pytest.CaptureFixture[str]) -> Run:
    """Return a function that runs a command with the address of the server.

    It returns exit code, standard output and standard error.
    """

    def call(*arguments: str) -> tuple[int, str, str]:
        code = main([*arguments, "--opensearch", index.url])
        return code, *capsys.readouterr()

    return call


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Return the sentence that is printed for wrong arguments."""
    with pytest.raises(SystemExit) as end:
        main(list(arguments))
    assert end.value.code == 2
    written = capsys.readouterr()
    assert written.out == ""
    assert written.err.count("\n") == 1
    return written.err


@pytest.fixture
def bucket(aws: None) -> Any:
    found: Any = boto3.resource("s3").Bucket(BUCKET)
    found.create(CreateBucketConfiguration={"LocationConstraint": REGION})
    return found


def letter(bucket: Any, name: str, *ids: str) -> str:
    """Write a dead letter as Lambda does, with a line for each id, and return its key."""
    events = [{"id": each, "timestamp": NOON, "message": json.dumps({"id": each})} for each in ids]
    payload = {
        "messageType": "DATA_MESSAGE",
        "owner": "1",
        "logGroup": GROUP,
        "logStream": "s",
        "subscriptionFilters": [],
        "logEvents": events,
    }
    event = {
        "awslogs": {"data": base64.b64encode(gzip.compress(json.dumps(payload).encode())).decode()}
    }
    key = f"aws/lambda/async/shipper/2026/11/23/{name}"
    bucket.put_object(
        Key=key, Body=json.dumps({"version": "1.0", "requestContext": {}, "requestPayload": event})
    )
    return key


def keys(bucket: Any) -> set[str]:
    return {item.key for item in bucket.objects.all()}


def interrupt_at(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Raise KeyboardInterrupt in the `number`-th delivery."""
    count = 0

    def interrupted(*arguments: Any) -> Any:
        nonlocal count
        count += 1
        if count == number:
            raise KeyboardInterrupt
        return ship(*arguments)

    monkeypatch.setattr(module, "ship", interrupted)


@pytest.fixture
def logs(aws: None) -> Any:
    client = boto3.client("logs")
    client.create_log_group(logGroupName=GROUP)
    return client


def put(logs: Any, stream: str, *lines: tuple[int, str]) -> None:
    """Put lines into a log stream. Each has a time, in minutes after `BASE`, and a text."""
    logs.create_log_stream(logGroupName=GROUP, logStreamName=stream)
    events = [{"timestamp": BASE + 60_000 * after, "message": text} for after, text in lines]
    logs.put_log_events(logGroupName=GROUP, logStreamName=stream, logEvents=events)


def subscribe(logs: Any, name: str, pattern: str) -> None:
    logs.create_log_group(logGroupName=f"destination-{name}")
    arn = f"arn:aws:logs:{REGION}:123456789012:log-group:destination-{name}"
    logs.put_subscription_filter(
        logGroupName=GROUP, filterName=name, filterPattern=pattern, destinationArn=arn
    )


def backfilling(*more: str) -> list[str]:
    return ["backfill", "--log-group", GROUP, *SPAN, *more]


def counting(*more: str) -> list[str]:
    return ["reconcile", "--log-group", GROUP, *SPAN, *more]


def table(out: str) -> list[list[str]]:
    """Return the cells of each row of a printed table."""
    return [
        [cell.strip() for cell in line.strip("│").split("│")]
        for line in out.splitlines()
        if line.startswith("│")
    ]
