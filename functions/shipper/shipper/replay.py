"""The replay: on a schedule, dead letters back into the index, until none is left, or time is up, or the server is away."""

from __future__ import annotations

import os
import time
from collections import Counter
from itertools import takewhile
from typing import Any, Final

import boto3
from aws_lambda_powertools import Logger
from aws_lambda_powertools.metrics import EphemeralMetrics, MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext

from shipper.client import connect
from shipper.dead_letters import PREFIX, Bucket, LetterFate, letters, replay_all
from shipper.decode import decode
from shipper.deliver import Outcome, RetryBudget
from shipper.memory import memory_utilization
from shipper.settings import settings
from shipper.ship import ship
from shipper.values import moment, positive

SERVICE: Final = "replay"
LETTER_SECONDS: Final = 100.0  # that one letter may take: about what the shipper has
RESERVE_SECONDS: Final = 125.0  # what is left of the invocation's time when the last letter is begun


setting = settings(os.environ)
if not os.environ.get("DEAD_LETTER_BUCKET"):
    raise ValueError("DEAD_LETTER_BUCKET must be set to the bucket of the dead letters")
bucket = Bucket(os.environ["DEAD_LETTER_BUCKET"], boto3.client("s3"))
try:
    events_per_second = positive(os.environ.get("EVENTS_PER_SECOND", "2000"))
except ValueError as problem:
    raise ValueError(f"EVENTS_PER_SECOND must be {problem}") from None
connection = connect(setting.opensearch_url, os.environ)
logger = Logger(service=SERVICE, level="INFO", use_rfc3339=True, utc=True, location=None)
dimensions = {"function_name": os.environ.get("AWS_LAMBDA_FUNCTION_NAME", SERVICE)}  # the namespace is every stack's
metrics = EphemeralMetrics(namespace="PredictionMonitor", service=SERVICE, default_dimensions=dimensions)


@logger.inject_lambda_context(clear_state=True)
def handler(event: Any, context: LambdaContext) -> dict[str, Any]:
    """Replay what waits; `event` may narrow it by `prefix`, `since` and `until` (ISO 8601, UTC), or only count with `dry_run`.

    Answers how many letters there were, and how many met which fate. A schedule's own event narrows nothing.
    """
    deadline = time.monotonic() + context.get_remaining_time_in_millis() / 1000 - RESERVE_SECONDS
    since, until = (moment(event[name]) if event.get(name) else None for name in ("since", "until"))
    found = letters(bucket, event.get("prefix") or PREFIX, since, until)
    fates: Counter[str] = Counter()
    lines = 0

    def pause(seconds: float) -> None:
        time.sleep(max(min(seconds, deadline - time.monotonic()), 0.0))

    if not event.get("dry_run"):
        in_time = takewhile(lambda _: time.monotonic() < deadline, found)
        for result in replay_all(in_time, bucket, _ship, events_per_second, pause):
            fates[result.fate] += 1
            lines += result.outcome.documents
            if result.reason:
                logger.warning("letter", key=result.letter.key, fate=result.fate, reason=result.reason)
    waiting = len(found) - fates[LetterFate.REPLAYED] - fates[LetterFate.POISONED] - fates[LetterFate.GONE]
    counts: dict[str, Any] = {
        "found": len(found),
        "replayed": fates[LetterFate.REPLAYED],
        "poisoned": fates[LetterFate.POISONED],
        "waiting": waiting,
    }
    narrowed = any(event.get(name) for name in ("prefix", "since", "until"))
    for name, count in counts.items():
        if name == "waiting" and narrowed:  # an alarm takes it for all that waits
            continue
        metrics.add_metric(f"DeadLetters{name.capitalize()}", MetricUnit.Count, count)
    metrics.add_metric("MemoryUtilization", MetricUnit.Percent, memory_utilization(context.memory_limit_in_mb))
    metrics.flush_metrics()
    logger.info("replay", **counts, lines=lines)
    return {**counts, "lines": lines}


def _ship(event: Any) -> Outcome:
    payload = decode(event, limit=setting.max_payload_bytes)
    return ship(payload, setting.rules, connection, RetryBudget(time.monotonic() + LETTER_SECONDS))
