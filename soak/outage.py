"""`python -m soak.outage`: measures an outage of OpenSearch under steady traffic.

It first measures how many events a second can be indexed. From this it predicts the largest backlog
of an outage, and the time until the backlog is gone. It then makes the outage, and prints the
predicted and the measured figures. The exit code is 0 if every event is in the index once.
"""

from __future__ import annotations

import math
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from rich.table import Table

from local import terminal_view
from local.processes import end_once_when_told
from scale.backlog import backlog
from shipper.back_off import LONGEST_PAUSE
from soak.episodes import Stack, stack
from tools.arguments import Parser
from tools.errors import UserError
from tools.printable import plain

RATE: Final = 2_000.0
SECONDS: Final = 60.0
FUNCTION_SECONDS: Final = 120  # the shipper's time limit in template.yaml
BURST: Final = 40_000  # events that are sent at once to measure the capacity
STEADY_SECONDS: Final = 15.0  # traffic before the outage
SAMPLE_SECONDS: Final = 2.0  # pause between two measurements of the backlog
LONGEST: Final = 900.0  # a backlog that is not gone after this many seconds is an error


@dataclass(frozen=True, slots=True)
class Capacity:
    """The largest rate at which the stack can index events.

    `events` is this rate, in events a second. `processor` is the processor time that OpenSearch
    needs for one event, in microseconds.
    """

    events: float
    processor: float


@dataclass(frozen=True, slots=True)
class Outage:
    """The measured figures of an outage.

    `rate` is the measured number of events that were sent in each second. `seconds` is the time
    without a server. `behind` is the largest number of events that were sent but not indexed.
    `caught_up` is the time in seconds from the return of the server until all events were indexed.
    """

    rate: float
    seconds: float
    behind: int
    caught_up: float


def main(arguments: list[str] | None = None) -> int:
    """Measure an outage, and print the table. Returns the exit code."""
    parser = Parser(
        prog="python -m soak.outage",
        description="Kills OpenSearch under steady traffic, starts it again, and compares the "
        "measured backlog with the predicted backlog.",
    )
    parser.add_argument("--rate", type=float, default=RATE, help="events a second (%(default)s)")
    parser.add_argument(
        "--seconds", type=float, default=SECONDS, help="seconds without the server (%(default)s)"
    )
    options = parser.parse_args(arguments)
    if options.rate <= 0 or options.seconds <= 0:
        parser.error("--rate and --seconds must be above 0")
    end_once_when_told()
    page = terminal_view.console()

    def say(text: str) -> None:
        page.print(text, markup=False, highlight=False, soft_wrap=True)

    try:
        with stack(0, seconds=FUNCTION_SECONDS) as parts:
            capacity = measured(parts, BURST)
            say(
                f"at most {capacity.events:,.0f} events a second can be indexed; OpenSearch needs "
                f"{capacity.processor:,.0f} us of processor time for an event"
            )
            _ensure(options.rate, capacity)
            found = outage(parts, options.rate, options.seconds, say)
            parts.empty()
            parts.result.count(parts.node.times())
            page.print(table(capacity, found))
            result = parts.result
    except (UserError, RuntimeError) as problem:
        print(f"make outage: {plain(problem)}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    say(
        f"{result.put:,} events put: {result.missing:,} missing, {result.doubled:,} more than once;"
        f" {parts.letters.total()} dead letters"
    )
    return 0 if result.exactly_once else 1


def _ensure(rate: float, capacity: Capacity) -> None:
    """Raise `UserError` if this machine cannot index `rate` events a second."""
    try:
        backlog(rate, 0, capacity.events)
    except ValueError as problem:
        raise UserError(f"{problem}: give a lower --rate (RATE=)") from None


def measured(parts: Stack, events: int) -> Capacity:
    """Send events at once, and measure how fast they are indexed.

    The server is restarted first, so that it is as slow as it is after an outage.
    """
    parts.put(events // 4)  # starts the functions
    parts.drain()
    parts.node.kill()
    parts.node.start()
    begun, used = time.monotonic(), parts.node.processor_seconds()
    parts.put(events)
    parts.drain()
    seconds = time.monotonic() - begun
    return Capacity(events / seconds, (parts.node.processor_seconds() - used) / events * 1e6)


def outage(parts: Stack, rate: float, seconds: float, say: Callable[[str], None]) -> Outage:
    """Kill the server under traffic, start it again, and wait until all events are indexed.

    Raises `RuntimeError` if the backlog does not go away.
    """
    parts.rate = rate
    before = parts.result.put
    begun = time.monotonic()
    with _traffic(parts):
        time.sleep(STEADY_SECONDS)
        usual = parts.result.put - parts.node.total()
        parts.node.kill()
        killed = time.monotonic()
        say(f"{rate:,.0f} events a second are sent; the server was killed")
        time.sleep(seconds)
        parts.node.start()
        back = time.monotonic()
        say(f"the server is back after {back - killed:.0f} s")
        most = 0
        while True:
            behind = parts.result.put - parts.node.total(refresh=False)
            most = max(most, behind)
            now = time.monotonic()
            # The newest events are always still on their way, so they are no backlog.
            if behind <= max(usual, 2 * rate):
                break
            if now - back > LONGEST:
                raise RuntimeError(f"{behind:,} events are not indexed after {LONGEST:.0f} s")
            say(f"  {now - back:5.1f} s later, {behind:,} events are not indexed yet")
            time.sleep(SAMPLE_SECONDS)
        came = (parts.result.put - before) / (now - begun)
    parts.drain()
    return Outage(came, back - killed, most, now - back)


@contextmanager
def _traffic(parts: Stack) -> Iterator[None]:
    """Send events at the rate `parts.rate` while the block runs."""
    ended = threading.Event()

    def run() -> None:
        assert parts.rate
        begun, put = time.monotonic(), 0
        while not ended.is_set():
            due = math.floor((time.monotonic() - begun) * parts.rate) - put
            parts.put(due, paced=False)
            put += due
            time.sleep(0.01)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def table(capacity: Capacity, found: Outage) -> Table:
    """Return a table of the predicted and the measured figures.

    A predicted figure is a range, because the shipper notices the return of the server only at its
    next try. The pause before this try lasts up to `LONGEST_PAUSE` seconds.
    """
    least, most = (
        backlog(found.rate, found.seconds, capacity.events, pause) for pause in (0, LONGEST_PAUSE)
    )
    drawn = Table("", "predicted", "measured")
    drawn.add_row("events a second", "", f"{found.rate:,.0f}")
    drawn.add_row("seconds without the server", "", f"{found.seconds:.0f}")
    drawn.add_row(
        "largest backlog, in events",
        f"{least.events:,.0f} to {most.events:,.0f}",
        f"{found.behind:,}",
    )
    drawn.add_row(
        "seconds until the backlog was gone",
        f"{least.seconds:.0f} to {most.seconds:.0f}",
        f"{found.caught_up:.0f}",
    )
    return drawn


if __name__ == "__main__":
    raise SystemExit(main())
