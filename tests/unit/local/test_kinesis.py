"""Test the emulated event source mapping against AWS's documents, case by case."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from local.kinesis import FIRST_SEQUENCE_NUMBER, FOREVER, Mapping, Policy, Stream, first_failed
from local.runtime import FunctionFailed

UUID = "9e4ec2f1-0000-4000-8000-000000000000"
Answer = Callable[[list[str]], Any]


@dataclass
class Function:
    """A fake function: `answer` computes the result from the data of the records.

    `batches` has the data of each batch.
    """

    answer: Answer
    batches: list[str] = field(default_factory=list)

    def __call__(self, event: Any) -> Any:
        datas = [each["kinesis"]["data"] for each in event["Records"]]
        self.batches.append("".join(datas))
        found = self.answer(datas)
        if isinstance(found, FunctionFailed):
            raise found
        if isinstance(found, int):
            number = event["Records"][found]["kinesis"]["sequenceNumber"]
            return {"batchItemFailures": [{"itemIdentifier": number}]}
        return found


def reports(datas: list[str]) -> Any:
    """Report the first record with the data "x"."""
    bad = [place for place, data in enumerate(datas) if data == "x"]
    return bad[0] if bad else {"batchItemFailures": []}


def raises(datas: list[str]) -> Any:
    return FunctionFailed("Runtime.ExitError", "out of memory") if "x" in datas else None


@dataclass
class Delivered:
    batches: list[str]
    kept: list[Any]
    keys: list[str]
    left: int


def deliver(data: str, policy: Policy, answer: Answer) -> Delivered:
    stream = Stream(clock=lambda: 1_000.0)
    kept: list[tuple[str, bytes]] = []
    function = Function(answer)
    mapping = Mapping(
        stream, function, policy, lambda *one: kept.append(one), lambda _: None, uuid=UUID
    )
    for each in data:
        stream.put_data(each)
    mapping.step()
    return Delivered(
        function.batches,
        [json.loads(content) for _, content in kept],
        [key for key, _ in kept],
        mapping.waiting(),
    )


HALVES = Policy(retries=2)
REST = Policy(retries=2, splits_at_first=False)
WHOLE = Policy(retries=1, bisect=False, splits_at_first=False)


@pytest.mark.parametrize(
    ("data", "policy", "answer", "batches", "given_up"),
    [
        pytest.param("abc", HALVES, reports, ["abc"], [], id="all records are delivered"),
        pytest.param("abc", HALVES, lambda _: None, ["abc"], [], id="a null answer is a success"),
        pytest.param("abc", HALVES, lambda _: {}, ["abc"], [], id="an empty answer is a success"),
        pytest.param(
            "abc",
            HALVES,
            lambda _: {"batchItemFailures": None},
            ["abc"],
            [],
            id="a null list is a success",
        ),
        pytest.param(
            "ab",
            WHOLE,
            lambda _: {"batchItemFailures": [{"itemIdentifier": ""}]},
            ["ab", "ab"],
            ["ab"],
            id="an empty identifier is a failure of the batch",
        ),
        pytest.param(
            "ab",
            WHOLE,
            lambda _: {"batchItemFailures": [{"itemIdentifier": None}]},
            ["ab", "ab"],
            ["ab"],
            id="a null identifier is a failure of the batch",
        ),
        pytest.param(
            "ab",
            WHOLE,
            lambda _: {"batchItemFailures": [{"id": "495"}]},
            ["ab", "ab"],
            ["ab"],
            id="an identifier under a wrong name is a failure of the batch",
        ),
        pytest.param(
            "abxcd",
            HALVES,
            reports,
            ["abxcd", "xcd", "x", "x", "cd"],
            ["x"],
            id="a bad record is isolated, and its neighbours are delivered",
        ),
        pytest.param(
            "abxcd",
            REST,
            reports,
            ["abxcd", "xcd", "xcd"],
            ["xcd"],
            id="without splits_at_first the records after a bad record are given up too",
        ),
        pytest.param(
            "abxc",
            Policy(retries=1),
            raises,
            ["abxc", "ab", "xc", "x", "x", "c"],
            ["x"],
            id="a failure of the function halves the batch, and this does not count as a retry",
        ),
        pytest.param(
            "abx",
            WHOLE,
            raises,
            ["abx", "abx"],
            ["abx"],
            id="without bisect the batch is not halved",
        ),
        pytest.param(
            "abx",
            Policy(retries=0, bisect=False, reports=False),
            reports,
            ["abx"],
            [],
            id="without ReportBatchItemFailures an answer is a success",
        ),
        pytest.param(
            "x",
            Policy(retries=0),
            reports,
            ["x"],
            ["x"],
            id="without retries a record is given up at once",
        ),
        pytest.param(
            "abcde",
            Policy(batch_size=3),
            reports,
            ["abc"],
            [],
            id="a batch has at most batch_size records",
        ),
    ],
)
def test_every_record_is_delivered_or_given_up(
    data: str, policy: Policy, answer: Answer, batches: list[str], given_up: list[str]
) -> None:
    found = deliver(data, policy, answer)
    assert found.batches == batches
    events = [json.loads(one["payload"])["Records"] for one in found.kept]
    assert ["".join(each["kinesis"]["data"] for each in event) for event in events] == given_up
    assert found.left == len(data) - min(len(data), policy.batch_size)


def test_records_that_were_given_up_are_written_as_one_object() -> None:
    """The object has the fields that AWS documents. `payload` is the whole event as a string."""
    found = deliver("abx", REST, reports)
    (key,), (content,) = found.keys, found.kept
    assert key.startswith(f"aws/lambda/{UUID}/shardId-000000000000/20")
    assert content["requestContext"]["condition"] == "RetryAttemptsExhausted"
    info = content["KinesisBatchInfo"]
    assert info["batchSize"] == 1
    assert (
        info["startSequenceNumber"] == info["endSequenceNumber"] == str(FIRST_SEQUENCE_NUMBER + 3)
    )
    assert info["approximateArrivalOfFirstRecord"] == "1970-01-01T00:16:40.000Z"
    assert isinstance(content["payload"], str)


def test_records_that_are_too_old_are_given_up_without_an_invocation() -> None:
    now = [0.0]
    stream = Stream(clock=lambda: now[0])
    kept: list[bytes] = []
    function = Function(reports)
    policy = Policy(age=60)
    mapping = Mapping(stream, function, policy, lambda _, content: kept.append(content))
    stream.put_data("a")
    now[0] = 61.0
    stream.put_data("b")
    assert mapping.iterator_age() == 61
    mapping.step()
    assert function.batches == ["b"]
    (content,) = map(json.loads, kept)
    assert content["requestContext"]["condition"] == "RecordAgeExceeded"
    assert mapping.iterator_age() == mapping.waiting() == 0


def test_records_wait_until_an_outage_ends_if_retries_and_age_have_no_limit() -> None:
    tries = iter(range(1000))
    away: Answer = lambda _: 0 if next(tries) < 50 else None  # noqa: E731
    kept: list[str] = []
    stream, function = Stream(), Function(away)
    mapping = Mapping(
        stream,
        function,
        Policy(retries=FOREVER, splits_at_first=False),
        lambda key, _: kept.append(key),
        lambda _: None,
    )
    stream.put_data("a")
    stream.put_data("b")
    mapping.step()
    assert (mapping.waiting(), kept, len(function.batches)) == (0, [], 51)


def test_a_batch_is_not_larger_than_lambdas_limit_for_an_event() -> None:
    stream, function = Stream(), Function(lambda _: None)
    mapping = Mapping(stream, function)
    for _ in range(3):
        stream.put_data("a" * 2_500_000)
    mapping.step()
    assert [len(batch) for batch in function.batches] == [5_000_000]
    assert mapping.waiting() == 1


def test_every_shard_is_read_in_order_by_a_thread_of_its_own() -> None:
    stream, lock = Stream(shards=3), threading.Lock()
    seen: dict[str, list[str]] = {}

    def function(event: Any) -> None:
        with lock:
            for each in event["Records"]:
                shard, _, number = each["eventID"].partition(":")
                seen.setdefault(shard, []).append(number)

    mapping = Mapping(stream, function, Policy(batch_size=7))
    with mapping.running():
        for _ in range(300):
            stream.put_data("a")
        assert mapping.drain(60)
    assert sum(map(len, seen.values())) == 300
    assert len(seen) == 3
    assert all(numbers == sorted(numbers) for numbers in seen.values())


def test_if_several_records_are_reported_as_failed_the_retry_begins_at_the_first() -> None:
    stream = Stream()
    numbers = [stream.put_data("a") for _ in range(4)]
    answer = {"batchItemFailures": [{"itemIdentifier": numbers[each]} for each in (3, 1)]}
    assert first_failed(answer, stream.records[0]) == 1
