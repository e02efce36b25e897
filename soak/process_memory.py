"""Reads the memory, descriptors and threads of a function's process from Linux's /proc."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Final, NamedTuple

PROC: Final = Path("/proc")
RUNTIME: Final = b"awslambdaric"  # the module that runs a function
KIB: Final = 1024
FEWEST: Final = 30  # with fewer samples nothing is judged
# Memory may grow by this factor and still count as flat, because allocators keep freed memory.
WIDER: Final = 1.1
MORE: Final = 2  # descriptors or threads may grow by this number and still count as flat


class Vitals(NamedTuple):
    """One sample: resident memory in MiB, open descriptors, threads, and the process id.

    The process id changes if Lambda starts a new process, as it does after an invocation that took
    too long.
    """

    memory: float
    descriptors: int
    threads: int
    process: int


def vitals(session: int) -> Vitals | None:
    """Return a sample of the function's process, or None while the function has no process.

    `session` is the id of the Linux session of the function's emulator.
    """
    for folder in PROC.glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
            if int(fields[3]) != session or RUNTIME not in _program(folder):
                continue
            status = dict(
                line.split(":", 1) for line in (folder / "status").read_text().splitlines()
            )
            return Vitals(
                int(status["VmRSS"].split()[0]) / KIB,
                sum(1 for _ in (folder / "fd").iterdir()),
                int(status["Threads"]),
                int(folder.name),
            )
        except (OSError, KeyError):  # the process has ended
            continue
    return None


def _program(folder: Path) -> bytes:
    """Return the command of a process if it is a Python process, otherwise no bytes.

    The command of Lambda's emulator also contains the name `RUNTIME`, but the emulator is no Python
    process.
    """
    command = (folder / "cmdline").read_bytes()
    return command if Path(command.decode().partition("\0")[0]).name.startswith("python") else b""


class Trend(NamedTuple):
    """How memory, descriptors and threads changed: each has an early, a late and the largest value.

    The early value is the median of the second fifth of the samples, and the late value is the
    median of the last fifth. The first fifth is warm-up. `processes` is the number of processes
    that the function had.
    """

    memory: tuple[float, float, float]
    descriptors: tuple[float, float, float]
    threads: tuple[float, float, float]
    processes: int

    @property
    def flat(self) -> bool:
        """Whether memory, descriptors and threads have not grown."""
        return (
            self.memory[1] <= self.memory[0] * WIDER
            and self.descriptors[1] <= self.descriptors[0] + MORE
            and self.threads[1] <= self.threads[0] + MORE
        )


def trend(samples: Sequence[Vitals]) -> Trend | None:
    """Return how the samples changed, or None if there are fewer than `FEWEST` samples."""
    if len(samples) < FEWEST:
        return None
    memory, descriptors, threads = (
        _change(column) for column in list(zip(*samples, strict=True))[:3]
    )
    return Trend(memory, descriptors, threads, len({one.process for one in samples}))


def _change(values: Sequence[float]) -> tuple[float, float, float]:
    fifth = len(values) // 5
    return median(values[fifth : 2 * fifth]), median(values[-fifth:]), max(values)
