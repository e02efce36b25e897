"""`python -m soak`: makes random faults for a time, and then prints tables.

An episode is a part of the soak with one fault. A fault strikes a request if the request fails
because of the fault.

The exit code is 0 if every event is in the index once and no process has grown, otherwise 1.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from itertools import groupby
from typing import Final

from rich.table import Table

from local import terminal_view
from local.processes import end_once_when_told
from soak.episodes import FUNCTION_SECONDS, Played, Result, Stack, soak
from soak.faults import Episode, episodes
from soak.process_memory import FEWEST, Trend, trend
from tools.arguments import Parser
from tools.errors import UserError
from tools.printable import plain

MINUTES: Final = 10.0
RATE: Final = 200.0
SEED: Final = 25


def main(arguments: list[str] | None = None, seconds: int = FUNCTION_SECONDS) -> int:
    """Run the soak, and print the tables. Returns the exit code.

    `seconds` is the time limit of an invocation of the shipper.
    """
    parser = Parser(
        prog="python -m soak",
        description="Sends events through the shipper into a real OpenSearch. Meanwhile the server "
        "and the connection to it fail at random. At the end, checks whether each event is in the "
        "index once.",
    )
    parser.add_argument(
        "--minutes", type=float, default=MINUTES, help="time in which faults happen (%(default)s)"
    )
    parser.add_argument("--rate", type=float, default=RATE, help="events a second (%(default)s)")
    parser.add_argument(
        "--seed", type=int, default=SEED, help="seed of the order of faults (%(default)s)"
    )
    options = parser.parse_args(arguments)
    if options.minutes <= 0 or options.rate <= 0:
        parser.error("--minutes and --rate must be above 0")
    end_once_when_told()
    page = terminal_view.console()
    begun = time.monotonic()

    def say(stack: Stack, played: Played) -> None:
        page.print(
            progress(time.monotonic() - begun, stack, played),
            markup=False,
            highlight=False,
            soft_wrap=True,
        )

    try:
        chosen = _for(options.minutes * 60, episodes(options.seed))
        result = soak(chosen, options.seed, options.rate, seconds, say)
    except (UserError, RuntimeError) as problem:
        print(f"make soak: {plain(problem)}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    trends = {name: trend(samples) for name, samples in result.samples.items()}
    for table in (by_fault(result), by_function(trends)):
        page.print(table)
    page.print(verdict(result), markup=False, highlight=False, soft_wrap=True)
    flat = all(found is None or found.flat for found in trends.values())
    return 0 if result.exactly_once and flat else 1


def _for(seconds: float, among: Iterator[Episode]) -> Iterator[Episode]:
    """Yield episodes until `seconds` have passed."""
    end = time.monotonic() + seconds
    for episode in among:
        if time.monotonic() >= end:
            return
        yield episode


def progress(seconds: float, stack: Stack, played: Played) -> str:
    """Return one line about an episode. `seconds` is the time since the beginning of the soak."""
    minutes, rest = divmod(int(seconds), 60)
    used = ", ".join(
        f"{name} {samples[-1].memory:.0f} MiB {samples[-1].descriptors} descriptors"
        for name, samples in stack.result.samples.items()
    )
    return (
        f"{minutes:3d}:{rest:02d}  {played.episode.fault:<16} {played.episode.events:6,d} events  "
        f"{played.struck:3d} requests struck  {played.failed:2d} invocations failed  "
        f"{played.letters:2d} dead letters  all shipped after {played.behind:5.1f} s  "
        f"{stack.result.total:,} of {stack.result.put:,} in the index  {used}"
    )


def by_fault(result: Result) -> Table:
    """Return a table with one row for each fault."""
    table = Table(
        "fault", "episodes", "events", "requests struck", "invocations failed", "dead letters",
        "longest time until all were shipped, in seconds",
    )  # fmt: skip
    ordered = sorted(result.played, key=lambda one: one.episode.fault)
    for fault, group in groupby(ordered, key=lambda one: one.episode.fault):
        some = list(group)
        table.add_row(
            fault,
            f"{len(some):,}",
            f"{sum(one.episode.events for one in some):,}",
            f"{sum(one.struck for one in some):,}",
            f"{sum(one.failed for one in some):,}",
            f"{sum(one.letters for one in some):,}",
            f"{max(one.behind for one in some):.1f}",
        )
    return table


def by_function(trends: dict[str, Trend | None]) -> Table:
    """Return a table of each function's memory, descriptors and threads.

    Each cell has an early, a late and the largest value. A function is flat if memory,
    descriptors and threads have not grown.
    """
    head = "memory in MiB: early, late, highest"
    table = Table("function", head, "descriptors", "threads", "processes", "flat")
    for name, found in trends.items():
        if found is None:
            table.add_row(name, "", "", "", "", f"fewer than {FEWEST} episodes")
            continue
        columns = [
            ", ".join(f"{value:.0f}" for value in change)
            for change in (found.memory, found.descriptors, found.threads)
        ]
        table.add_row(name, *columns, f"{found.processes}", "yes" if found.flat else "NO")
    return table


def verdict(result: Result) -> str:
    """Return the counts of the events in one sentence."""
    return (
        f"{result.put:,} events, {result.total:,} documents: {result.missing:,} events missing, "
        f"{result.doubled:,} duplicates, {result.foreign:,} documents without an event"
    )


if __name__ == "__main__":
    raise SystemExit(main())
