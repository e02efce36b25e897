"""Run child processes. Each has a process group, so that its own children end with it."""

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
# The guard's program reads from a pipe until the pipe is closed. If our process is not killed, it
# writes a word into the pipe before it ends. So if the guard reads nothing, our process was killed.
# The guard then kills the process group.
GUARD = (
    "import os, signal, sys; sys.stdin.buffer.read() or os.killpg(int(sys.argv[1]), signal.SIGKILL)"
)
ENDINGS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def running(
    command: list[str], *, environment: dict[str, str], folder: Path, output: IO[bytes] | int
) -> Iterator[subprocess.Popen[bytes]]:
    """Run `command` during the block, then end it and its process group.

    Standard output and standard error both go to `output`. Because the command has its own process
    group, Ctrl-C reaches only our process, which ends everything in order. If our process is
    killed, a guard process ends the group.
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
    """Start a guard process that ends `group` if our process is killed.

    If our process is killed, the system closes the pipe to the guard, which then sees the end of
    its input.
    """
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
        with suppress(BrokenPipeError):  # the guard was killed
            guard.stdin.write(b"ended")
            guard.stdin.flush()


def end_once_when_told() -> None:
    """Let the first SIGINT, SIGTERM or SIGHUP raise `KeyboardInterrupt`.

    Later signals are ignored, so that they do not disturb the shutdown.
    """

    def interrupt(_number: int, _frame: FrameType | None) -> NoReturn:
        for ending in ENDINGS:
            signal.signal(ending, signal.SIG_IGN)
        raise KeyboardInterrupt

    for ending in ENDINGS:
        signal.signal(ending, interrupt)


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the process and its group with SIGTERM, then SIGKILL, and wait for the end."""
    for send in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, send)
            process.wait(GRACE_SECONDS)
        except ProcessLookupError:
            break
        except subprocess.TimeoutExpired:
            continue
    process.wait()
