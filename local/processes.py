"""Child processes, each in a group of its own, so that ending one also ends its children."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import IO, NoReturn

GRACE_SECONDS = 10
# Reads until its standard input ends. If nothing was written to it, this process was killed before
# it could end the group.
GUARD = (
    "import os, signal, sys; sys.stdin.buffer.read() or os.killpg(int(sys.argv[1]), signal.SIGKILL)"
)
ENDINGS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def running(
    command: list[str], *, environment: dict[str, str], folder: Path, output: IO[bytes] | int
) -> Iterator[subprocess.Popen[bytes]]:
    """Run `command` with both of its outputs in `output`, ended with all of its group afterwards.

    In a group of its own: Ctrl-C then reaches us alone, and we end everything in order. Where we
    are killed, a guard ends the group.
    """
    process = subprocess.Popen(
        command,
        env=environment,
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    with _guarded(process.pid):
        try:
            yield process
        finally:
            _end(process)


@contextmanager
def _guarded(group: int) -> Iterator[None]:
    """A process that ends `group` when this one is killed: the system then closes the pipe between them."""
    command = [sys.executable, "-I", "-S", "-c", GUARD, str(group)]
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as guard:
        yield
        assert guard.stdin is not None
        with suppress(BrokenPipeError):  # somebody killed it
            guard.stdin.write(b"ended")
            guard.stdin.flush()


def end_once_when_told() -> None:
    """SIGINT, SIGTERM or SIGHUP interrupt once; further ones are ignored while everything is being ended."""

    def interrupt(_number: int, _frame: FrameType | None) -> NoReturn:
        for ending in ENDINGS:
            signal.signal(ending, signal.SIG_IGN)
        raise KeyboardInterrupt

    for ending in ENDINGS:
        signal.signal(ending, interrupt)


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the process and all of its group, by SIGTERM and then SIGKILL; returns when it is gone."""
    for send in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, send)
            process.wait(GRACE_SECONDS)
        except ProcessLookupError:
            break
        except subprocess.TimeoutExpired:
            continue
    process.wait()
