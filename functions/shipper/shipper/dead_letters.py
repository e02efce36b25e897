"""Replays dead letters: objects in S3 in which Lambda keeps payloads that were not delivered.

There are two kinds of letter. A letter from an asynchronous invocation holds one payload. A letter
from a Kinesis stream holds a batch of records.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from enum import StrEnum
from typing import Any, Final, NamedTuple

import msgspec
from botocore.exceptions import BotoCoreError, ClientError

from shipper.decode import PayloadInvalid
from shipper.outcome import Outcome
from shipper.timed_exchange import TookTooLong, within

# Lambda puts dead letters below this prefix. The next part of the key is `async` (asynchronous
# invocations) or the id of an event source mapping (streams).
PREFIX: Final = "aws/lambda/"
POISON: Final = "poison/"
REASON_CHARACTERS: Final = 1500  # S3 accepts 2 kB of metadata
# If this many letters in a row fail because of the server or the bucket, the replay ends.
MOST_CONSECUTIVE_FAILURES: Final = 3
S3_SECONDS: Final = 8.0  # the time limit of one request to the bucket, on the wall clock
PERMISSIONS: Final = {
    "GetObject": "s3:GetObject",
    "DeleteObject": "s3:DeleteObject",
    "CopyObject": "s3:PutObject and s3:GetObject",
}


class Bucket(NamedTuple):
    """The dead-letter bucket: its name, and a boto3 client for S3."""

    name: str
    s3: Any


class Letter(NamedTuple):
    """One object of the dead-letter bucket."""

    key: str
    size: int
    written: datetime


class LetterFate(StrEnum):
    """The result of replaying a letter."""

    # Every line of the letter is in the index, or is excluded by a setting. The letter is removed.
    REPLAYED = "replayed"
    # Some of the letter's lines are not in the index yet. The letter stays where it is.
    WAITING = "waiting"
    # The letter can never be read. It is moved to the prefix `poison/`, with the reason in its
    # metadata.
    POISONED = "poisoned"
    # Somebody else removed the letter during the replay.
    GONE = "gone"


class Replayed(NamedTuple):
    """The result of replaying one letter.

    `outcome` is the outcome of the delivery; it is empty if the letter could not be read. `reason`
    says why the letter was not removed. `bucket_failed` is true if a request to the bucket failed.
    """

    letter: Letter
    fate: LetterFate
    outcome: Outcome
    reason: str = ""
    bucket_failed: bool = False


def letters(
    bucket: Bucket,
    prefix: str = PREFIX,
    since: datetime | None = None,
    until: datetime | None = None,
) -> list[Letter]:
    """List the letters below `prefix` that were written at `since` or later and before `until`.

    Their order is random, because some letters may be undeliverable for a long time. In a fixed
    order, these letters would always be tried first, and could delay all others.
    """
    found = []
    for page in bucket.s3.get_paginator("list_objects_v2").paginate(
        Bucket=bucket.name, Prefix=prefix
    ):
        for item in page.get("Contents", ()):
            letter = Letter(item["Key"], item["Size"], item["LastModified"])
            if (since is None or letter.written >= since) and (
                until is None or letter.written < until
            ):
                found.append(letter)
    random.shuffle(found)
    return found


def replay(letter: Letter, bucket: Bucket, ship: Callable[[Any], Outcome]) -> Replayed:
    """Deliver a letter's payload, then remove, move or keep the letter, depending on the outcome.

    If a request to the bucket fails, the letter stays. The result holds the outcome of the delivery
    in this case too.
    """
    outcome, reason = Outcome(), ""
    try:
        try:
            outcome = ship(_payload(within(S3_SECONDS, lambda: _content(letter, bucket))))
        except PayloadInvalid as problem:
            reason = str(problem)
            return Replayed(
                letter, within(S3_SECONDS, lambda: _poison(letter, bucket, reason)), outcome, reason
            )
        if outcome.failed:
            return Replayed(letter, LetterFate.WAITING, outcome, outcome.summary())
        within(S3_SECONDS, lambda: bucket.s3.delete_object(Bucket=bucket.name, Key=letter.key))
        return Replayed(letter, LetterFate.REPLAYED, outcome)
    except bucket.s3.exceptions.NoSuchKey:
        return Replayed(letter, LetterFate.GONE, outcome)
    except (BotoCoreError, ClientError, TookTooLong) as problem:
        said = f"S3: {_s3_reason(problem)}"
        return Replayed(
            letter,
            LetterFate.WAITING,
            outcome,
            f"{said}; {reason}" if reason else said,
            bucket_failed=True,
        )


def replay_all(
    found: Iterable[Letter],
    bucket: Bucket,
    ship: Callable[[Any], Outcome],
    events_per_second: float,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[Replayed]:
    """Replay one letter after the other, with at most `events_per_second` lines per second.

    Ends early after three failures in a row. A letter counts as a failure if the server was
    unavailable or refused the login, or if the bucket failed.
    """
    consecutive_failures = 0
    for letter in found:
        start = time.monotonic()
        result = replay(letter, bucket, ship)
        yield result
        failed = result.bucket_failed or result.outcome.denied or not result.outcome.available
        consecutive_failures = consecutive_failures + 1 if failed else 0
        if consecutive_failures == MOST_CONSECUTIVE_FAILURES:
            return
        sleep(max(result.outcome.documents / events_per_second - (time.monotonic() - start), 0.0))


def _content(letter: Letter, bucket: Bucket) -> bytes:
    content: bytes = bucket.s3.get_object(Bucket=bucket.name, Key=letter.key)["Body"].read()
    return content


def _s3_reason(problem: Exception) -> str:
    """Return why a request to S3 failed: the error code, and the name of a missing permission."""
    if isinstance(problem, TookTooLong):
        return f"no answer within {S3_SECONDS:g} s"
    if not isinstance(problem, ClientError):
        return type(problem).__name__
    code = problem.response.get("Error", {}).get("Code", "an error without a code")
    step = problem.operation_name
    missing = (
        f": the role needs {PERMISSIONS[step]}"
        if code == "AccessDenied" and step in PERMISSIONS
        else ""
    )
    return f"{code} at {step}{missing}"


def _payload(content: bytes) -> Any:
    """Return the event from Lambda's record of a failed invocation.

    The record of an asynchronous invocation has the event in `requestPayload`. The record of a
    stream's batch has the event as text in `payload`
    (https://docs.aws.amazon.com/lambda/latest/dg/kinesis-on-failure-destination.html).
    """
    try:
        record = msgspec.json.decode(content)
        if "requestPayload" in record:
            return record["requestPayload"]
        event = record["payload"]
        return msgspec.json.decode(event) if isinstance(event, str) else event
    except (msgspec.DecodeError, UnicodeError, RecursionError, LookupError, TypeError):
        raise PayloadInvalid(
            "the object is not a record of a failed invocation: "
            "it has neither requestPayload nor payload"
        ) from None


def _poison(letter: Letter, bucket: Bucket, reason: str) -> LetterFate:
    if not letter.key.startswith(POISON):
        # S3 takes metadata as an HTTP header, whose value must be printable ASCII.
        shown = "".join(
            character if " " <= character <= "~" else "?"
            for character in reason[:REASON_CHARACTERS]
        )
        source = {"Bucket": bucket.name, "Key": letter.key}
        bucket.s3.copy_object(
            Bucket=bucket.name,
            Key=POISON + letter.key,
            CopySource=source,
            Metadata={"reason": shown},
            MetadataDirective="REPLACE",
        )
        bucket.s3.delete_object(Bucket=bucket.name, Key=letter.key)
    return LetterFate.POISONED
