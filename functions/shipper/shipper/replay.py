"""The replay's Lambda handler, which runs on a schedule and puts dead letters into the index.

Dead letters are payloads that the shipper could not deliver. The replay ends when no letter is
left, when the time is up, or when the server is unavailable.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from datetime import datetime
from itertools import takewhile
from typing import Any, Final, NamedTuple

import boto3
from botocore.config import Config

from shipper.back_off import RetryBudget
from shipper.client import connect
from shipper.dead_letters import PREFIX, S3_SECONDS, Bucket, Letter, LetterFate, letters, replay_all
from shipper.decode import decode
from shipper.log import Log
from shipper.memory_use import memory_utilization
from shipper.option_values import moment, positive
from shipper.outcome import Outcome
from shipper.settings import settings
from shipper.ship import ship
from shipper.stream import is_stream, ship_kept
from shipper.timed_exchange import TookTooLong, within

SERVICE: Final = "replay"
COUNTED: Final = ("found", "replayed", "poisoned", "waiting")  # the counts that become metrics
OPTIONS: Final = ("prefix", "since", "until", "dry_run")
LETTER_SECONDS: Final = 95.0  # the time limit of one letter, about the same as in the shipper
RESERVE_SECONDS: Final = 125.0  # with less time left, the replay takes no other dead letter
S3_CONFIG: Final = Config(connect_timeout=3, read_timeout=5, retries={"total_max_attempts": 2})

setting = settings(os.environ)
if not os.environ.get("DEAD_LETTER_BUCKET"):
    raise ValueError("DEAD_LETTER_BUCKET must be set to the bucket of the dead letters")
bucket = Bucket(os.environ["DEAD_LETTER_BUCKET"], boto3.client("s3", config=S3_CONFIG))
try:
    events_per_second = positive(os.environ.get("EVENTS_PER_SECOND", "2000"))
except ValueError as problem:
    raise ValueError(f"EVENTS_PER_SECOND must be {problem}") from None
connection = connect(setting.opensearch_url, os.environ)
log = Log(SERVICE, os.environ.get("AWS_LAMBDA_FUNCTION_NAME", SERVICE))


def handler(event: Any, context: Any) -> dict[str, Any]:
    """Replay the waiting letters, or count them.

    `event` may select letters by `prefix`, `since` and `until` (ISO 8601; UTC if no time zone is
    given). With `dry_run`, the letters are only counted. The event of a schedule selects all
    letters.

    Returns the number of letters that were found, and the number of letters with each fate. Raises
    `ValueError` with one sentence if the event is invalid, and `TimeoutError` if the bucket's
    objects cannot be listed in time.
    """
    deadline = time.monotonic() + context.get_remaining_time_in_millis() / 1000 - RESERVE_SECONDS
    wish = _wish(event)
    found = _listed(wish, max(deadline - time.monotonic(), S3_SECONDS))
    fates: Counter[str] = Counter()
    lines = 0

    def pause(seconds: float) -> None:
        time.sleep(max(min(seconds, deadline - time.monotonic()), 0.0))

    if not wish.dry_run:
        in_time = takewhile(lambda _: time.monotonic() < deadline, found)
        for result in replay_all(in_time, bucket, _ship, events_per_second, pause):
            fates[result.fate] += 1
            lines += result.outcome.documents
            if result.reason:
                log.write(
                    "WARNING",
                    "letter",
                    context.aws_request_id,
                    {"key": result.letter.key, "fate": result.fate, "reason": result.reason},
                )
    done = {
        fate.value: fates[fate]
        for fate in (LetterFate.REPLAYED, LetterFate.POISONED, LetterFate.GONE)
    }
    waiting = len(found) - sum(done.values())  # includes letters that were not tried
    counts: dict[str, Any] = {"found": len(found), **done, "waiting": waiting}
    # An alarm reads the metric of `waiting`. If only some letters were selected, the metric is not
    # written, because the alarm would end although other letters wait.
    counted = COUNTED[:-1] if wish.narrowed else COUNTED
    metrics = {f"DeadLetters{name.capitalize()}": counts[name] for name in counted}
    metrics["MemoryUtilization"] = memory_utilization(context.memory_limit_in_mb)
    log.write("INFO", "replay", context.aws_request_id, {**counts, "lines": lines}, metrics)
    return {**counts, "lines": lines}


class _Wish(NamedTuple):
    """The selection of letters, and whether they are only counted.

    `narrowed` is true if the event selects only a part of the letters.
    """

    prefix: str
    since: datetime | None
    until: datetime | None
    dry_run: bool
    narrowed: bool


def _wish(event: Any) -> _Wish:
    """Read the selection in an event. Raises `ValueError` with one sentence if it is invalid."""
    if not isinstance(event, dict):
        raise ValueError(  # noqa: TRY004
            "the event must be a JSON object: {} for all letters, or with " + ", ".join(OPTIONS)
        )
    prefix, since, until, dry_run = (event.get(name) for name in OPTIONS)
    for name, value in (("prefix", prefix), ("since", since), ("until", until)):
        if value is not None and not isinstance(value, str):
            raise ValueError(f"{name} must be text, not {str(value)[:100]!r}")
    if dry_run is not None and not isinstance(dry_run, bool):
        raise ValueError(f"dry_run must be true or false, not {str(dry_run)[:100]!r}")
    return _Wish(
        prefix or PREFIX,
        _time("since", since),
        _time("until", until),
        bool(dry_run),
        any((prefix, since, until)),
    )


def _listed(wish: _Wish, seconds: float) -> list[Letter]:
    """List the letters. Raises `TimeoutError` if that takes more than `seconds`."""
    try:
        return within(seconds, lambda: letters(bucket, wish.prefix, wish.since, wish.until))
    except TookTooLong:
        raise TimeoutError(
            f"the bucket's objects were not listed in {seconds:.0f} s: "
            "give a longer prefix, or try again"
        ) from None


def _time(name: str, text: str | None) -> datetime | None:
    try:
        return moment(text) if text else None
    except ValueError as problem:
        raise ValueError(f"{name} must be {problem}") from None


def _ship(event: Any) -> Outcome:
    budget = RetryBudget(time.monotonic() + LETTER_SECONDS)
    if is_stream(event):
        return ship_kept(event, setting, connection, budget)
    payload = decode(event, limit=setting.max_payload_bytes)
    return ship(payload, setting.rules, connection, budget)
