"""Tests which dead letters are found and replayed, and what the bucket contains afterwards.

A dead letter is an object in S3 with the payload of a failed invocation. A letter that can never be
read is set aside: it gets a key that begins with `poison/`. moto imitates S3.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from threading import Event
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from moto import mock_aws
from moto.backends import get_backend

from shipper import dead_letters
from shipper.dead_letters import (
    PREFIX,
    REASON_CHARACTERS,
    Bucket,
    Letter,
    LetterFate,
    Replayed,
    letters,
    replay,
    replay_all,
)
from shipper.decode import PayloadInvalid
from shipper.outcome import Outcome

NAME = "dead-letters"
KEY = f"{PREFIX}ShipperFunction/2026/11/23/2026-11-23T12.00.00-8f5ad1e0"
EVENT = {"awslogs": {"data": "H4sI"}}
RECORD = json.dumps(
    {"version": "1.0", "requestPayload": EVENT, "responsePayload": {"errorType": "NotDelivered"}}
).encode()
NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
BUSY = Counter({"429 rejected": 1})
NEVER = Counter({"400 mapper_parsing_exception": 2})

Ship = Callable[[Any], Outcome]


@pytest.fixture(scope="module")
def s3() -> Iterator[Any]:
    with pytest.MonkeyPatch.context() as environment, mock_aws():
        environment.delenv("AWS_PROFILE", raising=False)
        yield boto3.client("s3", "us-east-1")


@pytest.fixture
def bucket(s3: Any) -> Iterator[Bucket]:
    s3.create_bucket(Bucket=NAME)
    yield Bucket(NAME, s3)
    get_backend("s3")["123456789012"]["aws"].reset()


def put(
    bucket: Bucket, key: str = KEY, content: bytes = RECORD, written: datetime | None = None
) -> Letter:
    bucket.s3.put_object(Bucket=NAME, Key=key, Body=content)
    if written:
        get_backend("s3")["123456789012"]["aws"].buckets[NAME].keys[
            key
        ].last_modified = written.replace(tzinfo=None)
    return Letter(key, len(content), written or NOON)


def keys(bucket: Bucket) -> list[str]:
    return sorted(
        item["Key"] for item in bucket.s3.list_objects_v2(Bucket=NAME).get("Contents", ())
    )


def content(bucket: Bucket, key: str) -> bytes:
    found: bytes = bucket.s3.get_object(Bucket=NAME, Key=key)["Body"].read()
    return found


def reason_of(bucket: Bucket, key: str) -> str:
    found: str = bucket.s3.head_object(Bucket=NAME, Key=key)["Metadata"]["reason"]
    return found


def giving(outcome: Outcome) -> Ship:
    return lambda _event: outcome


def refusing(message: str) -> Ship:
    def ship(_event: Any) -> Outcome:
        raise PayloadInvalid(message)

    return ship


# --- finding letters


@pytest.mark.parametrize(
    ("prefix", "expected"),
    [
        pytest.param(
            None,
            [f"{PREFIX}a/1", f"{PREFIX}a/2", f"{PREFIX}b/1"],
            id="the default: no letters that were set aside",
        ),
        pytest.param(
            f"{PREFIX}a/", [f"{PREFIX}a/1", f"{PREFIX}a/2"], id="the letters of one function"
        ),
        pytest.param(f"{PREFIX}a/2", [f"{PREFIX}a/2"], id="one letter"),
        pytest.param("poison/", [f"poison/{PREFIX}a/0"], id="letters that were set aside"),
        pytest.param("nothing/", [], id="none"),
    ],
)
def test_letters_are_selected_by_prefix(
    bucket: Bucket, prefix: str | None, expected: list[str]
) -> None:
    for key in (
        f"{PREFIX}a/1",
        f"{PREFIX}a/2",
        f"{PREFIX}b/1",
        f"poison/{PREFIX}a/0",
        "something/else",
        "aws/other",
    ):
        put(bucket, key)
    found = letters(bucket, prefix) if prefix else letters(bucket)
    assert sorted(letter.key for letter in found) == expected
    assert {letter.size for letter in found} <= {len(RECORD)}


@pytest.mark.parametrize(
    ("since", "until", "hours"),
    [
        pytest.param(None, None, [0, 1, 2, 3], id="all"),
        pytest.param(1, None, [1, 2, 3], id="a letter of exactly this time is selected"),
        pytest.param(None, 2, [0, 1], id="only letters before this time are selected"),
        pytest.param(1, 3, [1, 2], id="between"),
        pytest.param(2, 2, [], id="nothing between"),
    ],
)
def test_letters_are_selected_by_time(
    bucket: Bucket, since: int | None, until: int | None, hours: list[int]
) -> None:
    for hour in range(4):
        put(bucket, f"{PREFIX}{hour}", written=NOON + timedelta(hours=hour))
    bounds = [None if hour is None else NOON + timedelta(hours=hour) for hour in (since, until)]
    found = letters(bucket, PREFIX, *bounds)
    assert sorted(letter.key for letter in found) == [f"{PREFIX}{hour}" for hour in hours]
    assert {letter.written for letter in found} == {NOON + timedelta(hours=hour) for hour in hours}


def test_letters_of_every_page_are_found(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    """S3 lists a thousand objects per page. Here it lists three."""
    monkeypatch.setenv("MOTO_S3_DEFAULT_MAX_KEYS", "3")
    expected = {put(bucket, f"{PREFIX}{number:02}").key for number in range(10)}
    assert len(bucket.s3.list_objects_v2(Bucket=NAME)["Contents"]) == 3
    found = letters(bucket)
    assert {letter.key for letter in found} == expected
    assert len(found) == 10


def test_letters_are_listed_in_random_order(bucket: Bucket) -> None:
    """In a fixed order, an undeliverable letter would delay the letters after it each time."""
    for number in range(12):
        put(bucket, f"{PREFIX}{number:02}")
    orders = {tuple(letter.key for letter in letters(bucket)) for _ in range(4)}
    assert len(orders) > 1


# --- replaying one letter


@pytest.mark.parametrize(
    ("outcome", "fate", "left"),
    [
        pytest.param(
            Outcome(indexed=3, duplicate=1, rescued=1, excluded=2),
            LetterFate.REPLAYED,
            [],
            id="all delivered",
        ),
        pytest.param(Outcome(duplicate=3), LetterFate.REPLAYED, [], id="all already in the index"),
        pytest.param(Outcome(excluded=3), LetterFate.REPLAYED, [], id="all excluded"),
        pytest.param(Outcome(), LetterFate.REPLAYED, [], id="no lines"),
        pytest.param(Outcome(reasons=NEVER), LetterFate.WAITING, [KEY], id="all refused"),
        pytest.param(
            Outcome(indexed=3, reasons=NEVER),
            LetterFate.WAITING,
            [KEY],
            id="some refused, the rest delivered",
        ),
        pytest.param(
            Outcome(indexed=3, reasons=BUSY),
            LetterFate.WAITING,
            [KEY],
            id="some rejected by a busy server, the rest delivered",
        ),
        pytest.param(
            Outcome(reasons=BUSY, available=False),
            LetterFate.WAITING,
            [KEY],
            id="the server is unavailable",
        ),
    ],
)
def test_a_letter_is_removed_if_all_its_lines_are_delivered(
    bucket: Bucket, outcome: Outcome, fate: LetterFate, left: list[str]
) -> None:
    letter = put(bucket)
    assert replay(letter, bucket, giving(outcome)) == Replayed(
        letter, fate, outcome, outcome.summary()
    )
    assert keys(bucket) == left
    assert {content(bucket, key) for key in left} <= {RECORD}


def test_the_payload_in_the_letter_is_shipped(bucket: Bucket) -> None:
    seen: list[Any] = []

    def ship(event: Any) -> Outcome:
        seen.append(event)
        return Outcome()

    replay(put(bucket), bucket, ship)
    assert seen == [EVENT]


@pytest.mark.parametrize(
    "record",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"words", id="no JSON"),
        pytest.param(RECORD[:-1], id="cut short"),
        pytest.param(b"{}", id="an empty object"),
        pytest.param(json.dumps(EVENT).encode(), id="a payload that is not in a record"),
        pytest.param(b'["requestPayload"]', id="an array"),
        pytest.param(b'{"payload":"{"}', id="a Kinesis payload that is no JSON"),
        pytest.param(b'"requestPayload"', id="a string"),
        pytest.param(b"5", id="a number"),
        pytest.param(b"null", id="null"),
        pytest.param(b'{"requestPayload":"\xff"}', id="no UTF-8"),
        pytest.param(b"[" * 100_000, id="nested deeper than can be read"),
    ],
)
def test_an_object_that_is_no_record_is_set_aside(bucket: Bucket, record: bytes) -> None:
    letter = put(bucket, content=record)
    expected = (
        "the object is not a record of a failed invocation: "
        "it has neither requestPayload nor payload"
    )
    assert replay(letter, bucket, refusing("never called")) == Replayed(
        letter, LetterFate.POISONED, Outcome(), expected
    )
    assert keys(bucket) == [f"poison/{KEY}"]
    assert content(bucket, f"poison/{KEY}") == record
    assert reason_of(bucket, f"poison/{KEY}") == expected


@pytest.mark.parametrize(
    ("reason", "shown"),
    [
        pytest.param("awslogs.data is not base64", "awslogs.data is not base64", id="words"),
        pytest.param("ä 👍", "? ?", id="beyond ASCII"),
        pytest.param(
            "one\r\ntwo\tthree\x00", "one??two?three?", id="characters that no header accepts"
        ),
        pytest.param("x" * 5000, "x" * REASON_CHARACTERS, id="longer than S3 accepts"),
    ],
)
def test_the_reason_is_kept_in_the_metadata_of_the_object(
    bucket: Bucket, reason: str, shown: str
) -> None:
    letter = put(bucket)
    assert replay(letter, bucket, refusing(reason)).reason == reason
    assert reason_of(bucket, f"poison/{KEY}") == shown


@pytest.mark.parametrize(
    "key",
    [f"{PREFIX}a b+c%2Fd", f"{PREFIX}ä?x=1&y#z", f"{PREFIX}'\"\\"],
    ids=["escapes", "a query", "quotes"],
)
def test_a_letter_with_any_key_can_be_set_aside(bucket: Bucket, key: str) -> None:
    replay(put(bucket, key), bucket, refusing("broken"))
    assert keys(bucket) == [f"poison/{key}"]
    assert content(bucket, f"poison/{key}") == RECORD


@pytest.mark.parametrize(
    ("ship", "fate", "left"),
    [
        pytest.param(
            refusing("broken"),
            LetterFate.POISONED,
            [f"poison/{KEY}"],
            id="still unreadable: the letter stays",
        ),
        pytest.param(
            giving(Outcome(reasons=BUSY)),
            LetterFate.WAITING,
            [f"poison/{KEY}"],
            id="server busy: the letter stays",
        ),
        pytest.param(
            giving(Outcome(indexed=3)),
            LetterFate.REPLAYED,
            [],
            id="delivered: the letter is removed",
        ),
    ],
)
def test_a_letter_that_was_set_aside_can_be_replayed(
    bucket: Bucket, ship: Ship, fate: LetterFate, left: list[str]
) -> None:
    letter = put(bucket, f"poison/{KEY}")
    assert replay(letter, bucket, ship).fate is fate
    assert keys(bucket) == left
    assert {content(bucket, key) for key in left} <= {RECORD}


def test_a_letter_that_is_gone_is_not_replayed(bucket: Bucket) -> None:
    letter = put(bucket)
    bucket.s3.delete_object(Bucket=NAME, Key=letter.key)
    assert replay(letter, bucket, refusing("never called")) == Replayed(
        letter, LetterFate.GONE, Outcome()
    )
    assert keys(bucket) == []


@pytest.mark.parametrize(
    ("outcome", "fate"),
    [
        pytest.param(Outcome(indexed=3), LetterFate.REPLAYED, id="delivered"),
        pytest.param(None, LetterFate.GONE, id="unreadable"),
    ],
)
def test_a_letter_may_disappear_during_its_replay(
    bucket: Bucket, outcome: Outcome | None, fate: LetterFate
) -> None:
    """Two replays may run at once, and may try the same letter."""
    letter = put(bucket)

    def ship(_event: Any) -> Outcome:
        bucket.s3.delete_object(Bucket=NAME, Key=letter.key)
        if outcome is None:
            raise PayloadInvalid("broken")
        return outcome

    assert replay(letter, bucket, ship).fate is fate
    assert keys(bucket) == []


def test_the_reason_names_the_error_of_the_bucket(bucket: Bucket) -> None:
    letter = put(bucket)
    bucket.s3.delete_object(Bucket=NAME, Key=letter.key)
    bucket.s3.delete_bucket(Bucket=NAME)
    assert replay(letter, bucket, giving(Outcome())).reason == "S3: NoSuchBucket at GetObject"


# --- replaying all letters


@pytest.mark.parametrize(
    ("documents", "rate", "seconds"),
    [
        pytest.param([100, 50], 50.0, [2.0, 1.0], id="a pause after each letter"),
        pytest.param([100], 1e9, [0.0], id="a rate so high that no pause is needed"),
        pytest.param([0, 100], 10.0, [0.0, 10.0], id="no pause after a letter without documents"),
        pytest.param([1], 0.5, [2.0], id="less than one document a second"),
    ],
)
def test_the_replay_is_no_faster_than_the_rate(
    bucket: Bucket, documents: list[int], rate: float, seconds: list[float]
) -> None:
    outcomes = iter([Outcome(indexed=count) for count in documents])
    slept: list[float] = []
    found = [put(bucket, f"{PREFIX}{number}") for number in range(len(documents))]
    list(replay_all(found, bucket, lambda _: next(outcomes), rate, slept.append))
    # The time of the replay itself counts too, so a pause is a little shorter.
    assert all(0 <= wanted - had < 1 for wanted, had in zip(seconds, slept, strict=True))


def test_lines_that_are_not_delivered_count_towards_the_rate_too(bucket: Bucket) -> None:
    slept: list[float] = []
    list(
        replay_all(
            [put(bucket)],
            bucket,
            giving(Outcome(reasons=Counter({"429": 300}))),
            100.0,
            slept.append,
        )
    )
    assert slept == [pytest.approx(3, abs=0.9)]


@pytest.mark.parametrize(
    ("available", "replayed"),
    [
        pytest.param([False] * 6, 3, id="unavailable from the start"),
        pytest.param([True, False, False, False, True, True], 4, id="unavailable midway"),
        pytest.param([False, False, True, False, False, True], 6, id="unavailable now and then"),
        pytest.param([True, True, True, True, True, False], 6, id="unavailable at the end"),
        pytest.param([], 0, id="no letter"),
    ],
)
def test_the_replay_ends_after_three_failures_in_a_row(
    bucket: Bucket, available: list[bool], replayed: int
) -> None:
    found = [put(bucket, f"{PREFIX}{number}") for number in range(len(available))]
    answers = iter(available)

    def ship(_event: Any) -> Outcome:
        return Outcome(indexed=1) if next(answers) else Outcome(reasons=BUSY, available=False)

    results = list(replay_all(found, bucket, ship, 1000.0, lambda _: None))
    assert [result.letter for result in results] == found[:replayed]
    assert [result.fate is LetterFate.REPLAYED for result in results] == available[:replayed]
    assert len(keys(bucket)) == len(found) - available[:replayed].count(True)
    assert dead_letters.MOST_CONSECUTIVE_FAILURES == 3


def test_letters_are_replayed_one_by_one(bucket: Bucket) -> None:
    """The caller can end the replay after any letter."""
    found = [put(bucket, f"{PREFIX}{number}") for number in range(3)]
    replaying = replay_all(iter(found), bucket, giving(Outcome(indexed=1)), 1000.0, lambda _: None)
    assert len(keys(bucket)) == 3
    assert next(replaying).letter == found[0]
    assert len(keys(bucket)) == 2


@pytest.mark.parametrize(
    ("step", "code", "delivered", "reason"),
    [
        (
            "GetObject",
            "AccessDenied",
            0,
            "S3: AccessDenied at GetObject: the role needs s3:GetObject",
        ),
        (
            "DeleteObject",
            "AccessDenied",
            7,
            "S3: AccessDenied at DeleteObject: the role needs s3:DeleteObject",
        ),
        ("DeleteObject", "SlowDown", 7, "S3: SlowDown at DeleteObject"),
    ],
)
def test_if_the_bucket_fails_the_letter_waits_and_the_replay_pauses_after_delivered_lines(
    *,
    bucket: Bucket,
    monkeypatch: pytest.MonkeyPatch,
    step: str,
    code: str,
    delivered: int,
    reason: str,
) -> None:
    """The replay pauses after it has delivered lines, even if their letter stays in the bucket.

    Without the pause, each replay would send these lines again at full speed.
    """
    found = [put(bucket, f"{KEY}-{number}") for number in range(5)]

    def fail(**_: Any) -> Any:
        raise ClientError({"Error": {"Code": code}}, step)

    monkeypatch.setattr(
        bucket.s3, {"GetObject": "get_object", "DeleteObject": "delete_object"}[step], fail
    )
    slept: list[float] = []
    results = list(replay_all(found, bucket, giving(Outcome(indexed=7)), 10.0, slept.append))
    assert [(one.fate, one.reason, one.outcome.documents) for one in results] == [
        (LetterFate.WAITING, reason, delivered)
    ] * 3
    assert [pytest.approx(seconds, abs=0.2) for seconds in slept] == [delivered / 10] * 2
    assert len(keys(bucket)) == 5


def test_a_bucket_that_does_not_answer_does_not_block_the_replay(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dead_letters, "S3_SECONDS", 0.2)
    letter, ended = put(bucket), Event()
    monkeypatch.setattr(bucket.s3, "get_object", lambda **_: ended.wait(30))
    start = time.monotonic()
    assert replay(letter, bucket, refusing("never called")).reason == "S3: no answer within 0.2 s"
    assert time.monotonic() - start < 10
    ended.set()


@pytest.mark.parametrize(
    ("outcome", "tried"),
    [
        pytest.param(
            Outcome(reasons=Counter({"403 security_exception": 1}), denied=True),
            3,
            id="the login is refused",
        ),
        pytest.param(Outcome(reasons=NEVER), 5, id="the documents are refused"),
    ],
)
def test_refused_logins_end_the_replay_and_refused_documents_do_not(
    bucket: Bucket, outcome: Outcome, tried: int
) -> None:
    found = [put(bucket, f"{KEY}-{number}") for number in range(5)]
    assert len(list(replay_all(found, bucket, giving(outcome), 1e9, lambda _: None))) == tried


def test_an_object_that_cannot_be_read_does_not_stop_the_replay(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    locked, other = put(bucket, f"{KEY}-locked"), put(bucket)
    get = bucket.s3.get_object

    def refused(**wanted: Any) -> Any:
        if wanted["Key"] == locked.key:
            raise ClientError({"Error": {"Code": "AccessDenied"}}, "GetObject")
        return get(**wanted)

    monkeypatch.setattr(bucket.s3, "get_object", refused)
    found = list(replay_all([locked, other], bucket, giving(Outcome(indexed=1)), 1000.0))
    assert [(result.fate, result.reason) for result in found] == [
        (LetterFate.WAITING, "S3: AccessDenied at GetObject: the role needs s3:GetObject"),
        (LetterFate.REPLAYED, ""),
    ]
    assert keys(bucket) == [locked.key]
