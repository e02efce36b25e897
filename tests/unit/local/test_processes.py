from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from local import processes
from tools.root import ROOT

STARTS = """
import subprocess, sys, threading, time
from pathlib import Path
from local import processes
def start():
    command = ["/bin/sh", "-c", "sleep 1000 & exec sleep 1000"]
    with processes.running(
        command, environment={}, folder=Path("/"), output=subprocess.DEVNULL
    ) as one:
        print(one.pid, flush=True)
        time.sleep(1000)
threading.Thread(target=start).start()
"""

linux = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs Linux's /proc")


def group(number: int) -> list[int]:
    """Return the processes of a group, without zombies (proc_pid_stat(5))."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, of_group, *_ = path.read_text().rpartition(")")[2].split()
        except OSError:  # the process has ended meanwhile
            continue
        if int(of_group) == number and state != "Z":
            found.append(int(path.parent.name))
    return found


def both_there(number: int) -> bool:
    """Wait until the shell has started its child, and both run."""
    deadline = time.monotonic() + 10
    while len(group(number)) != 2 and time.monotonic() < deadline:
        time.sleep(0.01)
    return len(group(number)) == 2


def gone(number: int) -> bool:
    deadline = time.monotonic() + 10
    while group(number) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not group(number)


@linux
def test_a_process_group_ends_if_its_starter_is_killed() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", STARTS], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as starter:
        assert starter.stdout is not None
        number = int(starter.stdout.readline())
        try:
            assert both_there(number)
        finally:  # even if the test fails, so that the `with` block does not wait for ever
            starter.send_signal(signal.SIGKILL)
        starter.wait(10)
        try:
            assert gone(number)
        finally:
            for each in group(number):
                os.kill(each, signal.SIGKILL)


@linux
def test_a_process_group_and_its_guard_end_with_the_block() -> None:
    def children() -> list[str]:
        return Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()

    before = children()
    command = ["sh", "-c", "sleep 1000 & exec sleep 1000"]
    with processes.running(
        command, environment={"PATH": "/usr/bin:/bin"}, folder=Path("/"), output=subprocess.DEVNULL
    ) as one:
        assert len(children()) == len(before) + 2
    assert gone(one.pid)
    assert children() == before
