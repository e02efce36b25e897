"""The two doors of the shipper: the ways on which CloudWatch's payloads reach it.

Through the direct door, CloudWatch invokes the shipper. Through the other door, CloudWatch writes
into a Kinesis stream, and Lambda invokes the shipper with records of the stream.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Final

from local.asynchronous import Asynchronous, Keep
from local.cloudwatch import Subscription
from local.kinesis import Mapping, Stream, policy
from local.runtime import FunctionFailed, Runtime, running
from local.template import Function, Template

RETRY_SECONDS: Final = (0.5, 1.0)  # pauses before a retry; on AWS one minute, then two
DRAIN_SECONDS: Final = 600.0
SHARDS: Final = 2


@dataclass(slots=True)
class Door:
    """A subscription that has its own shipper, and the number of failed invocations.

    An invocation also counts as failed if it reports records that it could not deliver.
    """

    name: str
    shipper: Runtime
    subscription: Subscription
    mapping: Mapping | None = None
    failed: int = 0

    def invoke(self, event: dict[str, Any]) -> Any:
        """Invoke the shipper, and count a failure."""
        try:
            answer = self.shipper.invoke(event)
        except FunctionFailed:
            self.failed += 1
            raise
        self.failed += bool(answer.get("batchItemFailures"))
        return answer

    def drain(self, timeout: float) -> bool:
        """Wait until all events are shipped.

        Returns False if some still wait after `timeout` seconds.
        """
        return self.subscription.drain(timeout) and (
            self.mapping is None or self.mapping.drain(timeout)
        )


@contextmanager
def direct(plan: Template, url: str, keep: Keep, seconds: int) -> Iterator[Door]:
    """Run CloudWatch's asynchronous invocation of the shipper, with its retries and dead letters.

    `seconds` is the time limit of an invocation. `keep` stores a dead letter.
    """
    [(log_group, pattern, subscriber)] = plan.subscriptions
    with running(_shorter(plan, subscriber, seconds), {"OPENSEARCH_URL": url}, _ignore) as shipper:
        door = Door("direct", shipper, Subscription(log_group, pattern, _ignore))
        door.subscription.ship = Asynchronous(
            plan.functions[subscriber], door.invoke, keep, RETRY_SECONDS
        )
        with _running(door.subscription):
            yield door


@contextmanager
def kinesis(plan: Template, url: str, keep: Keep, seconds: int) -> Iterator[Door]:
    """Run a Kinesis stream, and the template's event source mapping, which invokes the shipper.

    `seconds` is the time limit of an invocation. `keep` stores the records that the mapping gives
    up.
    """
    [(log_group, pattern, subscriber)] = plan.subscriptions
    stream = Stream(SHARDS)
    with running(_shorter(plan, subscriber, seconds), {"OPENSEARCH_URL": url}, _ignore) as shipper:
        door = Door("kinesis", shipper, Subscription(log_group, pattern, stream.put))
        door.mapping = Mapping(stream, door.invoke, policy(), keep)
        with door.mapping.running(), _running(door.subscription):
            yield door


def _shorter(plan: Template, function: str, seconds: int) -> Function:
    return replace(plan.functions[function], timeout=seconds)


@contextmanager
def _running(subscription: Subscription) -> Iterator[None]:
    thread = threading.Thread(target=subscription.run, daemon=True)
    thread.start()
    try:
        yield
    finally:
        subscription.stop()
        thread.join(DRAIN_SECONDS)


def _ignore(_line: object) -> None:
    """Ignore a log line of a function."""
