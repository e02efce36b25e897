"""Reads the memory, descriptors and threads of a function's process from Linux's /proc."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Final, NamedTuple

PROC: Final = Path("/proc")
RUNTIME: Final = b"awslambdaric"  # the module that runs a function
KIB: Final = 1024
FEWEST: Final = 30  # samples for a judgement
WIDER: Final = 1.1  # growth of the memory that is no growth: allocators keep what they freed
MORE: Final = 2  # descriptors or threads


class Vitals(NamedTuple):
    """One sample: resident memory in MiB, open descriptors, and threads."""

    memory: float
    descriptors: int
    threads: int


def vitals(session: int) -> Vitals | None:
    """Return a sample of the function whose emulator leads `session`; None while there is none."""
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
            )
        except (OSError, KeyError):  # the process has ended
            continue
    return None


def _program(folder: Path) -> bytes:
    """Return the command of a Python process; the emulator's own command names the module too."""
    command = (folder / "cmdline").read_bytes()
    return command if Path(command.decode().partition("\0")[0]).name.startswith("python") else b""


class Trend(NamedTuple):
    """The medians of the second and of the last fifth of the samples. The first is warm-up."""

    early: Vitals
    late: Vitals
    most: Vitals

    @property
    def flat(self) -> bool:
        """Whether nothing has grown."""
        return (
            self.late.memory <= self.early.memory * WIDER
            and self.late.descriptors <= self.early.descriptors + MORE
            and self.late.threads <= self.early.threads + MORE
        )


def trend(samples: Sequence[Vitals]) -> Trend | None:
    """Return how the samples changed; None if there are too few for a judgement."""
    if len(samples) < FEWEST:
        return None
    fifth = len(samples) // 5
    return Trend(
        _each(samples[fifth : 2 * fifth], median),
        _each(samples[-fifth:], median),
        _each(samples, max),
    )


def _each(samples: Sequence[Vitals], of: object) -> Vitals:
    assert callable(of)
    memory, descriptors, threads = (of(column) for column in zip(*samples, strict=True))
    return Vitals(memory, int(descriptors), int(threads))
