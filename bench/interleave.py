"""Contenders measured in turn, so that a disturbance of the machine affects all of them alike."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Mapping
from functools import partial
from statistics import median
from typing import Final, NamedTuple

SAMPLE_SECONDS: Final = 0.02  # a shorter call is repeated until a sample takes about this long
WARM_UP: Final = 2

Contender = Callable[[], int]


class WrongCount(Exception):
    """A contender did not do its work: its time would mean nothing."""


class Sample(NamedTuple):
    """Seconds a call, of processor time and by the clock on the wall, and what each call gave."""

    cpu: float
    wall: float
    counts: list[int]


Sampler = Callable[[int], Sample]  # of so many calls


class Times(NamedTuple):
    """Seconds a call, one figure a round: of this process's processor time, and of the clock on the wall."""

    cpu: list[float]
    wall: list[float]


def interleaved(
    contenders: Mapping[str, Contender], expected: int, rounds: int, tick: Callable[[], None]
) -> dict[str, Times]:
    """Every contender of this process once a round. Each call must give `expected`."""
    return in_turn(
        {name: partial(_here, contender) for name, contender in contenders.items()},
        expected,
        rounds,
        tick,
    )


def in_turn(
    samplers: Mapping[str, Sampler], expected: int, rounds: int, tick: Callable[[], None]
) -> dict[str, Times]:
    """A sample of each once a round, a round's first one being another each time.

    Each call must give `expected`.
    """
    repetitions = {
        name: _repetitions(name, sampler, expected) for name, sampler in samplers.items()
    }
    times = {name: Times([], []) for name in samplers}
    names = list(samplers)
    for number in range(rounds):
        first = number % len(names)
        for name in names[first:] + names[:first]:
            cpu, wall = _sample(name, samplers[name], expected, repetitions[name])
            times[name].cpu.append(cpu)
            times[name].wall.append(wall)
        tick()
    return times


def ratio(dividend: list[float], divisor: list[float]) -> float:
    """The median of the rounds' ratios: a disturbed round disturbs no other."""
    return median(one / other for one, other in zip(dividend, divisor, strict=True))


def _repetitions(name: str, sampler: Sampler, expected: int) -> int:
    cpu = min(_sample(name, sampler, expected, 1)[0] for _ in range(WARM_UP))
    return max(1, min(100, round(SAMPLE_SECONDS / max(cpu, 1e-6))))


def _sample(name: str, sampler: Sampler, expected: int, repetitions: int) -> tuple[float, float]:
    cpu, wall, counts = sampler(repetitions)
    if any(count != expected for count in counts):
        raise WrongCount(f"{name}: {counts} documents instead of {expected}")
    return cpu, wall


def _here(contender: Contender, repetitions: int) -> Sample:
    """Garbage of earlier samples is collected before the measurement, not during it."""
    gc.collect()
    cpu, wall = time.process_time(), time.perf_counter()
    counts = [contender() for _ in range(repetitions)]
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    return Sample(cpu / repetitions, wall / repetitions, counts)
