"""The two routes by which CloudWatch's payloads reach the shipper.

Either CloudWatch invokes the shipper directly, or CloudWatch writes into a Kinesis stream, and
Lambda invokes the shipper with records of the stream.
"""

from __future__ import annotations

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
class Route:
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
def direct(plan: Template, url: str, keep: Keep, seconds: int) -> Iterator[Route]:
    """Let CloudWatch invoke the shipper asynchronously, with Lambda's retries and dead letters.

    `seconds` is the time limit of an invocation. `keep` stores a dead letter.
    """
    [(log_group, pattern, subscriber)] = plan.subscriptions
    with running(_shorter(plan, subscriber, seconds), {"OPENSEARCH_URL": url}, _ignore) as shipper:
        route = Route("direct", shipper, Subscription(log_group, pattern, _ignore))
        route.subscription.ship = Asynchronous(
            plan.functions[subscriber], route.invoke, keep, RETRY_SECONDS
        )
        with route.subscription.running(DRAIN_SECONDS):
            yield route


@contextmanager
def kinesis(plan: Template, url: str, keep: Keep, seconds: int) -> Iterator[Route]:
    """Run a Kinesis stream, and the template's event source mapping, which invokes the shipper.

    `seconds` is the time limit of an invocation. If the mapping gives up records, `keep` stores
    them.
    """
    [(log_group, pattern, subscriber)] = plan.subscriptions
    stream = Stream(SHARDS)
    with running(_shorter(plan, subscriber, seconds), {"OPENSEARCH_URL": url}, _ignore) as shipper:
        route = Route("kinesis", shipper, Subscription(log_group, pattern, stream.put))
        route.mapping = Mapping(stream, route.invoke, policy(), keep)
        with route.mapping.running(), route.subscription.running(DRAIN_SECONDS):
            yield route


def _shorter(plan: Template, function: str, seconds: int) -> Function:
    return replace(plan.functions[function], timeout=seconds)


def _ignore(_line: object) -> None:
    """Ignore a log line of a function."""
