"""Tests that each of 100,000 lines is indexed exactly once although OpenSearch is killed.

local/ imitates CloudWatch and Lambda's asynchronous invocations. OpenSearch is real; it is killed
while lines are shipped, and started again later.
"""

from __future__ import annotations

import json
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from installer.install import desired_state, install
from local.asynchronous import Asynchronous
from local.cloudwatch import Subscription
from local.runtime import FunctionFailed, Runtime
from local.runtime import running as start
from local.template import Template
from soak.killable_node import Node
from tools.ports import free_port

LINES = 100_000
SMALL, LARGEST = 50, 6_000  # numbers of lines in a burst
FUNCTION_SECONDS = 7
RETRY_SECONDS = (0.5, 1.0)


@dataclass
class Invocations:
    """Invokes the shipper, and counts the invocations by their result.

    `tries` counts the invocations of each payload.
    """

    shipper: Runtime
    begun: int = 0
    failed: int = 0
    worked: int = 0
    worked_when_retried: int = 0
    duplicates: int = 0
    tries: Counter[str] = field(default_factory=Counter)

    def invoke(self, event: dict[str, Any]) -> None:
        payload = event["awslogs"]["data"]
        self.tries[payload] += 1
        self.begun += 1
        try:
            answer = self.shipper.invoke(event)
        except FunctionFailed:
            self.failed += 1
            raise
        self.worked += 1
        self.worked_when_retried += self.tries[payload] > 1
        self.duplicates += answer["duplicate"]


@dataclass
class Outage:
    """Kills the OpenSearch node during an invocation, and starts it again later.

    The node is started again after one event has become a dead letter (no retry was left), and the
    next event has failed at least once.
    """

    node: Node
    invocations: Invocations
    letters: list[str] = field(default_factory=list)
    _begun: threading.Event = field(default_factory=threading.Event)
    _over: threading.Event = field(default_factory=threading.Event)

    @property
    def ended(self) -> bool:
        """Whether the node was killed, a dead letter was written, and the node started again."""
        return self._over.is_set()

    def run(self) -> None:
        until(
            lambda: (
                self.invocations.worked >= 10 and self.invocations.begun > self.invocations.worked
            )
        )
        time.sleep(0.1)
        self.node.kill()
        # On a slow machine, invocations that took too long may have left dead letters already.
        before = len(self.letters)
        until(lambda: len(self.letters) > before)
        failed = self.invocations.failed
        until(lambda: self.invocations.failed > failed)
        self._begun.set()
        self.node.start()
        self._over.set()

    def pause(self, seconds: float) -> None:
        """Pause between two tries of an event. If the node is being started, wait for the node."""
        time.sleep(seconds)
        if self._begun.is_set():
            assert self._over.wait(120)


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    found = Node(free_port(range(9210, 9299)), tmp_path)
    found.start()
    install(desired_state([], opensearch=found.url))
    yield found
    found.end()


@pytest.fixture
def shipper(
    template: Template, built: Path, runtime_packages: Path, node: Node
) -> Iterator[Runtime]:
    function = replace(template.functions["ShipperFunction"], timeout=FUNCTION_SECONDS)
    with start(
        function,
        {"OPENSEARCH_URL": node.url},
        lambda _: None,
        code=built / "ShipperFunction",
        packages=runtime_packages,
    ) as runtime:
        yield runtime


def test_each_line_is_indexed_once_although_the_server_was_killed(
    *,
    node: Node,
    shipper: Runtime,
    template: Template,
    replaying: Callable[[str], AbstractContextManager[Runtime]],
    s3: Any,
    bucket: str,
) -> None:
    [(log_group, pattern, subscriber)] = template.subscriptions
    invocations = Invocations(shipper)
    outage = Outage(node, invocations)

    def keep(key: str, content: bytes) -> None:
        s3.put_object(Bucket=bucket, Key=key, Body=content)
        outage.letters.append(key)

    asynchronous = Asynchronous(
        template.functions[subscriber], invocations.invoke, keep, RETRY_SECONDS, outage.pause
    )
    subscription = Subscription(log_group, pattern, asynchronous)
    threads = [
        threading.Thread(target=target, daemon=True) for target in (subscription.run, outage.run)
    ]
    for thread in threads:
        thread.start()
    for burst in bursts():
        for line in burst:
            subscription.put(line)
        if len(burst) < SMALL:
            # Otherwise a small burst would become part of a larger payload.
            assert subscription.drain(120)
    subscription.stop()
    for thread in threads:
        thread.join(120)
        assert not thread.is_alive()

    # if one of these assertions fails, the test proves nothing
    assert subscription.counts.passed == LINES
    assert outage.ended
    assert len(subscription.failures) == len(outage.letters)
    assert invocations.worked_when_retried >= 1
    assert invocations.worked > 20

    with replaying(node.url) as replay:
        assert until(lambda: replay.invoke({})["found"] == 0)
    assert node.times() == Counter(range(LINES))
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 0


def bursts() -> Iterator[list[str]]:
    """Yield the lines in bursts, so that payloads have all sizes."""
    chance = random.Random(20261123)  # noqa: S311
    begin = 0
    while begin < LINES:
        end = min(LINES, begin + chance.choice([1, 20, 500, chance.randrange(LARGEST), LARGEST]))
        yield [
            json.dumps({"message": "prediction", "n": number, "text": "word " * (number % 97)})
            for number in range(begin, end)
        ]
        begin = end


def until(true: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 120
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return True
