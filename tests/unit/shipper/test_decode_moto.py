"""Tests that the shipper reads a payload of moto, a library that imitates AWS."""

from __future__ import annotations

import io
import json
import time
import zipfile
from typing import Any

import boto3
import pytest
from moto import mock_aws
from moto.awslambda.models import LambdaFunction
from moto.logs.models import LogEvent

from shipper.decode import decode, line
from tools.root import ROOT

RECORD = ROOT / "events" / "record.prediction.json"
REGION = "us-east-1"


@pytest.fixture
def payloads(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Collect the events with which moto would invoke the function."""
    found: list[Any] = []
    original = LogEvent.__init__

    def with_real_id(self: LogEvent, ingestion_time: int, log_event: dict[str, Any]) -> None:
        original(self, ingestion_time, log_event)
        # moto's id is a number, and CloudWatch's id is a string of digits
        self.event_id = f"{self.event_id:056d}"  # type: ignore[assignment]

    monkeypatch.setattr(LogEvent, "__init__", with_real_id)
    monkeypatch.setattr(
        LambdaFunction, "invoke", lambda _self, body, *_: found.append(json.loads(body))
    )
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    return found


def code() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("shipper.py", "def handler(event, context): pass")
    return buffer.getvalue()


@mock_aws
def test_a_payload_from_moto_is_read(payloads: list[Any]) -> None:
    role = boto3.client("iam", REGION).create_role(
        RoleName="shipper", AssumeRolePolicyDocument="{}"
    )["Role"]["Arn"]
    function = boto3.client("lambda", REGION).create_function(
        FunctionName="shipper",
        Runtime="python3.13",
        Role=role,
        Handler="shipper.handler",
        Code={"ZipFile": code()},
    )
    logs = boto3.client("logs", REGION)
    logs.create_log_group(logGroupName="predictions")
    logs.create_log_stream(logGroupName="predictions", logStreamName="stream")
    logs.put_subscription_filter(
        logGroupName="predictions",
        filterName="all",
        filterPattern="",
        destinationArn=function["FunctionArn"],
    )
    record = json.dumps(json.loads(RECORD.read_text(encoding="utf-8")))
    now = time.time_ns() // 1_000_000
    lines = [{"timestamp": now, "message": record}, {"timestamp": now + 1, "message": "ä 👍"}]
    logs.put_log_events(logGroupName="predictions", logStreamName="stream", logEvents=lines)

    [event] = payloads
    payload = decode(event, 1024 * 1024)
    assert [(found.timestamp, line(found)[0]) for found in payload.events] == [
        (now, record),
        (now + 1, "ä 👍"),
    ]
    assert all(found.id.isdigit() and found.extracted is None for found in payload.events)
    assert (payload.owner, payload.log_group, payload.log_stream) == (
        "123456789012",
        "predictions",
        "stream",
    )
