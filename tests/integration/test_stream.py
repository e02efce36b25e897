"""Tests the built shipper behind a Kinesis stream.

local/kinesis.py imitates the stream, and Lambda's event source mapping, which invokes the shipper
with records of the stream. moto's S3 keeps the records on which Lambda gives up, and the built
replay function delivers them. OpenSearch is real.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from threading import Thread
from typing import Any

import pytest
import requests

from local.cloudwatch import log_event, subscription_event
from local.kinesis import Mapping, Policy, Stream, policy
from local.runtime import Runtime
from local.runtime import running as start
from local.stack import Stack
from local.template import Template
from tests.integration.conftest import environment

DAY = 86_400_000
FIRST_DAY = 1_038_009_600_000  # 2002-11-23; no other test has documents of these days
SIZES = (1, 5, 20, 1, 1, 100, 3)
POISON = "bm8gZ3ppcA=="  # base64 of "no gzip"

# The key is the name of a trouble. The value has three parts: an index setting, its value during
# the trouble, and its value afterwards. An index has the health "red" if one of its primary shards
# is not allocated.
TROUBLES = {
    "write block": ("index.blocks.write", "true", None),
    "full disk": ("index.blocks.read_only_allow_delete", "true", None),
    "red": ("index.routing.allocation.enable", "none", "all"),
}

Starting = Callable[[int], AbstractContextManager[Runtime]]
Replaying = Callable[[str], AbstractContextManager[Runtime]]


@pytest.fixture(scope="module")
def starting(template: Template, built: Any, runtime_packages: Any, running: Stack) -> Starting:
    """Return a function that starts the built shipper with a time limit in seconds."""

    @contextmanager
    def started(seconds: int) -> Iterator[Runtime]:
        with start(
            replace(template.functions["ShipperFunction"], timeout=seconds),
            environment("ShipperFunction", opensearch=running.opensearch_url),
            lambda _: None,
            code=built / "ShipperFunction",
            packages=runtime_packages,
        ) as runtime:
            yield runtime

    return started


@pytest.fixture(scope="module", autouse=True)
def _clean_up_afterwards(running: Stack) -> Iterator[None]:
    yield
    requests.delete(f"{running.opensearch_url}/cwl-log-2002.*", timeout=30).raise_for_status()


@pytest.fixture
def keep(s3: Any, bucket: str) -> Callable[[str, bytes], None]:
    def put(key: str, content: bytes) -> None:
        s3.put_object(Bucket=bucket, Key=key, Body=content)

    return put


def payload(*numbers: int, day: int = 0) -> dict[str, Any]:
    moment = FIRST_DAY + day * DAY
    events = [log_event(f'{{"n": {number}}}', moment + number) for number in numbers]
    return subscription_event(events, "a-log-group")


def indexed(running: Stack, day: int = 0) -> list[int]:
    """Return the sorted numbers in a day's documents. A number may occur several times."""
    index = f"{running.opensearch_url}/cwl-log-2002.11.{23 + day}"
    requests.post(f"{index}/_refresh", timeout=10).raise_for_status()
    query = {"size": 10_000, "_source": ["n"]}
    hits = requests.post(f"{index}/_search", json=query, timeout=10).json()["hits"]["hits"]
    return sorted(hit["_source"]["n"] for hit in hits)


def objects(s3: Any, bucket: str) -> list[str]:
    return [item["Key"] for item in s3.list_objects_v2(Bucket=bucket).get("Contents", ())]


def hasty(**changes: Any) -> Policy:
    """Return the template's settings of the mapping, but with short pauses and with `changes`."""
    return replace(policy(), window=0, pause=0.02, **changes)


def test_every_line_is_indexed_once_and_only_the_bad_record_is_kept(  # noqa: PLR0917  fixtures
    starting: Starting,
    replaying: Replaying,
    keep: Callable[[str, bytes], None],
    running: Stack,
    s3: Any,
    bucket: str,
) -> None:
    stream, lines, bad = Stream(shards=2), 0, ""
    with starting(60) as runtime:
        mapping = Mapping(stream, runtime.invoke, hasty(retries=2), keep)
        with mapping.running():
            for number in range(70):
                size = SIZES[number % len(SIZES)]
                stream.put(payload(*range(lines, lines + size)))
                lines += size
                if number % 50 == 0:
                    stream.put(subscription_event([log_event("probe", 0)], "g", "CONTROL_MESSAGE"))
                if number == 35:
                    bad = stream.put_data(POISON)
            assert mapping.drain(120)
    assert indexed(running) == list(range(lines))
    (key,) = objects(s3, bucket)
    assert key.startswith(f"aws/lambda/{mapping.uuid}/shardId-00000000000")
    content = json.loads(s3.get_object(Bucket=bucket, Key=key)["Body"].read())
    info = content["KinesisBatchInfo"]
    assert (info["startSequenceNumber"], info["endSequenceNumber"], info["batchSize"]) == (
        bad,
        bad,
        1,
    )
    with replaying(running.opensearch_url) as replay:
        counts = replay.invoke({})
    assert (counts["found"], counts["poisoned"]) == (1, 1)
    assert objects(s3, bucket) == [f"poison/{key}"]
    reason = s3.head_object(Bucket=bucket, Key=f"poison/{key}")["Metadata"]["reason"]
    assert f"1 of 1 records cannot be read; the first is {bad}: kinesis.data" in reason
    s3.delete_object(Bucket=bucket, Key=f"poison/{key}")


@pytest.mark.parametrize("trouble", TROUBLES)
def test_lines_wait_in_the_stream_while_the_server_accepts_no_documents(  # noqa: PLR0917  fixtures
    trouble: str,
    starting: Starting,
    keep: Callable[[str, bytes], None],
    running: Stack,
    s3: Any,
    bucket: str,
) -> None:
    """The trouble lasts longer than an invocation, so Lambda tries again."""
    day = 1 + list(TROUBLES).index(trouble)
    index = f"{running.opensearch_url}/cwl-log-2002.11.{23 + day}"
    name, bad, good = TROUBLES[trouble]

    def set_to(value: str | None) -> None:
        requests.put(f"{index}/_settings", json={name: value}, timeout=10).raise_for_status()

    # With "red", the index gets no shards, because it is created with the setting.
    made = {"settings": {name: bad}} if trouble == "red" else None
    requests.put(
        index, params={"wait_for_active_shards": "0"}, json=made, timeout=30
    ).raise_for_status()
    set_to(bad)
    stream, answers = Stream(), list[Any]()
    with starting(6) as runtime:  # the shipper reserves four of the six seconds for its report

        def invoke(event: Any) -> Any:
            answers.append(runtime.invoke(event))
            return answers[-1]

        mapping = Mapping(stream, invoke, hasty(), keep)
        for number in range(10):
            stream.put(payload(number, day=day))
        reading = Thread(target=mapping.step)
        reading.start()
        deadline = time.monotonic() + 60
        while len(answers) < 2 and time.monotonic() < deadline:
            time.sleep(0.05)
        assert mapping.waiting() == 10
        assert mapping.iterator_age() > 0
        set_to(good)
        reading.join(60)
    assert mapping.waiting() == 0
    assert all(answer["batchItemFailures"] for answer in answers[:2])
    assert answers[-1] == {"batchItemFailures": []}
    assert indexed(running, day=day) == list(range(10))
    assert objects(s3, bucket) == []


def test_lines_are_replayed_after_an_outage_that_outlasts_the_retries(  # noqa: PLR0917  fixtures
    starting: Starting,
    replaying: Replaying,
    keep: Callable[[str, bytes], None],
    running: Stack,
    s3: Any,
    bucket: str,
) -> None:
    index = f"{running.opensearch_url}/cwl-log-2002.11.27"
    requests.put(index, timeout=30).raise_for_status()
    requests.post(f"{index}/_close", timeout=30).raise_for_status()
    stream = Stream()
    with starting(5) as runtime:
        whole = hasty(retries=0, splits_at_first=False)
        mapping = Mapping(stream, runtime.invoke, whole, keep)
        stream.put(payload(*range(7), day=4))
        stream.put(payload(*range(7, 9), day=4))
        mapping.step()
    assert mapping.waiting() == 0
    assert len(objects(s3, bucket)) == 1
    requests.post(f"{index}/_open", timeout=30).raise_for_status()
    with replaying(running.opensearch_url) as replay:
        counts = replay.invoke({})
    assert (counts["replayed"], counts["lines"]) == (1, 9)
    assert indexed(running, day=4) == list(range(9))
    assert objects(s3, bucket) == []
