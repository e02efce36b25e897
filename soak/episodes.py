"""Starts a stack for the soak (a long test with faults), and counts the events in the index.

The soak plays episodes. An episode is a number of events, and a fault that happens while they are
sent (faults.py). Events reach a shipper by two routes: directly, or through a Kinesis stream
(payload_routes.py).
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import boto3
from moto.server import ThreadedMotoServer

from installer.install import desired_state, install
from local import template
from local.runtime import Runtime, running
from soak.faults import Episode, Fault
from soak.killable_node import Node
from soak.numbered_events import line
from soak.payload_routes import DRAIN_SECONDS, Route, direct, kinesis
from soak.process_memory import Vitals, vitals
from soak.proxy import Proxy
from tools.ports import free_port

BUCKET: Final = "dead-letters"
PREFIX_DIRECT: Final = "aws/lambda/async/"
# The shipper's time limit. On AWS it is 120 s, but a short limit makes short episodes.
FUNCTION_SECONDS: Final = 10
REPORT_SECONDS: Final = 4  # the shipper sends nothing in the last seconds of its time limit
ROUNDS: Final = 20  # if dead letters remain after this number of replays, the soak fails
KEYS: Final = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}


@dataclass(slots=True)
class Played:
    """The result of one episode.

    - `struck` counts the requests that the fault struck.
    - `failed` counts the failed invocations of the shipper.
    - `letters` counts the dead letters.
    - `behind` is the number of seconds from the end of the fault until all events were shipped.
    """

    episode: Episode
    struck: int
    failed: int
    letters: int
    behind: float


@dataclass(slots=True)
class Result:
    """The result of the soak.

    - `put` counts the events that were sent, and `total` counts the documents in the index.
    - `missing` counts events that are not in the index.
    - `doubled` counts events that are in the index more than once.
    - `foreign` counts numbers that are in the index, but belong to no event.
    - `samples` has, for each function, the memory, descriptors and threads of its process after
      each episode.
    """

    played: list[Played] = field(default_factory=list)
    put: int = 0
    total: int = 0
    missing: int = 0
    doubled: int = 0
    foreign: int = 0
    samples: dict[str, list[Vitals]] = field(default_factory=dict)

    @property
    def exactly_once(self) -> bool:
        """Whether the index has every event once, and no other document."""
        return not (self.missing or self.doubled or self.foreign) and self.total == self.put

    def count(self, times: Counter[int]) -> None:
        """Compute the counts. `times` says how often each event's number is in the index."""
        self.total = times.total()
        self.missing = sum(1 for number in range(self.put) if number not in times)
        self.doubled = sum(1 for found in times.values() if found > 1)
        self.foreign = sum(1 for number in times if number >= self.put)


@dataclass(slots=True)
class Stack:
    """The parts of a soak.

    `rate` is the number of events a second. If it is None, events are sent without a pause.
    """

    node: Node
    proxy: Proxy
    routes: list[Route]
    replay: Runtime
    letters: Counter[str]
    chance: random.Random
    rate: float | None = None
    result: Result = field(default_factory=Result)

    def play(self, episode: Episode) -> Played:
        """Play one episode, wait until every event has arrived, and count the documents.

        Raises `RuntimeError` if events do not arrive although the fault has ended.
        """
        failed, letters = sum(route.failed for route in self.routes), self.letters.total()
        self.put(episode.events // 2)
        with self.broken(episode):
            self.put(episode.events - episode.events // 2)
            struck = self.wait(episode)
        ended = time.monotonic()
        self.drain()
        behind = time.monotonic() - ended
        self.empty()
        for name, runtime in self.runtimes():
            if sample := vitals(runtime.group):
                self.result.samples.setdefault(name, []).append(sample)
        self.result.total = self.node.total()
        # A restart replays all operations since the last flush, which would take long in a long
        # soak.
        self.node.flush()
        played = Played(
            episode,
            struck,
            sum(route.failed for route in self.routes) - failed,
            self.letters.total() - letters,
            behind,
        )
        self.result.played.append(played)
        return played

    def drain(self) -> None:
        """Wait until all events are shipped. Raises `RuntimeError` if this takes too long."""
        for route in self.routes:
            if not route.drain(DRAIN_SECONDS):
                raise RuntimeError(f"events still wait, because the {route.name} route hangs")

    def put(self, events: int, *, paced: bool = True) -> None:
        """Write events into the log groups of the routes. The route of each event is random."""
        begun = time.monotonic()
        for number in range(events):
            self.chance.choice(self.routes).subscription.put(line(self.result.put))
            self.result.put += 1
            if self.rate and paced:
                time.sleep(max(0.0, begun + number / self.rate - time.monotonic()))

    @contextmanager
    def broken(self, episode: Episode) -> Iterator[None]:
        """Begin the fault, run the body of the `with` statement, and end the fault."""
        fault = episode.fault
        self.proxy.begin(fault, episode.strikes)
        if fault is Fault.KILLED:
            self.node.kill()
        elif fault is Fault.FROZEN:
            self.node.freeze()
        elif fault is Fault.BLOCKED:
            self.node.block(write=True)
        try:
            yield
        finally:
            if fault is Fault.KILLED:
                self.node.start()
            elif fault is Fault.FROZEN:
                self.node.thaw()
            elif fault is Fault.BLOCKED:
                self.node.block(write=False)
            self.proxy.end()

    def wait(self, episode: Episode) -> int:
        """Wait until the fault has struck `episode.strikes` requests.

        On the direct route, each event has only a few retries. If this route has no event left, the
        method returns early, because there may be no more requests. The route through the stream is
        not checked, because it retries until the fault ends. Returns the number of requests that
        the fault has struck.
        """
        while (struck := self.proxy.struck(0.1)) < episode.strikes:
            if self.routes[0].drain(0):
                break
        return struck

    def empty(self) -> None:
        """Replay the dead letters until none is left.

        Raises `RuntimeError` if some are left after `ROUNDS` replays.
        """
        if not self.letters.total():
            return
        for _ in range(ROUNDS):
            if not self.replay.invoke({})["found"]:
                return
        raise RuntimeError(f"dead letters are still in the bucket after {ROUNDS} replays")

    def runtimes(self) -> Iterator[tuple[str, Runtime]]:
        """Yield each function with its name."""
        yield from ((f"shipper, {route.name}", route.shipper) for route in self.routes)
        yield "replay", self.replay


@contextmanager
def stack(seed: int, rate: float | None = None, seconds: int = FUNCTION_SECONDS) -> Iterator[Stack]:
    """Start the node, the proxy, the functions and the bucket of dead letters.

    `seconds` is the time limit of an invocation of the shipper. Raises `UserError` if a part cannot
    start.
    """
    plan = template.read()
    letters: Counter[str] = Counter()
    with ExitStack() as parts:
        folder = Path(parts.enter_context(TemporaryDirectory(prefix="soak-")))
        node = Node(free_port(random.sample(range(9210, 9299), 89)), folder)
        parts.callback(node.end)
        node.start()
        install(desired_state([], opensearch=node.url), say=lambda _: None)
        proxy = Proxy(node.port, seconds - REPORT_SECONDS + 0.5)
        parts.callback(proxy.server_close)
        threading.Thread(target=proxy.serve_forever, daemon=True).start()
        parts.callback(proxy.shutdown)
        s3, address = parts.enter_context(_bucket())

        def keep(key: str, content: bytes) -> None:
            s3.put_object(Bucket=BUCKET, Key=key, Body=content)
            letters["direct" if key.startswith(PREFIX_DIRECT) else "kinesis"] += 1

        settings = {
            "OPENSEARCH_URL": proxy.url,
            "DEAD_LETTER_BUCKET": BUCKET,
            "EVENTS_PER_SECOND": "1000000",
            "AWS_ENDPOINT_URL_S3": address,
            **KEYS,
        }
        replay = parts.enter_context(
            running(plan.functions["ReplayFunction"], settings, lambda _: None)
        )
        routes = [
            parts.enter_context(open_route(plan, proxy.url, keep, seconds))
            for open_route in (direct, kinesis)
        ]
        yield Stack(node, proxy, routes, replay, letters, random.Random(seed), rate)  # noqa: S311


def soak(
    episodes: Iterable[Episode],
    seed: int,
    rate: float | None = None,
    seconds: int = FUNCTION_SECONDS,
    say: Callable[[Stack, Played], None] = lambda *_: None,
) -> Result:
    """Play the episodes, and count at the end how often each event is in the index.

    `say` is called after each episode. Ctrl-C ends the soak early, and the events are still
    counted. Raises `UserError` if a part cannot start, and `RuntimeError` if events do not arrive.
    """
    with stack(seed, rate, seconds) as running_stack:
        for episode in episodes:
            try:
                say(running_stack, running_stack.play(episode))
            except KeyboardInterrupt:
                running_stack.play(Episode(Fault.CALM, 0, 0))
                break
        result = running_stack.result
        result.count(running_stack.node.times())
        return result


@contextmanager
def _bucket() -> Iterator[tuple[Any, str]]:
    """Start moto's S3 with an empty bucket. Yields a client and the address of this S3."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        address = f"http://{host}:{port}"
        s3 = boto3.client(
            "s3",
            endpoint_url=address,
            region_name="us-east-1",
            aws_access_key_id=KEYS["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=KEYS["AWS_SECRET_ACCESS_KEY"],
        )
        s3.create_bucket(Bucket=BUCKET)
        yield s3, address
    finally:
        server.stop()
