"""Tests how the shipper ships a batch of a Kinesis stream.

If a record of the batch is not delivered, the first such record is reported to Lambda, which then
repeats the batch from this record.
"""

from __future__ import annotations

import base64
import gzip
import json
from collections import deque
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from opensearchpy import RequestsHttpConnection

from local.kinesis import Mapping, Policy, Stream
from shipper import deliver
from shipper.decode import PayloadInvalid
from shipper.document import Rules
from shipper.settings import Settings
from shipper.stream import ATTEMPT_PAUSE, Attempt, ship_kept, ship_stream
from tests.unit.conftest import (
    NOON,
    REJECTED,
    UNPARSED,
    Answer,
    Bulk,
    Clock,
    Refusal,
    as_json,
    problem,
)

OWN = "/aws/lambda/shipper"
SETTINGS = Settings("", 1_000_000, Rules(), OWN)
BAD = "####"
FORBIDDEN = Refusal(403, "security_exception", "no permissions", None)
DENIED = as_json(403, problem("security_exception", "no permissions", 403))
AWAY = Answer(503, "text/plain", b"")


def data(*ids: str, kind: str = "DATA_MESSAGE", group: str = "group") -> str:
    """Return the data of a record: a payload of lines with these ids."""
    content = {
        "messageType": kind,
        "owner": "123456789012",
        "logGroup": group,
        "logStream": "s",
        "logEvents": [
            {"id": each, "timestamp": NOON, "message": json.dumps({"n": each})} for each in ids
        ],
    }
    return base64.b64encode(gzip.compress(json.dumps(content).encode())).decode()


def batch(*records: str) -> dict[str, Any]:
    stream = Stream()
    for each in records:
        stream.put_data(each)
    return {"Records": stream.records[0]}


class Shipped:
    """The result of shipping a batch.

    `reported` has the positions of the reported records in the batch.
    """

    def __init__(
        self,
        event: Any,
        connection: RequestsHttpConnection,
        clock: Clock,
        seconds: float = 100,
        settings: Settings = SETTINGS,
    ) -> None:
        self.attempts: list[Attempt] = []
        answer = ship_stream(
            event, settings, connection, clock.budget(seconds), self.attempts.append
        )
        (self.failures,) = answer.values()
        numbers = [each["kinesis"]["sequenceNumber"] for each in event["Records"]]
        self.reported = [numbers.index(each["itemIdentifier"]) for each in self.failures]


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_payloads_of_a_batch_share_requests(
    bulk: Bulk, connection: RequestsHttpConnection, clock: Clock
) -> None:
    shipped = Shipped(batch(*(data(f"{n}a", f"{n}b") for n in range(200))), connection, clock)
    assert shipped.reported == []
    assert len(bulk.requests) == 1
    assert bulk.ids == [f"{n}{letter}" for n in range(200) for letter in "ab"]
    (attempt,) = shipped.attempts
    assert (attempt.records, attempt.received, attempt.outcome.indexed) == (200, 400, 400)
    assert attempt.groups == {"group"}
    assert attempt.oldest == NOON


def test_a_request_holds_documents_of_several_payloads(
    bulk: Bulk,
    connection: RequestsHttpConnection,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(deliver, "CHUNK_BYTES", 3000)
    Shipped(batch(*(data(str(n)) for n in range(40))), connection, clock)
    sizes = [len(request.ids) for request in bulk.requests]
    assert sum(sizes) == 40
    assert max(sizes[:-1]) - min(sizes[:-1]) <= 1
    assert len(sizes) < 10


@pytest.mark.parametrize(
    ("records", "reported", "indexed"),
    [
        pytest.param([data("1"), BAD, data("2")], [1], ["1", "2"], id="in the middle"),
        pytest.param([BAD, data("1")], [0], ["1"], id="first"),
        pytest.param([data("1"), BAD, BAD], [1], ["1"], id="two: the first one is reported"),
        pytest.param([BAD], [0], [], id="the only record"),
        pytest.param([data("1"), ""], [1], ["1"], id="empty"),
        pytest.param(
            [data(*map(str, range(9000))), data("x")], [0], ["x"], id="too large when inflated"
        ),
        pytest.param(
            [data("1", kind="OTHER"), data("2")], [0], ["2"], id="another type of message"
        ),
    ],
)
def test_an_unreadable_record_is_reported_and_the_others_are_delivered(  # noqa: PLR0917  fixtures
    bulk: Bulk,
    connection: RequestsHttpConnection,
    clock: Clock,
    records: list[str],
    reported: list[int],
    indexed: list[str],
) -> None:
    small = Settings("", 500_000, Rules(), None)
    shipped = Shipped(batch(*records), connection, clock, settings=small)
    assert shipped.reported == reported
    assert bulk.ids == indexed
    assert clock.pauses == []
    assert min(shipped.attempts[0].unreadable) == reported[0]


@pytest.mark.parametrize(
    "records",
    [
        pytest.param([], id="no records"),
        pytest.param([data("1", kind="CONTROL_MESSAGE")], id="a control message"),
        pytest.param([data()], id="no lines"),
    ],
)
def test_a_batch_without_lines_sends_nothing(
    bulk: Bulk, connection: RequestsHttpConnection, clock: Clock, records: list[str]
) -> None:
    assert Shipped(batch(*records), connection, clock).reported == []
    assert bulk.requests == []


def test_lines_in_the_log_group_of_the_shipper_are_excluded(
    bulk: Bulk, connection: RequestsHttpConnection, clock: Clock
) -> None:
    shipped = Shipped(batch(data("1", group=OWN), data("2")), connection, clock)
    (attempt,) = shipped.attempts
    assert (shipped.reported, bulk.ids) == ([], ["2"])
    assert (attempt.received, attempt.outcome.excluded) == (2, 1)
    assert OWN in attempt.groups


def test_events_of_another_service_are_refused(
    connection: RequestsHttpConnection, clock: Clock
) -> None:
    with pytest.raises(PayloadInvalid, match="not records of a Kinesis stream"):
        Shipped({"Records": [{"s3": {}}]}, connection, clock)


# --- the server


@pytest.mark.parametrize(
    ("refused", "reported"),
    [
        pytest.param({"3": FORBIDDEN}, [1], id="one line"),
        pytest.param({"5": FORBIDDEN, "2": FORBIDDEN}, [0], id="lines of two records"),
        pytest.param({"6": REJECTED}, [2], id="the server is too busy for one line"),
        pytest.param({"4": UNPARSED}, [1], id="refused in every form"),
    ],
)
def test_the_first_record_with_an_undelivered_line_is_reported(
    bulk: Bulk,
    connection: RequestsHttpConnection,
    clock: Clock,
    refused: dict[str, Refusal],
    reported: list[int],
) -> None:
    bulk.refuse = refused
    shipped = Shipped(batch(data("1", "2"), data("3", "4"), data("5", "6")), connection, clock)
    assert shipped.reported == reported
    assert sorted(bulk.ids) == sorted(set("123456") - set(refused))
    for attempt in shipped.attempts:
        outcome = attempt.outcome
        assert attempt.received == outcome.documents + outcome.excluded


def test_the_batch_is_attempted_again_while_there_is_time(
    bulk: Bulk, connection: RequestsHttpConnection, clock: Clock
) -> None:
    """The first requests lack a permission. Then somebody adds the permission."""
    bulk.answers = deque([DENIED, DENIED])
    shipped = Shipped(batch(data("1"), data("2")), connection, clock, seconds=300)
    assert shipped.reported == []
    assert bulk.ids == ["1", "2"]
    assert clock.pauses == [ATTEMPT_PAUSE, ATTEMPT_PAUSE]
    assert [attempt.first_failed for attempt in shipped.attempts] == [0, 0, None]


def test_the_next_attempt_begins_at_the_first_record_that_is_not_delivered(
    bulk: Bulk, connection: RequestsHttpConnection, clock: Clock
) -> None:
    bulk.scripts["2"] = deque([FORBIDDEN])
    shipped = Shipped(batch(data("1"), data("2"), data("3")), connection, clock, seconds=300)
    assert shipped.reported == []
    assert [request.ids for request in bulk.requests] == [["1", "2", "3"], ["2", "3"]]
    assert [attempt.outcome.duplicate for attempt in shipped.attempts] == [0, 1]


def test_during_an_outage_attempts_go_on_until_the_time_is_up(
    bulk: Bulk, connection: RequestsHttpConnection, clock: Clock
) -> None:
    """Lambda repeats a batch only a few times, so each invocation tries as long as it can."""
    bulk.always = AWAY
    start = clock.now
    shipped = Shipped(batch(data("1"), data("2")), connection, clock, seconds=800)
    assert shipped.reported == [0]
    assert clock.now - start >= 800


def test_the_first_record_is_reported_and_nothing_is_sent_if_no_time_is_left(
    bulk: Bulk, connection: RequestsHttpConnection, clock: Clock
) -> None:
    shipped = Shipped(batch(data("1"), data("2")), connection, clock, seconds=0)
    assert shipped.reported == [0]
    assert bulk.requests == []


def test_the_later_record_is_reported_if_the_time_ends_between_two_records(
    bulk: Bulk,
    connection: RequestsHttpConnection,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(deliver, "CHUNK_BYTES", 1)
    budget = clock.budget(10)
    lefts = iter([5.0] * 4)
    monkeypatch.setattr(type(budget), "left", lambda _: next(lefts, -1.0))
    event = batch(*(data(str(n)) for n in range(5)))
    answer = ship_stream(event, SETTINGS, connection, budget, lambda _: None)
    (failure,) = answer["batchItemFailures"]
    numbers = [each["kinesis"]["sequenceNumber"] for each in event["Records"]]
    delivered = numbers.index(failure["itemIdentifier"])
    assert 0 < delivered < 5
    assert bulk.ids[:delivered] == [str(n) for n in range(delivered)]


@hypothesis_settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    sizes=st.lists(st.integers(0, 4), min_size=1, max_size=8),
    chosen=st.sets(st.integers(0, 30), max_size=4),
    poison=st.sets(st.integers(0, 7), max_size=2),
    chunk=st.sampled_from([1, 900, 5_000_000]),
)
def test_every_record_before_the_reported_one_is_delivered(  # noqa: PLR0917  fixtures
    bulk: Bulk,
    connection: RequestsHttpConnection,
    sizes: list[int],
    chosen: set[int],
    poison: set[int],
    chunk: int,
) -> None:
    bulk.forget()
    lines, records = [], []
    for place, size in enumerate(sizes):
        ids = [f"{place}-{n}" for n in range(size)]
        lines.append([] if place in poison else ids)
        records.append(BAD if place in poison else data(*ids))
    every = [each for ids in lines for each in ids]
    stuck = {every[n % len(every)] for n in chosen} if every else set()
    bulk.refuse = dict.fromkeys(stuck, FORBIDDEN)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(deliver, "CHUNK_BYTES", chunk)
        shipped = Shipped(batch(*records), connection, Clock(), seconds=30)
    bad = [
        place
        for place, ids in enumerate(lines)
        if stuck & set(ids) or (place in poison and place < len(sizes))
    ]
    assert shipped.reported == bad[:1]
    assert sorted(bulk.ids) == sorted(set(every) - stuck)


# --- with an imitation of Lambda's event source mapping


@pytest.mark.parametrize("splits", [True, False])
def test_all_records_but_the_unreadable_one_are_delivered(
    bulk: Bulk, connection: RequestsHttpConnection, splits: bool
) -> None:
    """AWS does not document whether Lambda splits a batch if its first record is reported.

    So both cases are tested.
    """
    stream = Stream()
    bad = ""
    for number in range(10):
        sequence = stream.put_data(BAD if number == 4 else data(str(number)))
        bad = sequence if number == 4 else bad
    kept: list[Any] = []
    mapping = Mapping(
        stream,
        lambda event: ship_stream(event, SETTINGS, connection, Clock().budget(100), lambda _: None),
        Policy(retries=3, splits_at_first=splits),
        lambda _, content: kept.append(json.loads(content)),
        lambda _: None,
    )
    mapping.step()
    assert mapping.waiting() == 0
    assert sorted(map(int, bulk.ids)) == [0, 1, 2, 3, 5, 6, 7, 8, 9]
    (content,) = kept
    assert content["KinesisBatchInfo"]["startSequenceNumber"] == bad
    assert content["KinesisBatchInfo"]["batchSize"] == (1 if splits else 6)
    with pytest.raises(
        PayloadInvalid, match=f"1 of . records cannot be read; the first is {bad}: kinesis.data"
    ):
        ship_kept(json.loads(content["payload"]), SETTINGS, connection, Clock().budget(100))


def test_ship_kept_delivers_all_readable_lines_before_it_refuses_the_batch(
    bulk: Bulk, connection: RequestsHttpConnection, clock: Clock
) -> None:
    """One record of this batch can never be read, so `ship_kept` raises `PayloadInvalid`.

    The scheduled replay does not try such a batch again. So all other lines must be delivered
    before the exception is raised.
    """
    event = batch(BAD, data("1"), data("2"))
    bulk.refuse = {"2": FORBIDDEN}
    assert ship_kept(event, SETTINGS, connection, clock.budget(10)).failed == 1
    bulk.refuse = {}
    with pytest.raises(PayloadInvalid):
        ship_kept(event, SETTINGS, connection, clock.budget(10))
    assert ship_kept(batch(data("2")), SETTINGS, connection, clock.budget(10)).duplicate == 1
