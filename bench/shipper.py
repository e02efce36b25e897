"""Measures the shipper and its rivals (other code that sends the same documents).

The functions yield rows of the table that `make bench` writes.
"""

from __future__ import annotations

import base64
import json
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from statistics import mean, median
from tempfile import TemporaryDirectory
from typing import Any, Final, NamedTuple

from opensearchpy import OpenSearch

from bench import package
from bench.interleave import Contender, Times, WrongCount, interleaved, ratio
from bench.lines import Printed, event, mixed, own, records
from bench.peak_memory import Peak, peak
from bench.rivals import ISAL, ZLIB, bodies, floor, plain_connection, usual
from bench.shipper_forms import MAPPED, load_handler, ours
from bench.table import Row, Target
from shipper.client import connect

MEBIBYTE: Final = 1024 * 1024
LINE_FRAME: Final = 105  # bytes of a log event without its message: id, timestamp, names

OURS: Final = "shipper"
MAPPING: Final = "shipper with FIELD_MAP"
HANDLER: Final = "handler"
# The floor does only the unavoidable work of sending the same documents (rivals.py).
FLOOR: Final = "floor: base64, gunzip, gzip -1, POST, JSON"
FLOOR_ISAL: Final = "floor + isal: isal in place of zlib"
USUAL: Final = "usual way: json, gzip, helpers.bulk"
USUAL_GZIP: Final = "usual way + gzip: http_compress=True"

Start = Callable[[str, int], Callable[[], None]]
LineUp = Callable[..., dict[str, Contender]]


class Scale(NamedTuple):
    """The size of a run.

    - `sizes` has the number of events in each of three payloads.
    - `rounds` has the number of rounds with each of the three payloads.
    - `inflated` is the size, in bytes, of a fourth payload, with which memory is measured.
    - `away_seconds` is the time that a payload waits for a server that cannot be reached.
    - `imports` and `sentences` are the numbers of imports and of predicted sentences.
    - `full` says whether the rows of the table have targets.
    """

    sizes: tuple[int, int, int]
    rounds: tuple[int, int, int]
    inflated: int
    away_seconds: float
    imports: int
    sentences: int
    full: bool


FULL: Final = Scale(
    (100, 1_000, 10_000), (25, 15, 9), 40_000_000, 5.0, imports=11, sentences=300, full=True
)
QUICK: Final = Scale((20, 100, 500), (2, 2, 2), 2_000_000, 1.0, imports=2, sentences=30, full=False)


def cost(log: Printed, url: str, scale: Scale, start: Start) -> Iterator[Row]:
    """Measure the processor time for shipping the lines of a Lambda event.

    This time includes counting the created documents. For the large payload, the wall time is
    measured too.
    """
    small, middle, large = scale.sizes
    few, some, least = scale.rounds
    with _line_up(url) as line_up:
        times = interleaved(
            line_up(event(records(1, log)), OURS, FLOOR), 1, few, start("one record", few)
        )
        yield _compared("an invocation, 1 record", times, (OURS, FLOOR), 1)

        name = f"{small:,} records"
        times = interleaved(
            line_up(event(records(small, log)), HANDLER, OURS, FLOOR), small, few, start(name, few)
        )
        yield _compared(name, times, (OURS, FLOOR), small, Target("≤", 2.2))
        yield _compared(name, times, (HANDLER, FLOOR), small)

        name = f"{middle:,} records"
        everyone = line_up(event(records(middle, log)), HANDLER, OURS, FLOOR, USUAL, USUAL_GZIP)
        times = interleaved(everyone, middle, some, start(name, some))
        yield _compared(name, times, (OURS, FLOOR), middle, Target("≤", 1.6))
        yield _compared(name, times, (HANDLER, FLOOR), middle)
        yield _beaten(name, times, USUAL, middle, Target("≥", 4))
        yield _beaten(name, times, USUAL_GZIP, middle, Target("≥", 7))

        name = f"{large:,} records"
        everyone = line_up(event(records(large, log)), OURS, FLOOR, FLOOR_ISAL, USUAL, USUAL_GZIP)
        times = interleaved(everyone, large, least, start(name, least))
        yield _compared(name, times, (OURS, FLOOR), large, Target("≤", 1.6))
        yield _compared(name, times, (OURS, FLOOR_ISAL), large)
        yield _beaten(name, times, USUAL, large, Target("≥", 4))
        yield _beaten(name, times, USUAL_GZIP, large, Target("≥", 7))
        yield _throughput(name, times, large)

        for title, one in (("lines of a user's function", OURS), ("mapped lines", MAPPING)):
            name = f"{middle:,} {title}"
            content = event(own(middle, mapped=one == MAPPING))
            times = interleaved(line_up(content, one, FLOOR), middle, some, start(name, some))
            yield _compared(name, times, (one, FLOOR), middle)

        for size, rounds in ((middle, some), (large, least)):
            name = f"{size:,} mixed lines"
            times = interleaved(
                line_up(event(mixed(size, log)), OURS, FLOOR, USUAL, USUAL_GZIP),
                size,
                rounds,
                start(name, rounds),
            )
            yield _compared(name, times, (OURS, FLOOR), size)
            yield _beaten(name, times, USUAL, size)
            yield _beaten(name, times, USUAL_GZIP, size)


def memory(log: Printed, url: str, scale: Scale, start: Start) -> Iterator[Row]:
    """Measure the memory for a large payload: the peak, minus the memory in use before the payload.

    The first payload is delivered. The second waits until its deadline for a server that cannot be
    reached.
    """
    count = scale.inflated // round(
        mean(len(json.dumps(line)) for line in log.records) + LINE_FRAME
    )
    content = event(records(count, log))
    inflated = len(ZLIB.inflate(_packed(content)))
    tick = start(f"memory, {count:,} records", 3)
    with TemporaryDirectory() as folder, _refusing() as closed:
        file = Path(folder) / "event.json"
        file.write_text(json.dumps(content), encoding="utf-8")
        delivered = _checked(peak("ours:60", url, file), created=count)
        tick()
        waiting = _checked(peak(f"ours:{scale.away_seconds}", closed, file), failed=count)
        tick()
        other = _checked(peak("usual", url, file), created=count)
        tick()
    size = "the payload, inflated"
    yield _grown("peak memory: shipper / payload", delivered, size, inflated, Target("≤", 4))
    yield _grown("peak memory, server not reachable: shipper / payload", waiting, size, inflated)
    yield Row(
        "peak memory: usual way / shipper",
        _mib(delivered.grown),
        "MiB",
        USUAL,
        _mib(other.grown),
        other.grown / delivered.grown,
    )


def deployed(scale: Scale, start: Start) -> Iterator[Row]:
    """Measure the size of the built package, and the time to import it.

    The time is compared with the time to import only opensearch-py.
    """
    modules = ("shipper.handler", "opensearchpy")
    times = package.import_seconds(modules, scale.imports, start("import", scale.imports))
    mine, other = (times[module] for module in modules)
    yield Row(
        "import: shipper.handler / opensearchpy",
        median(mine) * 1e3,
        "ms",
        "import opensearchpy",
        median(other) * 1e3,
        ratio(mine, other),
        Target("≤", 1.5),
    )
    yield Row("package size", _mib(package.size()), "MiB", target=Target("≤", 15, "value"))


@contextmanager
def _line_up(url: str) -> Iterator[LineUp]:
    """Yield a function that returns the contenders with the given names, for one Lambda event.

    Each contender has a connection of its own, which stays open.
    """
    with ExitStack() as stack:
        mine, bare = (
            stack.enter_context(closing(connect(url, {}))),
            stack.enter_context(closing(plain_connection(url))),
        )
        plain = stack.enter_context(closing(OpenSearch(url)))
        packed = stack.enter_context(closing(OpenSearch(url, http_compress=True)))
        handle = load_handler(url)

        def line_up(content: Any, *names: str) -> dict[str, Contender]:
            ready = bodies(content)
            every: dict[str, Contender] = {
                OURS: lambda: ours(content, mine).indexed,
                MAPPING: lambda: ours(content, mine, rules=MAPPED).indexed,
                HANDLER: lambda: handle(content),
                FLOOR: lambda: floor(content, ready, bare, ZLIB),
                FLOOR_ISAL: lambda: floor(content, ready, bare, ISAL),
                USUAL: lambda: usual(content, plain),
                USUAL_GZIP: lambda: usual(content, packed),
            }
            return {name: every[name] for name in names}

        yield line_up


def _compared(
    name: str,
    times: dict[str, Times],
    pair: tuple[str, str],
    size: int,
    target: Target | None = None,
) -> Row:
    """Return the cost of the first contender of the pair, divided by that of the second."""
    one, rival = pair
    mine, other = times[one].cpu, times[rival].cpu
    title = f"{name}: {_short(one)} / {_short(rival)}"
    return Row(
        title,
        _micro(mine, size),
        _unit(size),
        rival,
        _micro(other, size),
        ratio(mine, other),
        target,
    )


def _beaten(
    name: str, times: dict[str, Times], rival: str, size: int, target: Target | None = None
) -> Row:
    """Return the cost of a rival that the shipper must beat, divided by the shipper's cost."""
    mine, other = times[OURS].cpu, times[rival].cpu
    title = f"{name}: {_short(rival)} / {_short(OURS)}"
    return Row(
        title,
        _micro(mine, size),
        _unit(size),
        rival,
        _micro(other, size),
        ratio(other, mine),
        target,
    )


def _throughput(name: str, times: dict[str, Times], size: int) -> Row:
    mine, other = times[OURS].wall, times[USUAL].wall
    title = f"{name} in wall time: shipper / usual way"
    return Row(
        title,
        size / median(mine),
        "events/s",
        USUAL,
        size / median(other),
        ratio(other, mine),
        Target("≥", 40_000, "value"),
    )


def _micro(seconds: list[float], size: int) -> float:
    return median(seconds) * 1e6 / size


def _unit(size: int) -> str:
    return "µs/event" if size > 1 else "µs"


def _short(name: str) -> str:
    return name.partition(":")[0]


def _grown(name: str, found: Peak, rival: str, inflated: int, target: Target | None = None) -> Row:
    return Row(
        name, _mib(found.grown), "MiB", rival, _mib(inflated), found.grown / inflated, target
    )


def _mib(size: int) -> float:
    return size / MEBIBYTE


def _packed(content: dict[str, Any]) -> bytes:
    return base64.b64decode(content["awslogs"]["data"])


def _checked(found: Peak, *, created: int = 0, failed: int = 0) -> Peak:
    if (found.created, found.failed) != (created, failed):
        raise WrongCount(
            f"{found.created} documents created and {found.failed} failed,"
            f" instead of {created} and {failed}"
        )
    return found


@contextmanager
def _refusing() -> Iterator[str]:
    """Yield an address of this machine that refuses every connection.

    A socket holds the port, so that no other process takes it. The socket never listens.
    """
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}"
