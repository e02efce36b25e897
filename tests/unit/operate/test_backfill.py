"""Tests how a backfill reads the lines of a log group, and ships them."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import boto3
import pytest
from moto import mock_aws
from opensearchpy import RequestsHttpConnection

from operate import backfill as module
from operate.backfill import (
    LogGroupUnknown,
    NothingTaken,
    PatternUnknown,
    Shipped,
    Span,
    backfill,
    filter_names,
    owner,
    pages,
    payloads,
    subscribed_pattern,
)
from shipper.back_off import RetryBudget
from shipper.decode import Payload, line
from shipper.document import Rules, documents
from shipper.outcome import Outcome
from shipper.provenance import RECORD_FILTER
from shipper.ship import ship
from tests.unit.conftest import Bulk

REGION = "eu-west-1"
GROUP = "/aws/lambda/predict"
# The start of yesterday (UTC). A fixed day would become too old for CloudWatch.
BASE = (time.time_ns() // 86_400_000_000_000 - 1) * 86_400_000
DAY = Span(GROUP, BASE, BASE + 86_400_000, "")


@pytest.fixture
def logs(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    with mock_aws():
        client = boto3.client("logs")
        client.create_log_group(logGroupName=GROUP)
        yield client


def put(logs: Any, stream: str, *lines: tuple[int, str]) -> None:
    """Put lines into a log stream. Each has a time, in milliseconds after `BASE`, and a text."""
    logs.create_log_stream(logGroupName=GROUP, logStreamName=stream)
    events = [{"timestamp": BASE + after, "message": text} for after, text in lines]
    logs.put_log_events(logGroupName=GROUP, logStreamName=stream, logEvents=events)


def subscribe(logs: Any, name: str, pattern: str) -> None:
    logs.create_log_group(logGroupName=f"destination-{name}")
    arn = f"arn:aws:logs:{REGION}:123456789012:log-group:destination-{name}"
    logs.put_subscription_filter(
        logGroupName=GROUP, filterName=name, filterPattern=pattern, destinationArn=arn
    )


def texts(found: Iterator[list[dict[str, Any]]]) -> list[list[str]]:
    return [[event["message"] for event in page] for page in found]


class Scripted:
    """A logs client that gives these answers to FilterLogEvents, in order."""

    def __init__(self, *answers: dict[str, Any]) -> None:
        self.answers = list(answers)
        self.asked: list[dict[str, Any]] = []

    def filter_log_events(self, **wanted: Any) -> dict[str, Any]:
        self.asked.append(wanted)
        return self.answers.pop(0)


# --- reading


def test_a_span_includes_its_start_but_not_its_end(logs: Any) -> None:
    put(logs, "a", (999, "before"), (1000, "first"), (1999, "last"), (2000, "after"))
    assert texts(pages(logs, Span(GROUP, BASE + 1000, BASE + 2000, ""))) == [["first", "last"]]


def test_pages_are_read_until_the_last_one(logs: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PAGE_EVENTS", 2)
    put(logs, "a", (1, "1"), (3, "3"), (3, "3 too"))
    put(logs, "b", (2, "2"), (4, "4"))
    assert texts(pages(logs, DAY)) == [["1", "2"], ["3", "3 too"], ["4"]]


def test_a_pattern_and_streams_select_lines(logs: Any) -> None:
    put(logs, "a", (1, "prediction 1"), (2, "START"))
    put(logs, "b", (3, "prediction 2"))
    assert texts(pages(logs, DAY._replace(pattern="prediction"))) == [
        ["prediction 1", "prediction 2"]
    ]
    assert texts(pages(logs, DAY, ["b"])) == [["prediction 2"]]
    assert texts(pages(logs, DAY, ["none"])) == []


def test_empty_pages_and_a_repeated_token_do_not_end_the_reading() -> None:
    # botocore's own paginator raises PaginationError for these answers
    event = {"message": "found", "timestamp": BASE}
    logs = Scripted(
        {"events": [], "nextToken": "t"},
        {"events": [], "nextToken": "t"},
        {"events": [event], "nextToken": "u"},
        {"events": []},
    )
    assert texts(pages(logs, DAY)) == [["found"]]
    assert [wanted.get("nextToken") for wanted in logs.asked] == [None, "t", "t", "u"]
    assert all(
        "filterPattern" not in wanted and "logStreamNames" not in wanted for wanted in logs.asked
    )


def test_an_event_at_the_end_time_is_left_out() -> None:
    logs = Scripted({"events": [event(1), event(2), event(3)]})
    assert [
        [found["eventId"] for found in page] for page in pages(logs, DAY._replace(end=BASE + 3))
    ] == [["1", "2"]]
    assert logs.asked[0]["endTime"] == BASE + 3


# --- the log group and its subscription


def test_the_owner_is_found_only_by_the_whole_name_of_a_group(logs: Any) -> None:
    assert owner(logs, GROUP) == "123456789012"
    with pytest.raises(
        LogGroupUnknown,
        match=r"there is no log group '/aws/lambda/pred' in eu-west-1: check --log-group, --region",
    ):
        owner(logs, "/aws/lambda/pred")  # the beginning of the group's name


def test_the_pattern_comes_from_the_only_subscription(logs: Any) -> None:
    subscribe(logs, "predictions", '{ $.message = "prediction" }')
    assert subscribed_pattern(logs, GROUP) == '{ $.message = "prediction" }'


@pytest.mark.parametrize(
    ("names", "said"),
    [([], "has 0 subscription filters"), (["one", "two"], "2 subscription filters .*: one, two")],
)
def test_without_exactly_one_subscription_a_pattern_is_required(
    logs: Any, names: list[str], said: str
) -> None:
    for name in names:
        subscribe(logs, name, "")
    with pytest.raises(PatternUnknown, match=f"{said}.*--pattern"):
        subscribed_pattern(logs, GROUP)


@pytest.mark.parametrize(
    "more", [{"applyOnTransformedLogs": True}, {"fieldSelectionCriteria": '@aws.account = "1"'}]
)
def test_a_pattern_is_required_if_the_subscription_also_has_other_criteria(
    more: dict[str, Any],
) -> None:
    class Logs:
        def get_paginator(self, name: str) -> Logs:
            assert name == "describe_subscription_filters"
            return self

        def paginate(self, **_: str) -> list[Any]:
            return [
                {"subscriptionFilters": []},
                {"subscriptionFilters": [{"filterName": "f", "filterPattern": "p", **more}]},
            ]

    with pytest.raises(
        PatternUnknown,
        match=rf"f selects lines not only by its pattern \(also by {next(iter(more))}\).*--pattern",
    ):
        subscribed_pattern(Logs(), GROUP)


def test_payloads_are_equal_to_the_payloads_of_a_subscription(logs: Any) -> None:
    odd = 'ä 👍 "\\ \ud800'  # boto3 decodes escapes, so a text may have a lone surrogate
    put(logs, "a", (1, "1"), (3, "3"))
    put(logs, "b", (2, "2"))
    [page] = pages(logs, DAY)
    page[1]["message"] = odd
    found = payloads(page, GROUP, "123456789012")
    assert [
        (payload.kind, payload.owner, payload.log_group, payload.log_stream) for payload in found
    ] == [
        ("DATA_MESSAGE", "123456789012", GROUP, "a"),
        ("DATA_MESSAGE", "123456789012", GROUP, "b"),
    ]
    ids = [event["eventId"] for event in page]
    events = [
        [(event.id, event.timestamp - BASE, line(event)[0]) for event in payload.events]
        for payload in found
    ]
    assert events == [[(ids[0], 1, "1"), (ids[2], 3, "3")], [(ids[1], 2, odd)]]


def test_the_name_of_the_subscription_filter_decides_the_kind_of_a_line(logs: Any) -> None:
    put(logs, "a", (1, '{"prediction":{"label":"a"}}'))
    for name, kind in ((None, "log"), ("another", "log"), (RECORD_FILTER, "prediction")):
        if name:
            subscribe(logs, name, "prediction")
        [page] = pages(logs, DAY)
        [payload] = payloads(page, GROUP, "123456789012", filter_names(logs, GROUP))
        [document] = documents(payload, Rules(), Counter(), now=0)
        assert json.loads(document.source)["@kind"] == kind


# --- shipping


def shipping(connection: RequestsHttpConnection) -> Callable[[Payload], Outcome]:
    return lambda payload: ship(payload, Rules(), connection, RetryBudget(time.monotonic() + 10))


def found(logs: Any) -> Iterator[list[Payload]]:
    return (payloads(page, GROUP, "123456789012") for page in pages(logs, DAY))


def total(steps: Iterator[Shipped]) -> Outcome:
    counted = Outcome()
    for step in steps:
        counted.add(step.outcome)
    return counted


def test_a_second_backfill_changes_nothing(
    logs: Any, bulk: Bulk, connection: RequestsHttpConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PAGE_EVENTS", 3)
    put(logs, "a", *((number, json.dumps({"n": number})) for number in range(5)))
    put(logs, "b", *((number, f"text {number}") for number in range(5)))
    once = total(backfill(found(logs), shipping(connection), 1e9))
    assert (once.indexed, once.duplicate, once.failed) == (10, 0, 0)
    before = dict(bulk.documents)
    assert sorted(
        (json.loads(source)["@log_stream"], json.loads(source).get("n"))
        for source in before.values()
        if b'"n"' in source
    ) == [("a", number) for number in range(5)]
    twice = total(backfill(found(logs), shipping(connection), 1e9))
    assert (twice.indexed, twice.duplicate, twice.failed) == (0, 10, 0)
    assert bulk.documents == before


def test_all_lines_before_the_covered_time_have_been_sent(
    logs: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PAGE_EVENTS", 3)
    put(logs, "a", (1, "x"), (3, "x"), (5, "x"))
    put(logs, "b", (2, "x"), (4, "x"))
    steps = list(backfill(found(logs), lambda payload: Outcome(indexed=len(payload.events)), 1e9))
    assert [(step.outcome.indexed, step.covered - BASE) for step in steps] == [
        (2, 1),
        (1, 3),
        (1, 4),
        (1, 5),
    ]


def test_a_backfill_keeps_to_the_rate(logs: Any) -> None:
    put(logs, "a", *((number, "x") for number in range(10)))
    put(logs, "b", *((number, "x") for number in range(5)))
    pauses: list[float] = []
    list(
        backfill(
            found(logs), lambda payload: Outcome(duplicate=len(payload.events)), 0.1, pauses.append
        )
    )
    # A pause is a little shorter, because the time of the delivery is subtracted.
    assert pauses == [
        pytest.approx(100, abs=5),
        pytest.approx(50, abs=5),
    ]


def taken(*outcomes: Outcome) -> tuple[int, str]:
    """Return the number of payloads that are shipped, and the message of the exception, if any."""
    left = list(outcomes)
    payload = Payload("DATA_MESSAGE", "", GROUP, "a", payloads([event(1)], GROUP, "")[0].events)
    try:
        steps = backfill([[payload]] * len(left), lambda _: left.pop(0), 1e9, lambda _: None)
        return sum(1 for _ in steps), ""
    except NothingTaken as problem:
        return len(outcomes) - len(left), str(problem)


def event(after: int) -> dict[str, Any]:
    return {"eventId": str(after), "timestamp": BASE + after, "message": "", "logStreamName": "a"}


def failing(reason: str, *, count: int = 2, indexed: int = 0) -> Outcome:
    outcome = Outcome(indexed=indexed)
    outcome.reasons[reason] = count
    return outcome


def test_a_backfill_ends_if_the_server_accepts_nothing() -> None:
    away = failing("no connection (ConnectionError)")
    assert taken(Outcome(indexed=1), away, away, away, away) == (
        4,
        (
            "the server accepted nothing from 3 payloads in a row (2 of 2 documents not delivered: "
            "2 x no connection (ConnectionError))"
        ),
    )
    assert taken(away, away, Outcome(duplicate=1), away, away) == (5, "")
    assert taken(*[failing("429 busy", indexed=1)] * 4) == (4, "")  # some documents are accepted
    # All lines of the third payload are excluded, so nothing is sent to the server.
    assert taken(away, away, Outcome(excluded=3), away) == (
        4,
        taken(away, away, away)[1],
    )


def test_the_counts_of_several_outcomes_are_added() -> None:
    counted = Outcome()
    for count in (1, 10):
        one = Outcome(indexed=count, duplicate=count, rescued=count, excluded=count)
        one.reasons["why"] = count
        counted.add(one)
    assert (
        counted.indexed,
        counted.duplicate,
        counted.rescued,
        counted.excluded,
        counted.failed,
    ) == (11,) * 5
