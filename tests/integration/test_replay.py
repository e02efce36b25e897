"""Dead letters in a real S3 interface, the built replay function under the runtime emulator, the real OpenSearch."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
import requests
from moto.server import ThreadedMotoServer

from local.cloudwatch import log_event, subscription_event
from local.runtime import Runtime, find_package, running
from local.stack import Stack
from local.template import ROOT, Template

BUCKET = "dead-letters"
EVENTS = ROOT / "events" / "replay"
NOON = 1_795_435_200_000


@pytest.fixture(scope="module")
def s3() -> Iterator[Any]:
    server = ThreadedMotoServer("127.0.0.1", 0)
    server.start()
    host, port = server.get_host_and_port()
    client = boto3.client(
        "s3", endpoint_url=f"http://{host}:{port}", region_name="us-east-1", aws_access_key_id="test", aws_secret_access_key="test"
    )
    client.create_bucket(Bucket=BUCKET)
    yield client
    server.stop()


@pytest.fixture(scope="module")
def replay(template: Template, built: Path, runtime_packages: Path, running_stack: Stack, s3: Any) -> Iterator[Runtime]:
    for name in ("boto3", "botocore", "s3transfer"):  # the Lambda runtime's own
        (runtime_packages / name).symlink_to(find_package(name))
    settings = {
        "OPENSEARCH_URL": running_stack.opensearch_url,
        "DEAD_LETTER_BUCKET": BUCKET,
        "AWS_ENDPOINT_URL_S3": s3.meta.endpoint_url,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
    }
    function = template.functions["ReplayFunction"]
    with running(function, settings, lambda _: None, code=built / "ReplayFunction", packages=runtime_packages) as runtime:
        yield runtime


@pytest.fixture(scope="module")
def running_stack(running: Stack) -> Stack:
    """The session's stack, under a name that is not a function's of this module."""
    return running


def put(s3: Any, name: str, content: Any) -> None:
    s3.put_object(Bucket=BUCKET, Key=f"aws/lambda/async/ShipperFunction/2026/11/23/{name}", Body=json.dumps(content).encode())


def keys(s3: Any) -> list[str]:
    return sorted(item["Key"] for item in s3.list_objects_v2(Bucket=BUCKET).get("Contents", ()))


def sample(name: str) -> Any:
    return json.loads((EVENTS / f"{name}.json").read_text())


def test_what_waits_is_counted_replayed_once_and_poison_is_set_aside(replay: Runtime, s3: Any, running_stack: Stack) -> None:
    events = [log_event(json.dumps({"marker": "replayed", "n": number}), NOON + number) for number in range(500)]
    payload = subscription_event(events, "a-log-group")
    put(s3, "whole", {"version": "1.0", "requestPayload": payload, "responsePayload": {"errorType": "NotDelivered"}})
    put(s3, "the-same-again", {"requestPayload": payload})
    put(s3, "unreadable", {"requestPayload": {"awslogs": {"data": "bm8gZ3ppcA=="}}})

    counted = replay.invoke(sample("dry-run"))
    assert (counted["found"], counted["waiting"], counted["replayed"]) == (3, 3, 0)
    assert len(keys(s3)) == 3

    replayed = replay.invoke(sample("scheduled"))
    assert (replayed["found"], replayed["replayed"], replayed["poisoned"], replayed["waiting"]) == (3, 2, 1, 0)
    assert keys(s3) == ["poison/aws/lambda/async/ShipperFunction/2026/11/23/unreadable"]
    assert "gzip" in s3.head_object(Bucket=BUCKET, Key=keys(s3)[0])["Metadata"]["reason"]
    requests.post(f"{running_stack.opensearch_url}/cwl-*/_refresh", timeout=10).raise_for_status()
    count = requests.get(f"{running_stack.opensearch_url}/cwl-*/_count", params={"q": "marker:replayed"}, timeout=10).json()["count"]
    assert count == len(events)

    assert replay.invoke(sample("scheduled"))["found"] == 0


def test_a_range_that_nothing_is_of_replays_nothing(replay: Runtime, s3: Any) -> None:
    put(s3, "of-now", {"requestPayload": subscription_event([log_event("line", NOON)], "a-log-group")})
    assert replay.invoke({"until": "2020-01-01T00:00:00Z"})["found"] == 0
    assert replay.invoke({"prefix": "elsewhere/"})["found"] == 0
    assert replay.invoke({"since": "2020-01-01T00:00:00Z"})["replayed"] == 1
