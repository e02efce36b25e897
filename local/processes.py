"""Processes of our own: each in a group of its own, so that ending one ends what it started."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path
from typing import IO

GRACE_SECONDS = 10


def start(
    command: list[str], *, environment: dict[str, str], folder: Path, output: IO[bytes] | int, errors: IO[bytes] | int
) -> subprocess.Popen[bytes]:
    """Start `command` in a new process group (Ctrl-C then reaches us alone, and we end it in order)."""
    return subprocess.Popen(
        command, env=environment, cwd=folder, stdin=subprocess.DEVNULL, stdout=output, stderr=errors, start_new_session=True
    )


def end(process: subprocess.Popen[bytes]) -> None:
    """End the process and all of its group, first politely; returns when it is gone."""
    for send in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, send)
        except ProcessLookupError:
            break
        try:
            process.wait(GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            continue
    process.wait()
