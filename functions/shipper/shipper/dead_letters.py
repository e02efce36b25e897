"""Dead letters: payloads that Lambda gave up on and put into S3, and their way back into the index."""

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
from shipper.deliver import Outcome
from shipper.exchange import TookTooLong, within

PREFIX: Final = "aws/lambda/async/"  # where Lambda puts them
POISON: Final = "poison/"
REASON_CHARACTERS: Final = 1500  # of the 2 kB that S3 takes as metadata
MOST_CONSECUTIVE_FAILURES: Final = (
    3  # letters in a row that failed because of the server or the bucket: then the rest waits
)
S3_SECONDS: Final = 8.0  # that one step in the bucket may take, on the wall clock
PERMISSIONS: Final = {
    "GetObject": "s3:GetObject",
    "DeleteObject": "s3:DeleteObject",
    "CopyObject": "s3:PutObject and s3:GetObject",
}


class Bucket(NamedTuple):
    """The dead-letter bucket: its name, and a boto3 client of S3."""

    name: str
    s3: Any


class Letter(NamedTuple):
    """One object of the dead-letter bucket."""

    key: str
    size: int
    written: datetime


class LetterFate(StrEnum):
    """The result of replaying a letter."""

    # every line of it is in the index, or excluded by a setting; the object is removed
    REPLAYED = "replayed"
    WAITING = "waiting"  # some are not yet: it stays where it is
    # it cannot be read and never will be: it is moved below `poison/`, with the reason in its
    # metadata
    POISONED = "poisoned"
    GONE = "gone"  # somebody else removed it meanwhile


class Replayed(NamedTuple):
    """A letter, its fate, the outcome of its delivery (empty if the letter could not be read), and the reason why it was not removed.

    `bucket_failed` says that a request to the bucket failed.
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
    """The letters below `prefix`, of `since` or later and before `until`, in random order.

    Random, because some letters may be undeliverable for a long time, and would hold up those
    behind them.
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

    If the bucket fails, the letter waits, and the result still holds the outcome of the delivery.
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
    """Replay one letter after the other, no faster than `events_per_second`.

    Ends early after three letters in a row for which the server was away or refused the login, or
    the bucket failed.
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
    """The reason why a step in S3 failed: its error code, and the name of a missing permission."""
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
    """The event in Lambda's record of a failed invocation."""
    try:
        return msgspec.json.decode(content)["requestPayload"]
    except (msgspec.DecodeError, UnicodeError, RecursionError, LookupError, TypeError):
        raise PayloadInvalid(
            "the object is no record of a failed invocation: it has no requestPayload"
        ) from None


def _poison(letter: Letter, bucket: Bucket, reason: str) -> LetterFate:
    if not letter.key.startswith(POISON):
        shown = "".join(
            character if " " <= character <= "~" else "?"
            for character in reason[:REASON_CHARACTERS]
        )  # a header's value
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
