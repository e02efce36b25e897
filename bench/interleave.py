"""Measures contenders (the functions to compare) in turn.

The calls alternate, so that a disturbance of the machine affects all contenders.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Mapping
from functools import partial
from statistics import median
from typing import Final, NamedTuple

SAMPLE_SECONDS: Final = 0.02  # a shorter call is repeated until a sample takes about this long
WARM_UP: Final = 2  # samples that only determine the number of repetitions

Contender = Callable[[], int]  # returns the number of documents that it processed


class WrongCount(Exception):
    """A contender did not do its work, so its time would mean nothing."""


class Sample(NamedTuple):
    """The mean processor time and wall time of a call, in seconds, and the result of each call."""

    cpu: float
    wall: float
    counts: list[int]


Sampler = Callable[[int], Sample]  # the argument is the number of calls


class Times(NamedTuple):
    """The mean time of a call in each round, in seconds.

    `cpu` has the processor times of the contender's process, and `wall` has the wall times.
    """

    cpu: list[float]
    wall: list[float]


def interleaved(
    contenders: Mapping[str, Contender],
    expected: int,
    rounds: int,
    tick: Callable[[], None],
    *,
    warm_up: int = 0,
) -> dict[str, Times]:
    """Measure every contender in this process, once in each round.

    Each call must return `expected`. Before each sample, the contender is called `warm_up` times
    without being measured.
    """
    return in_turn(
        {name: partial(_here, contender, warm_up) for name, contender in contenders.items()},
        expected,
        rounds,
        tick,
    )


def in_turn(
    samplers: Mapping[str, Sampler], expected: int, rounds: int, tick: Callable[[], None]
) -> dict[str, Times]:
    """Take one sample of each contender in each round.

    The first contender changes from round to round. Each call must return `expected`.
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
    """Return the median of the ratios of all rounds.

    A disturbance in one round affects only the ratio of that round.
    """
    return median(one / other for one, other in zip(dividend, divisor, strict=True))


def _repetitions(name: str, sampler: Sampler, expected: int) -> int:
    cpu = min(_sample(name, sampler, expected, 1)[0] for _ in range(WARM_UP))
    return max(1, min(100, round(SAMPLE_SECONDS / max(cpu, 1e-6))))


def _sample(name: str, sampler: Sampler, expected: int, repetitions: int) -> tuple[float, float]:
    cpu, wall, counts = sampler(repetitions)
    if any(count != expected for count in counts):
        raise WrongCount(f"{name}: {counts} documents instead of {expected}")
    return cpu, wall


def _here(contender: Contender, warm_up: int, repetitions: int) -> Sample:
    """Measure one sample in this process.

    Garbage of earlier samples is collected before the measurement, not during it.
    """
    gc.collect()
    for _ in range(warm_up):
        contender()
    cpu, wall = time.process_time(), time.perf_counter()
    counts = [contender() for _ in range(repetitions)]
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    return Sample(cpu / repetitions, wall / repetitions, counts)
