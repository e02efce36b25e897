"""Processes of our own: each in a group of its own, so that ending one ends what it started."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import IO, NoReturn

GRACE_SECONDS = 10
ENDINGS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def running(command: list[str], *, environment: dict[str, str], folder: Path, output: IO[bytes] | int) -> Iterator[subprocess.Popen[bytes]]:
    """Run `command` with both of its outputs in `output`, ended with all of its group afterwards.

    In a group of its own: Ctrl-C then reaches us alone, and we end everything in order.
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
    try:
        yield process
    finally:
        _end(process)


def end_once_when_told() -> None:
    """Ctrl-C, a polite kill or a closed terminal interrupt once; while everything is being ended, further ones are ignored."""

    def interrupt(_number: int, _frame: FrameType | None) -> NoReturn:
        for ending in ENDINGS:
            signal.signal(ending, signal.SIG_IGN)
        raise KeyboardInterrupt

    for ending in ENDINGS:
        signal.signal(ending, interrupt)


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the process and all of its group, first politely; returns when it is gone."""
    for send in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, send)
            process.wait(GRACE_SECONDS)
        except ProcessLookupError:
            break
        except subprocess.TimeoutExpired:
            continue
    process.wait()
