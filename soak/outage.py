"""`python -m soak.outage`: steady traffic, a minute without the server, and the way back.

It measures how many events a second go through, and predicts backlog and time of an outage from
that. It prints the predicted and the measured figures. Exit 0 if every event is in the index once.
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
from shipper.deliver import LONGEST_PAUSE
from soak.episodes import Stack, stack
from tools.arguments import Parser
from tools.errors import UserError
from tools.printable import plain

RATE: Final = 2_000.0
SECONDS: Final = 60.0
FUNCTION_SECONDS: Final = 120  # of the shipper in template.yaml
BURST: Final = 40_000  # events, put at once to measure the capacity
STEADY_SECONDS: Final = 15.0  # of traffic before the outage
SAMPLE_SECONDS: Final = 2.0
LONGEST: Final = 900.0  # seconds until it is said that the backlog does not go away


@dataclass(frozen=True, slots=True)
class Capacity:
    """What the stack does at most.

    `events` is the number of events a second, and `processor` OpenSearch's processor time of one of
    them, in microseconds.
    """

    events: float
    processor: float


@dataclass(frozen=True, slots=True)
class Outage:
    """What an outage came to: seconds without a server, most events behind, and seconds after it.

    `rate` is the number of events a second that really came.
    """

    rate: float
    seconds: float
    behind: int
    caught_up: float


def main(arguments: list[str] | None = None) -> int:
    """Measure an outage, and print the table. Returns the exit code."""
    parser = Parser(
        prog="python -m soak.outage",
        description="Kills OpenSearch under steady traffic, starts it again, and compares backlog "
        "and time with their prediction.",
    )
    parser.add_argument("--rate", type=float, default=RATE, help="events a second (%(default)s)")
    parser.add_argument(
        "--seconds", type=float, default=SECONDS, help="without the server (%(default)s)"
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
                f"at most {capacity.events:,.0f} events a second; OpenSearch needs "
                f"{capacity.processor:,.0f} us of a processor for one"
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
    """Raise `UserError` if so many events a second cannot be indexed here."""
    try:
        backlog(rate, 0, capacity.events)
    except ValueError as problem:
        raise UserError(f"{problem}: give a lower --rate (RATE=)") from None


def measured(parts: Stack, events: int) -> Capacity:
    """Put events at once, and measure how fast they are indexed.

    The server has just been started again, as after an outage, because a cold server is slower.
    """
    parts.put(events // 4)  # so that the functions run
    parts.drain()
    parts.node.kill()
    parts.node.start()
    begun, used = time.monotonic(), parts.node.processor_seconds()
    parts.put(events)
    parts.drain()
    seconds = time.monotonic() - begun
    return Capacity(events / seconds, (parts.node.processor_seconds() - used) / events * 1e6)


def outage(parts: Stack, rate: float, seconds: float, say: Callable[[str], None]) -> Outage:
    """Kill the server under traffic, start it again, and wait until no event is behind.

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
        say(f"{rate:,.0f} events a second come; the server is killed")
        time.sleep(seconds)
        parts.node.start()
        back = time.monotonic()
        say(f"it is back after {back - killed:.0f} s")
        most = 0
        while True:
            behind = parts.result.put - parts.node.total(refresh=False)
            most = max(most, behind)
            now = time.monotonic()
            # the events of the last moments are always on their way
            if behind <= max(usual, 2 * rate):
                break
            if now - back > LONGEST:
                raise RuntimeError(f"{behind:,} events are still behind after {LONGEST:.0f} s")
            say(f"  {now - back:5.1f} s after that, {behind:,} events are behind")
            time.sleep(SAMPLE_SECONDS)
        came = (parts.result.put - before) / (now - begun)
    parts.drain()
    return Outage(came, back - killed, most, now - back)


@contextmanager
def _traffic(parts: Stack) -> Iterator[None]:
    """Put events at the rate while the block runs."""
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

    The shipper pauses between two tries, and no pause is longer than `LONGEST_PAUSE`.
    """
    least, most = (
        backlog(found.rate, found.seconds, capacity.events, pause) for pause in (0, LONGEST_PAUSE)
    )
    drawn = Table("", "predicted", "measured")
    drawn.add_row("events a second", "", f"{found.rate:,.0f}")
    drawn.add_row("seconds without the server", "", f"{found.seconds:.0f}")
    drawn.add_row(
        "most events behind", f"{least.events:,.0f} to {most.events:,.0f}", f"{found.behind:,}"
    )
    drawn.add_row(
        "seconds until none is behind",
        f"{least.seconds:.0f} to {most.seconds:.0f}",
        f"{found.caught_up:.0f}",
    )
    return drawn


if __name__ == "__main__":
    raise SystemExit(main())
