"""Tests the random pauses between two attempts to deliver.

The upper limit of `pause` doubles at each failure, up to 20 seconds. `wait` lasts at least half of
a given time. Both end at the deadline at the latest.
"""

from __future__ import annotations

import pytest

from shipper.back_off import FIRST_PAUSE, LONGEST_PAUSE, RetryBudget


def longest(low: float, high: float) -> float:
    assert low <= high
    return high


def shortest(low: float, high: float) -> float:
    assert low <= high
    return low


@pytest.mark.parametrize(
    ("tries", "seconds"),
    [(1, 0.2), (2, 0.4), (3, 0.8), (7, 12.8), (8, 20.0), (1000, 20.0)],
)
def test_a_pause_lasts_from_zero_to_a_limit_that_doubles_with_each_failure(
    tries: int, seconds: float
) -> None:
    slept: list[float] = []
    for chance in (shortest, longest):
        RetryBudget(10_000.0, lambda: 0.0, slept.append, chance).pause(tries)
    assert slept == [0.0, seconds]
    assert (FIRST_PAUSE, LONGEST_PAUSE) == (0.2, 20.0)


@pytest.mark.parametrize(
    ("left", "slept"), [(100.0, [6.0, 12.0]), (8.0, [6.0, 8.0]), (-1.0, [0.0, 0.0])]
)
def test_a_wait_lasts_from_half_to_the_whole_time_but_not_beyond_the_deadline(
    left: float, slept: list[float]
) -> None:
    found: list[float] = []
    for chance in (shortest, longest):
        RetryBudget(left, lambda: 0.0, found.append, chance).wait(12.0)
    assert found == slept


@pytest.mark.parametrize(("left", "seconds"), [(0.5, 0.5), (0.0, 0.0), (-1.0, 0.0)])
def test_a_pause_does_not_go_beyond_the_deadline(left: float, seconds: float) -> None:
    slept: list[float] = []
    RetryBudget(left, lambda: 0.0, slept.append, longest).pause(5)
    assert slept == [seconds]
