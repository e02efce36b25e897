"""Tests the built replay function under the real Lambda runtime.

moto imitates the S3 bucket of the dead letters. OpenSearch is real.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import pytest
import requests

from local.cloudwatch import log_event, subscription_event
from local.runtime import Runtime
from local.stack import Stack
from tools.root import ROOT

EVENTS = ROOT / "events" / "replay"
NOON = 1_795_435_200_000


@pytest.fixture(scope="module")
def replay(
    replaying: Callable[[str], AbstractContextManager[Runtime]], running: Stack
) -> Iterator[Runtime]:
    with replaying(running.opensearch_url) as runtime:
        yield runtime


def put(s3: Any, bucket: str, name: str, content: Any) -> None:
    s3.put_object(
        Bucket=bucket,
        Key=f"aws/lambda/async/ShipperFunction/2026/11/23/{name}",
        Body=json.dumps(content).encode(),
    )


def keys(s3: Any, bucket: str) -> list[str]:
    return sorted(item["Key"] for item in s3.list_objects_v2(Bucket=bucket).get("Contents", ()))


def sample(name: str) -> Any:
    return json.loads((EVENTS / f"{name}.json").read_text())


def test_dead_letters_are_replayed_once_and_unreadable_dead_letters_are_moved(
    replay: Runtime, s3: Any, bucket: str, running: Stack
) -> None:
    events = [
        log_event(json.dumps({"marker": "replayed", "n": number}), NOON + number)
        for number in range(500)
    ]
    payload = subscription_event(events, "a-log-group")
    put(
        s3,
        bucket,
        "whole",
        {
            "version": "1.0",
            "requestPayload": payload,
            "responsePayload": {"errorType": "NotDelivered"},
        },
    )
    put(s3, bucket, "the-same-again", {"requestPayload": payload})
    put(s3, bucket, "unreadable", {"requestPayload": {"awslogs": {"data": "bm8gZ3ppcA=="}}})

    counted = replay.invoke(sample("dry-run"))
    assert (counted["found"], counted["waiting"], counted["replayed"]) == (3, 3, 0)
    assert len(keys(s3, bucket)) == 3

    replayed = replay.invoke(sample("scheduled"))
    assert (replayed["found"], replayed["replayed"], replayed["poisoned"], replayed["waiting"]) == (
        3,
        2,
        1,
        0,
    )
    assert keys(s3, bucket) == ["poison/aws/lambda/async/ShipperFunction/2026/11/23/unreadable"]
    assert "gzip" in s3.head_object(Bucket=bucket, Key=keys(s3, bucket)[0])["Metadata"]["reason"]
    requests.post(f"{running.opensearch_url}/cwl-*/_refresh", timeout=10).raise_for_status()
    count = requests.get(
        f"{running.opensearch_url}/cwl-*/_count", params={"q": "marker:replayed"}, timeout=10
    ).json()["count"]
    assert count == len(events)

    assert replay.invoke(sample("scheduled"))["found"] == 0


def test_only_the_selected_dead_letters_are_replayed(replay: Runtime, s3: Any, bucket: str) -> None:
    put(
        s3,
        bucket,
        "of-now",
        {"requestPayload": subscription_event([log_event("line", NOON)], "a-log-group")},
    )
    assert replay.invoke({"until": "2020-01-01T00:00:00Z"})["found"] == 0
    assert replay.invoke({"prefix": "elsewhere/"})["found"] == 0
    assert replay.invoke({"since": "2020-01-01T00:00:00Z"})["replayed"] == 1
