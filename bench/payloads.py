"""Measures whole invocations of the shipper, for several sizes of payload.

The shipper is compared with three other programs (contenders):
- the shipper of an earlier commit;
- the function that the CloudWatch console generates;
- the floor, a program that only forwards documents (bench/rivals.py).

Each contender runs in a process of its own (bench/contender.py).
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Final

from bench.contender import SHIPPER, Contender, Payload, console_function, contender
from bench.interleave import Times, in_turn, ratio
from bench.lines import Printed, event, records
from bench.table import Row, Target
from tools.errors import UserError
from tools.root import ROOT

HANDLER: Final = "handler"
FLOOR: Final = "floor"
SIGNED: Final = "signed handler"  # the shipper with signed requests
CONSOLE: Final = "the console's function"
TARGETS: Final = {1: Target("≤", 1.85), 20: Target("≤", 1.95), 10_000: Target("≤", 1.15)}
LOG_BYTES: Final = 750  # the largest number of bytes that an invocation should log

Start = Callable[[str, int], Callable[[], None]]
ROUNDS: Final = {1: 25, 5: 25, 20: 25, 100: 25}
ROUNDS_AGAINST: Final = ROUNDS | {1_000: 15, 10_000: 9}
QUICK: Final = {1: 2, 5: 2}
Line = dict[str, Contender]


def payloads(  # noqa: PLR0917
    log: Printed,
    url: str,
    rounds: Mapping[int, int],
    start: Start,
    console: Path | None = None,
    against: str | None = None,
) -> Iterator[Row]:
    """Measure payloads of several sizes.

    `rounds` maps each size to its number of rounds. `console` is a copy of the console's function,
    and `against` is a commit.
    """
    with ExitStack() as stack:
        enter = stack.enter_context
        line: Line = {name: enter(contender(name, url)) for name in (HANDLER, FLOOR)}
        if console:
            line[SIGNED] = enter(contender(SIGNED, url))
            line[CONSOLE] = enter(console_function(console, url))
        old = f"{HANDLER} of {against}"
        if against:
            line[old] = enter(contender(HANDLER, url, enter(tree(against))))
        folder = Path(enter(TemporaryDirectory()))
        for size, turns in rounds.items():
            payload = _payload(folder, size, log)
            title = f"an invocation, {size:,} record{'s' if size > 1 else ''}"
            samplers = {name: partial(each.sample, payload) for name, each in line.items()}
            times = in_turn(samplers, size, turns, start(title, turns))
            yield _row(title, times, HANDLER, FLOOR, size, TARGETS.get(size))
            if against:
                yield _row(title, times, HANDLER, old, size)
                yield _least(title, times, HANDLER, old, size)
            if console:
                yield _row(title, times, SIGNED, CONSOLE, size, Target("≤", 1))
        yield _log_row(line, _payload(folder, 1, log), old if against else None)


def _payload(folder: Path, size: int, log: Printed) -> Payload:
    found = Payload(folder / f"{size}.json", size)
    found.file.write_text(json.dumps(event(records(size, log))), encoding="utf-8")
    return found


@contextmanager
def tree(commit: str) -> Iterator[Path]:
    """Yield a folder with the files of a commit, and remove it afterwards.

    Raises `UserError` if git does not know the commit.
    """
    with TemporaryDirectory(prefix="bench-") as folder:
        path = Path(folder) / "tree"
        _git("worktree", "add", "--detach", str(path), f"{commit}^{{commit}}")
        try:
            if not (path / SHIPPER / "shipper" / "handler.py").is_file():
                raise UserError(f"{commit} has no shipper in {SHIPPER}: give a later commit")
            yield path
        finally:
            _git("worktree", "remove", "--force", str(path))


def _git(*arguments: str) -> None:
    found = subprocess.run(
        ("git", "-C", str(ROOT), *arguments), capture_output=True, text=True, check=False
    )
    if found.returncode:
        raise UserError(f"git {' '.join(arguments)}: {found.stderr.strip()}")


def _row(  # noqa: PLR0917
    title: str,
    times: dict[str, Times],
    one: str,
    other: str,
    size: int,
    target: Target | None = None,
) -> Row:
    mine, rival = times[one].cpu, times[other].cpu
    return Row(
        f"{title}: {one} / {other}",
        _micro(median(mine), size),
        _unit(size),
        other,
        _micro(median(rival), size),
        ratio(mine, rival),
        target,
    )


def _least(title: str, times: dict[str, Times], one: str, other: str, size: int) -> Row:
    """Compare the fastest samples of two contenders.

    Other work on the machine affects these samples least.
    """
    mine, rival = min(times[one].cpu), min(times[other].cpu)
    return Row(
        f"{title}, quickest: {one} / {other}",
        _micro(mine, size),
        _unit(size),
        other,
        _micro(rival, size),
        mine / rival,
    )


def _log_row(line: Line, payload: Payload, old: str | None) -> Row:
    mine = float(line[HANDLER].log_bytes(payload))
    rival = float(line[old].log_bytes(payload)) if old else None
    share = mine / rival if rival else None
    return Row(
        "log of an invocation", mine, "bytes", old, rival, share, Target("≤", LOG_BYTES, "value")
    )


def _micro(seconds: float, size: int) -> float:
    return seconds * 1e6 / size


def _unit(size: int) -> str:
    return "µs/line" if size > 1 else "µs"
