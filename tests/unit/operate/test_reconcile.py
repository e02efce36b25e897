"""Tests how lines and documents are counted in intervals, and how their ids are compared."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import boto3
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from moto import mock_aws
from opensearchpy import RequestsHttpConnection

from operate.backfill import Span, pages, payloads
from operate.reconcile import (
    IdsDiffer,
    Row,
    SearchFailed,
    compare_ids,
    gap,
    index_counts,
    interval,
    log_counts,
    milliseconds,
    rows,
    search,
    starts,
)
from shipper.back_off import RetryBudget
from shipper.document import Rules
from shipper.read import Kind
from shipper.ship import ship
from tests.unit.conftest import CLOSE, Answer, Bulk, as_json, problem
from tests.unit.operate.searches import rename, searchable

REGION = "eu-west-1"
GROUP = "/aws/lambda/predict"
MINUTE, HOUR = 60_000, 3_600_000
# yesterday at 10:17:30.250
BASE = (time.time_ns() // 86_400_000_000_000 - 1) * 86_400_000 + 10 * HOUR + 17 * MINUTE + 30_250
SPAN = Span(GROUP, BASE, BASE + 4 * HOUR, "")


@pytest.fixture
def logs(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    with mock_aws():
        client = boto3.client("logs")
        client.create_log_group(logGroupName=GROUP)
        yield client


@pytest.fixture
def index(bulk: Bulk) -> Bulk:
    return searchable(bulk)


def put(logs: Any, stream: str, *times: int) -> None:
    """Write a line at each of these times (milliseconds after `BASE`) to a new log stream."""
    logs.create_log_stream(logGroupName=GROUP, logStreamName=stream)
    events = [{"timestamp": BASE + after, "message": f"line {after}"} for after in times]
    logs.put_log_events(logGroupName=GROUP, logStreamName=stream, logEvents=events)


def ship_all(logs: Any, connection: RequestsHttpConnection, span: Span = SPAN) -> None:
    for page in pages(logs, span):
        for payload in payloads(page, GROUP, "123456789012"):
            assert not ship(payload, Rules(), connection, RetryBudget(time.monotonic() + 10)).failed


# --- intervals


def test_intervals_are_read() -> None:
    assert [interval(text) for text in ("30s", "5m", "1h", "1d")] == [
        30_000,
        5 * MINUTE,
        HOUR,
        24 * HOUR,
    ]


@pytest.mark.parametrize(
    "text", ["", "h", "1", "0h", "-1h", "1.5h", "1w", "1H", " 1h", "1h ", "1h30m", "²h", "9999999h"]
)
def test_a_text_that_is_no_interval_is_refused(text: str) -> None:
    with pytest.raises(
        ValueError, match="an interval is a number and a unit, such as 30s, 5m, 1h, 1d, not"
    ):
        interval(text)


def test_too_many_intervals_are_refused() -> None:
    assert len(starts(Span(GROUP, 0, 1000 * HOUR, ""), HOUR)) == 1000
    with pytest.raises(ValueError, match="1001 intervals are too many: choose a longer interval"):
        starts(Span(GROUP, 0, 1000 * HOUR + 1, ""), HOUR)


def test_a_time_is_converted_to_milliseconds() -> None:
    assert milliseconds(datetime.fromisoformat("1970-01-01T01:00:00.001+01:00")) == 1
    assert milliseconds(datetime.fromisoformat("2026-11-23T12:00:00.123999Z")) == 1795435200123


# --- counting


def test_lines_and_documents_are_counted_in_the_same_intervals(
    logs: Any, index: Bulk, connection: RequestsHttpConnection
) -> None:
    at = (-1, 0, HOUR - 1, HOUR, HOUR, 3 * HOUR - 1, 4 * HOUR - 1, 4 * HOUR)
    put(logs, "a", *at)
    ship_all(logs, connection, Span(GROUP, BASE - 1, BASE + 4 * HOUR + 1, ""))
    expected = {BASE: 2, BASE + HOUR: 2, BASE + 2 * HOUR: 1, BASE + 3 * HOUR: 1}
    assert index_counts(connection, SPAN, HOUR) == expected
    [page] = pages(logs, SPAN)
    assert log_counts(page, SPAN, HOUR, frozenset()) == expected
    assert len(index.documents) == len(at)


@given(
    times=st.lists(st.integers(0, 10 * HOUR)),
    start=st.integers(0, 10 * HOUR),
    length=st.integers(1, 10 * HOUR),
    every=st.sampled_from([30_000, 7 * MINUTE, HOUR, 24 * HOUR]),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
def test_nothing_is_missing_if_the_index_has_every_line(
    index: Bulk,
    connection: RequestsHttpConnection,
    *,
    times: list[int],
    start: int,
    length: int,
    every: int,
) -> None:
    every = max(every, length // 1000 + 1)
    span = Span(GROUP, start, start + length, "")
    inside = [{"timestamp": at, "message": "x"} for at in times if span.start <= at < span.end]
    index.documents.clear()
    for number, at in enumerate(times):
        source = {
            "@log_group": GROUP,
            "@timestamp": datetime.fromtimestamp(at / 1000, UTC).isoformat(timespec="milliseconds"),
        }
        index.documents["cwl", str(number)] = json.dumps(source).encode()
    compared = rows(
        span,
        every,
        log_counts(inside, span, every, frozenset()),
        index_counts(connection, span, every),
    )
    assert [row.missing for row in compared] == [0] * len(starts(span, every))
    assert sum(row.documents for row in compared) == len(inside)


def test_documents_of_another_log_group_are_not_counted(
    logs: Any, index: Bulk, connection: RequestsHttpConnection
) -> None:
    put(logs, "a", 0)
    ship_all(logs, connection)
    assert index_counts(connection, SPAN._replace(log_group="/aws/lambda/predict2"), HOUR) == {}
    assert index.documents


def test_a_missing_index_counts_as_no_documents(
    index: Bulk, connection: RequestsHttpConnection
) -> None:
    assert index_counts(connection, SPAN, HOUR) == {}
    assert not index.documents


def test_lines_of_an_excluded_kind_are_not_counted() -> None:
    lines = ["START RequestId: 1 Version: 2", '{"a": 1}', "text"]
    page = [{"timestamp": BASE, "message": text} for text in lines]
    assert log_counts(page, SPAN, HOUR, frozenset({Kind.PLATFORM, Kind.TEXT})).total() == 1


def test_the_gap_is_from_the_first_to_the_last_interval_with_missing_documents() -> None:
    log, index = Counter({0: 1, 10: 2, 30: 5, 40: 1}), Counter({0: 3, 10: 1, 30: 4, 40: 1})
    span = Span(GROUP, 0, 45, "p")
    compared = rows(span, 10, log, index)
    assert compared == [Row(0, 1, 3), Row(10, 2, 1), Row(20, 0, 0), Row(30, 5, 4), Row(40, 1, 1)]
    assert [row.missing for row in compared] == [-2, 1, 0, 1, 0]
    assert gap(compared, span, 10) == Span(GROUP, 10, 40, "p")
    assert gap([Row(40, 1, 0)], span, 10) == Span(GROUP, 40, 45, "p")
    assert gap([Row(0, 1, 1), Row(10, 1, 2)], span, 10) is None


# --- ids


def test_the_ids_of_the_newest_three_documents_are_compared(
    logs: Any, index: Bulk, connection: RequestsHttpConnection
) -> None:
    put(logs, "a", 1, 2)
    put(logs, "b", 2, 3)
    assert compare_ids(logs, connection, SPAN) == 0  # nothing in the index
    ship_all(logs, connection)
    assert compare_ids(logs, connection, SPAN) == 3
    assert compare_ids(logs, connection, SPAN._replace(end=BASE + 2)) == 1
    assert [request.target for request in index.requests].count(
        "/cwl-*/_search"
    ) == 3  # one search for each comparison


@pytest.mark.parametrize("pattern", ["", "none of these"])
def test_different_ids_of_a_document_and_its_line_are_an_error(
    logs: Any, index: Bulk, connection: RequestsHttpConnection, pattern: str
) -> None:
    put(logs, "a", 1, 2)
    ship_all(logs, connection)
    [first, second] = sorted(index.ids, key=int)
    rename(index, first, "another")
    with pytest.raises(
        IdsDiffer,
        match=rf"the index has document another at .*\.251Z, but CloudWatch now has the id {first} "
        r"for the line: ",
    ):
        compare_ids(logs, connection, SPAN._replace(pattern=pattern))
    assert second in index.ids


def test_only_lines_of_the_same_log_stream_are_compared(
    logs: Any, index: Bulk, connection: RequestsHttpConnection
) -> None:
    put(logs, "a", 1)
    put(logs, "b", 1)
    ship_all(logs, connection)
    logs.delete_log_stream(logGroupName=GROUP, logStreamName="b")
    assert compare_ids(logs, connection, SPAN) == 1
    assert len(index.documents) == 2


def test_lines_that_cloudwatch_no_longer_has_are_not_compared(
    logs: Any, index: Bulk, connection: RequestsHttpConnection
) -> None:
    put(logs, "a", 1)
    ship_all(logs, connection)
    logs.delete_log_stream(logGroupName=GROUP, logStreamName="a")
    assert compare_ids(logs, connection, SPAN) == 0

    class Real:  # CloudWatch refuses the request; moto returns an empty answer
        exceptions = logs.exceptions

        def filter_log_events(self, **_: Any) -> Any:
            raise logs.exceptions.ResourceNotFoundException(
                {"Error": {"Code": "ResourceNotFoundException"}}, "FilterLogEvents"
            )

    assert compare_ids(Real(), connection, SPAN) == 0
    assert len(index.documents) == 1


# --- searching


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        pytest.param(
            CLOSE,
            r"OpenSearch does not answer \(ConnectionError\): check --opensearch and the network",
            id="no answer",
        ),
        pytest.param(
            as_json(
                403,
                problem(
                    "security_exception",
                    "no permissions for [indices:data/read/search] and User [name=secret]",
                ),
            ),
            r"OpenSearch refuses to search cwl-\* \(403 security_exception\): the user needs "
            r"the permission to search cwl-\*$",
            id="403, permission missing",
        ),
        pytest.param(
            Answer(401, "text/plain", b"Unauthorized"),
            r"\(401 without a type: .*\): the user needs the permission",
            id="401 without JSON",
        ),
        pytest.param(
            as_json(400, problem("x_exception", "why")),
            r"refuses to search cwl-\* \(400 x_exception\)$",
            id="400",
        ),
        pytest.param(
            Answer(200, "text/html", b"<html>"),
            "the server is not OpenSearch: check --opensearch",
            id="200 with HTML",
        ),
        pytest.param(
            as_json(200, ["list"]),
            "the server is not OpenSearch: check --opensearch",
            id="200 with a JSON list",
        ),
        pytest.param(
            as_json(200, {"timed_out": True, "_shards": {"failed": 0}}),
            "only for a part of its documents",
            id="timed out",
        ),
        pytest.param(
            as_json(200, {"timed_out": False, "_shards": {"failed": 1}}),
            "only for a part of its documents",
            id="a shard failed",
        ),
    ],
)
def test_a_search_without_a_complete_answer_fails(
    bulk: Bulk, connection: RequestsHttpConnection, answer: Answer, said: str
) -> None:
    bulk.always = answer
    with pytest.raises(SearchFailed, match=said):
        search(connection, {"size": 0})
