"""Tests that no document is lost if an index refuses it, permanently or temporarily.

The built shipper sends the documents to a real OpenSearch.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import requests

from local.asynchronous import Asynchronous
from local.cloudwatch import log_event, subscription_event
from local.runtime import FunctionFailed, Runtime
from local.runtime import running as start
from local.stack import Stack
from local.template import Function, Template
from shipper.document import METADATA
from tools.root import ROOT

ENVELOPE = {
    "@id",
    "@timestamp",
    "@delay_ms",
    "@position",
    "@message",
    "@owner",
    "@log_group",
    "@log_stream",
    "@kind",
    "@stack",
}
DAY = 86_400_000
FIRST_DAY = 946_684_800_000  # 2000-01-01; no other test has documents of these days
GOOD = ('{"marker": "before"}', '{"marker": "after"}')
# If an index has a write block, OpenSearch answers 403. If a full disk has blocked the index (flood
# stage), OpenSearch answers 429.
BLOCKS = {
    "write block": "index.blocks.write",
    "flood stage": "index.blocks.read_only_allow_delete",
}

Error = dict[str, str]
Events = list[dict[str, Any]]


def deep(levels: int) -> str:
    return '{"a":' * levels + "1" + "}" * levels


# If a name occurs twice in an object, the shipper sends the document again, with only the last
# value of that name.
TWICE = {
    "type": "mapper_parsing_exception",
    "field": "twice",
    "name": "twice in one object",
}

# The key is the name of a case. The value has two parts: a line, and the error of its rescued
# document. The error is None if the index accepts the whole document.
LINES: dict[str, tuple[str, Error | None]] = {
    "text instead of an object": (
        '{"prediction": "none"}',
        {"type": "mapper_parsing_exception", "field": "prediction"},
    ),
    "more fields than an index allows": (
        json.dumps({f"f{number}": number for number in range(1100)}),
        {"type": "not sent whole", "limit": "total fields [1000]"},
    ),
    "a key twice": ('{"twice": 1, "twice": 2}', TWICE),
    "a key twice in an inner object": ('{"a": {"twice": 1, "twice": 2}}', TWICE),
    "nested more deeply than a mapping allows": (
        deep(30),
        {"type": "mapper_parsing_exception", "limit": "[20]"},
    ),
    "nested more deeply than OpenSearch's parser allows": (
        deep(1100),
        {"type": "not sent whole", "limit": "mapping depth [20]"},
    ),
    "an empty name": (
        '{"": 1}',
        {"type": "mapper_parsing_exception", "name": "field name cannot be an empty string"},
    ),
    "two dots in a name": ('{"a..b": 1}', {"type": "mapper_parsing_exception", "field": "a..b"}),
    "a name of 60,000 characters": (
        json.dumps({"x" * 60_000: 1}),
        {"type": "mapper_parsing_exception"},
    ),
    "a number of 1,100 digits": (f'{{"n": {"9" * 1100}}}', {"type": "mapper_parsing_exception"}),
    "nested more deeply than any parser allows": ("[" * 100_000, None),
    "a number of 30 digits": (f'{{"n": {10**30}}}', None),
    "a number beyond a double": (
        '{"n": 1e400}',
        {"type": "mapper_parsing_exception", "field": "n"},
    ),
    "NaN and infinity": ('{"n": NaN, "m": -Infinity}', None),
    "text instead of a date": ('{"timestamp": "yesterday"}', None),
    "an object instead of a number": (
        '{"latency_ms": {"a": 1}}',
        {"type": "mapper_parsing_exception", "field": "latency_ms"},
    ),
    "an object instead of a type": (
        '{"type": {"a": 1}}',
        {"type": "mapper_parsing_exception", "field": "type"},
    ),
    "text instead of a number": (
        '{"latency_ms": "fast"}',
        {"type": "mapper_parsing_exception", "field": "latency_ms"},
    ),
    "OpenSearch's own fields": (json.dumps(dict.fromkeys(METADATA, 1)), None),
    "the envelope's fields": (
        '{"@id": 1, "@message": {"a": 1}, "@timestamp": "never", "@rescued": "no"}',
        None,
    ),
    "other fields with an underscore": ('{"_all": 1, "_size": "x", "_own": {"a": 1}}', None),
    "a lone surrogate": ("plain \ud800 words", None),
    "a lone surrogate in a field": ('{"s": "\\ud800", "t": "\udfff"}', None),
    "a NUL character": ('{"s": "\\u0000"} \x00', None),
    "one megabyte of text": ("x" * 1_000_000, None),
    "one megabyte in a field": (json.dumps({"s": "ä" * 160_000}), None),
    "lines of a bulk body": (
        '{"marker": 1}\n{"create":{"_index":"cwl-1999.01.01"}}\n{"a":1}',
        None,
    ),
    "an empty line": ("", None),
}


@pytest.fixture(scope="module")
def starting(
    template: Template, built: Path, runtime_packages: Path, running: Stack
) -> Callable[[int], AbstractContextManager[Runtime]]:
    """Return a function that starts the built shipper with a time limit in seconds.

    The shipper reserves four seconds of the time limit for its report.
    """

    @contextmanager
    def started(seconds: int) -> Iterator[Runtime]:
        function = replace(template.functions["ShipperFunction"], timeout=seconds)
        settings = {"OPENSEARCH_URL": running.opensearch_url}
        with start(
            function,
            settings,
            lambda _: None,
            code=built / "ShipperFunction",
            packages=runtime_packages,
        ) as runtime:
            # after this invocation, the cold start is over
            runtime.invoke(payload([], "CONTROL_MESSAGE"))
            yield runtime

    return started


@pytest.fixture(scope="module")
def shipper(starting: Callable[[int], AbstractContextManager[Runtime]]) -> Iterator[Runtime]:
    with starting(60) as runtime:
        yield runtime


@pytest.fixture(scope="module", autouse=True)
def _clean_up_afterwards(running: Stack) -> Iterator[None]:
    yield
    for year in ("2000", "2001"):
        requests.delete(f"{running.opensearch_url}/cwl-log-{year}.*", timeout=30).raise_for_status()


def payload(events: Events, kind: str = "DATA_MESSAGE") -> dict[str, Any]:
    return subscription_event(events, "a-log-group", kind)


def index_of(day: int) -> str:
    return f"cwl-log-{datetime.fromtimestamp(moment(day) / 1000, UTC):%Y.%m.%d}"


def moment(day: int) -> int:
    return FIRST_DAY + day * DAY


def events_of(day: int, *lines: str) -> Events:
    return [log_event(line, moment(day) + number) for number, line in enumerate(lines)]


def found(running: Stack, day: int, event: dict[str, Any]) -> dict[str, Any] | None:
    """Return the document of an event, even if a search cannot find it yet."""
    answer = requests.get(
        f"{running.opensearch_url}/{index_of(day)}/_doc/{event['id']}", timeout=10
    )
    source: dict[str, Any] | None = json.loads(answer.text).get("_source")
    return source


def document(running: Stack, day: int, event: dict[str, Any]) -> dict[str, Any]:
    source = found(running, day, event)
    assert source is not None
    return source


def count(running: Stack, day: int) -> int:
    requests.post(
        f"{running.opensearch_url}/{index_of(day)}/_refresh", timeout=10
    ).raise_for_status()
    total: int = requests.get(
        f"{running.opensearch_url}/{index_of(day)}/_count", timeout=10
    ).json()["count"]
    return total


@contextmanager
def blocked(running: Stack, day: int, setting: str) -> Iterator[Callable[[], None]]:
    """Block a day's index until the yielded function is called.

    The OpenSearch node does not check its disk (local/opensearch.py). Otherwise it would remove the
    block of a full disk (flood stage) within half a minute.
    """
    url = f"{running.opensearch_url}/{index_of(day)}"

    def put(value: str | None) -> None:
        requests.put(f"{url}/_settings", json={setting: value}, timeout=10).raise_for_status()

    requests.put(url, timeout=30).raise_for_status()
    put("true")
    try:
        yield lambda: put(None)
    finally:
        put(None)


@pytest.mark.parametrize("name", LINES)
def test_a_difficult_line_and_its_neighbours_are_indexed(
    name: str, shipper: Runtime, running: Stack
) -> None:
    line, reason = LINES[name]
    day = list(LINES).index(name)
    events = events_of(day, GOOD[0], line, GOOD[1])

    answer = shipper.invoke(payload(events))

    assert answer == {
        "indexed": 3 if reason is None else 2,
        "duplicate": 0,
        "rescued": 0 if reason is None else 1,
        "excluded": 0,
    }
    before, hard, after = (document(running, day, event) for event in events)
    assert (before["marker"], after["marker"]) == ("before", "after")
    assert hard["@message"] == line
    if reason:
        assert hard.keys() - (set(json.loads(line)) if reason is TWICE else set()) == ENVELOPE | {
            "@rescued"
        }
        assert hard["@rescued"] == reason | (
            {} if reason["type"] == "not sent whole" else {"status": "400"}
        )
    else:
        assert not hard.keys() & {"@rescued", *METADATA}
    assert shipper.invoke(payload(events)) == {
        "indexed": 0,
        "duplicate": 3,
        "rescued": 0,
        "excluded": 0,
    }
    assert count(running, day) == 3


@pytest.mark.parametrize(
    ("day", "field", "values"),
    [
        (380, "user", ('"flat"', '{"id": 5}')),
        (381, "user", ('{"id": 5}', '"flat"')),
        (382, "n", ("5", '"words"')),
        (383, "n", ("true", '"perhaps"')),
    ],
)
def test_a_value_of_another_type_never_counts_as_indexed(
    shipper: Runtime, running: Stack, day: int, field: str, values: tuple[str, str]
) -> None:
    """The index must not accept such a value: it would be stored, but no search would find it."""
    shipper.invoke(payload(events_of(day, f'{{"{field}": {values[0]}}}')))
    events = events_of(day, f'{{"{field}": {values[1]}}}')
    assert shipper.invoke(payload(events)) == {
        "indexed": 0,
        "duplicate": 0,
        "rescued": 1,
        "excluded": 0,
    }
    assert document(running, day, events[0])["@rescued"]["field"] == field


def test_our_labels_have_room_even_if_another_log_group_has_many_field_names(
    running: Stack,
) -> None:
    """An index allows 1,000 fields, and each field name or label needs one.

    In one index, the names and our labels together would exceed this limit. But the other group's
    lines are not records, so they have an index of their own.
    """
    day = 384
    names = events_of(day, json.dumps({f"name{number}": 1 for number in range(700)}))
    assert running.shipper.invoke(subscription_event(names, "SomebodysGroup"))["indexed"] == 1
    record = json.loads((ROOT / "events" / "record.prediction.json").read_text())
    record["prediction"] = {
        "label": "label 1",
        "score": 0.5,
        "probability": {f"label {number}": 0.01 for number in range(300)},
    }
    answer = running.shipper.invoke(
        subscription_event(events_of(day, json.dumps(record)), "InferenceLogGroup")
    )
    requests.delete(
        f"{running.opensearch_url}/{index_of(day).replace('log-', '')}", timeout=30
    ).raise_for_status()
    assert (answer["indexed"], answer["rescued"]) == (1, 0)


def test_the_reasons_of_rescued_documents_can_be_counted(shipper: Runtime, running: Stack) -> None:
    day = 370
    lines = [
        LINES[name][0]
        for name in (
            "text instead of an object",
            "more fields than an index allows",
            "a key twice",
            "an empty name",
        )
    ]
    shipper.invoke(payload(events_of(day, *lines)))
    assert count(running, day) == 4
    parts = ("status", "type", "field", "limit", "name")
    query = {"size": 0, "aggs": {part: {"terms": {"field": f"@rescued.{part}"}} for part in parts}}
    answer = requests.post(
        f"{running.opensearch_url}/{index_of(day)}/_search", json=query, timeout=10
    ).json()["aggregations"]
    counts = {
        part: {bucket["key"]: bucket["doc_count"] for bucket in answer[part]["buckets"]}
        for part in parts
    }
    assert counts == {
        "status": {"400": 3},
        "type": {"mapper_parsing_exception": 3, "not sent whole": 1},
        "field": {"prediction": 1, "twice": 1},
        "limit": {"total fields [1000]": 1},
        "name": {"field name cannot be an empty string": 1, "twice in one object": 1},
    }


@pytest.mark.parametrize("block", BLOCKS)
def test_good_documents_are_indexed_while_others_wait_for_the_end_of_a_block(
    block: str, shipper: Runtime, running: Stack
) -> None:
    closed, opened = (372, 373) if block == "write block" else (374, 375)
    waiting, good = (
        events_of(closed, "waits", '{"marker": "waits too"}'),
        events_of(opened, *GOOD, '{"prediction": "rescued"}'),
    )
    answers: list[Any] = []
    with blocked(running, closed, BLOCKS[block]) as release:
        invocation = threading.Thread(
            target=lambda: answers.append(shipper.invoke(payload([waiting[0], *good, waiting[1]])))
        )
        invocation.start()
        until(lambda: all(found(running, opened, event) for event in good))
        assert count(running, opened) == 3  # a search finds the documents too
        assert document(running, opened, good[2])["@rescued"]["field"] == "prediction"
        time.sleep(1)
        assert invocation.is_alive(), "the shipper must wait for the end of the block"
        assert not any(found(running, closed, event) for event in waiting)
        release()
        invocation.join(70)
    assert answers == [{"indexed": 4, "duplicate": 0, "rescued": 1, "excluded": 0}]
    assert [document(running, closed, event)["@message"] for event in waiting] == [
        "waits",
        '{"marker": "waits too"}',
    ]
    assert (count(running, closed), count(running, opened)) == (2, 3)


@pytest.mark.parametrize("block", BLOCKS)
def test_if_documents_stay_blocked_the_invocation_fails_and_a_replay_delivers_them(
    *,
    block: str,
    starting: Callable[[int], AbstractContextManager[Runtime]],
    replaying: Callable[[str], AbstractContextManager[Runtime]],
    template: Template,
    running: Stack,
    s3: Any,
    bucket: str,
) -> None:
    closed, opened = (376, 377) if block == "write block" else (378, 379)
    waiting, good = (
        events_of(closed, "waits", '{"prediction": "rescued one day"}'),
        events_of(opened, *GOOD),
    )
    event = payload([waiting[0], *good, waiting[1]])

    def keep(key: str, content: bytes) -> None:
        s3.put_object(Bucket=bucket, Key=key, Body=content)

    with (
        starting(7) as hasty,
        replaying(running.opensearch_url) as replay,
        blocked(running, closed, BLOCKS[block]) as release,
    ):
        function: Function = replace(template.functions["ShipperFunction"], retries=1)
        status = "403" if block == "write block" else "429"
        # there is no answer if too little time was left for the last request
        last = f"{status} cluster_block_exception|no answer in time"
        with pytest.raises(
            FunctionFailed, match=rf"2 of 4 documents not delivered: 2 x ({last})"
        ) as failure:
            Asynchronous(function, hasty.invoke, keep, (0.1,))(event)
        assert failure.value.kind == "NotDelivered"
        assert count(running, opened) == 2
        assert not any(found(running, closed, event) for event in waiting)
        [letter] = s3.list_objects_v2(Bucket=bucket)["Contents"]
        assert (
            json.loads(s3.get_object(Bucket=bucket, Key=letter["Key"])["Body"].read())[
                "requestPayload"
            ]
            == event
        )

        release()
        assert replay.invoke({})["replayed"] == 1

    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 0
    assert (count(running, closed), count(running, opened)) == (2, 2)
    assert document(running, closed, waiting[0])["@message"] == "waits"
    assert document(running, closed, waiting[1])["@rescued"]["field"] == "prediction"


def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)
