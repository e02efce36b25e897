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

PREFIX: Final = "aws/lambda/async/"  # where Lambda puts them
POISON: Final = "poison/"
REASON_CHARACTERS: Final = 1500  # of the 2 kB that S3 takes as metadata
MOST_CONSECUTIVE_FAILURES: Final = 3  # letters in a row that the server did not take at all: then it is away, and the rest can wait


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
    """What became of a letter."""

    REPLAYED = "replayed"  # every line of it is in the index, or excluded by a setting; the object is removed
    WAITING = "waiting"  # some are not yet: it stays where it is
    POISONED = "poisoned"  # some never will be: it is moved below `poison/`, with the reason in its metadata
    GONE = "gone"  # somebody else removed it meanwhile


class Replayed(NamedTuple):
    """A letter, its fate, what its delivery came to (nothing where it could not be read), and the reason why it was not removed."""

    letter: Letter
    fate: LetterFate
    outcome: Outcome
    reason: str = ""


def letters(bucket: Bucket, prefix: str = PREFIX, since: datetime | None = None, until: datetime | None = None) -> list[Letter]:
    """The letters below `prefix`, of `since` or later and before `until`, in random order.

    Random, because some may not be deliverable for long, and would stand in the way of those behind them.
    """
    found = []
    for page in bucket.s3.get_paginator("list_objects_v2").paginate(Bucket=bucket.name, Prefix=prefix):
        for item in page.get("Contents", ()):
            letter = Letter(item["Key"], item["Size"], item["LastModified"])
            if (since is None or letter.written >= since) and (until is None or letter.written < until):
                found.append(letter)
    random.shuffle(found)
    return found


def replay(letter: Letter, bucket: Bucket, ship: Callable[[Any], Outcome]) -> Replayed:
    """Deliver a letter's payload, and remove or move the letter by what came of it. Raises what the S3 client raises."""
    try:
        content = bucket.s3.get_object(Bucket=bucket.name, Key=letter.key)["Body"].read()
    except bucket.s3.exceptions.NoSuchKey:
        return Replayed(letter, LetterFate.GONE, Outcome())
    try:
        outcome = ship(_payload(content))
    except PayloadInvalid as problem:
        return Replayed(letter, _poison(letter, bucket, str(problem)), Outcome(), str(problem))
    reason = outcome.summary()
    if not outcome.failed:
        bucket.s3.delete_object(Bucket=bucket.name, Key=letter.key)
        return Replayed(letter, LetterFate.REPLAYED, outcome)
    if outcome.failed == outcome.permanently_refused:
        return Replayed(letter, _poison(letter, bucket, reason), outcome, reason)
    return Replayed(letter, LetterFate.WAITING, outcome, reason)


def replay_all(
    found: Iterable[Letter],
    bucket: Bucket,
    ship: Callable[[Any], Outcome],
    events_per_second: float,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[Replayed]:
    """Replay one letter after the other, no faster than `events_per_second`; ends early where the server takes nothing."""
    consecutive_failures = 0
    for letter in found:
        start = time.monotonic()
        try:
            result = replay(letter, bucket, ship)
        except (BotoCoreError, ClientError) as problem:  # one object that cannot be had must not stop the others
            result = Replayed(letter, LetterFate.WAITING, Outcome(), f"S3: {type(problem).__name__}")
        yield result
        consecutive_failures = 0 if result.outcome.available else consecutive_failures + 1
        if consecutive_failures == MOST_CONSECUTIVE_FAILURES:
            return
        sleep(max(result.outcome.documents / events_per_second - (time.monotonic() - start), 0.0))


def _payload(content: bytes) -> Any:
    """The event in Lambda's record of a failed invocation."""
    try:
        return msgspec.json.decode(content)["requestPayload"]
    except (msgspec.DecodeError, UnicodeError, RecursionError, LookupError, TypeError):
        raise PayloadInvalid("the object is no record of a failed invocation: it has no requestPayload") from None


def _poison(letter: Letter, bucket: Bucket, reason: str) -> LetterFate:
    if not letter.key.startswith(POISON):
        shown = "".join(character if " " <= character <= "~" else "?" for character in reason[:REASON_CHARACTERS])  # a header's value
        source = {"Bucket": bucket.name, "Key": letter.key}
        try:
            bucket.s3.copy_object(
                Bucket=bucket.name, Key=POISON + letter.key, CopySource=source, Metadata={"reason": shown}, MetadataDirective="REPLACE"
            )
        except bucket.s3.exceptions.NoSuchKey:
            return LetterFate.GONE
        bucket.s3.delete_object(Bucket=bucket.name, Key=letter.key)
    return LetterFate.POISONED
