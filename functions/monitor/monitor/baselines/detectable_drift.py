"""Computes the smallest drift that the chart of means (Hotelling's T² test) would detect."""

from __future__ import annotations

import numpy as np

from monitor.judgement.judge_windows import SIGNALS
from monitor.statistics import tail_probabilities


def smallest_effect(
    *, components: int, windows: int, rows: float, deff: float, level: float, power: float = 0.95
) -> float:
    """Return the smallest shift that is detected in one window with the probability `power`.

    `windows` is the number of windows of the baseline, and `rows` is the number of rows of each
    window. The chart has `components` means. `level` is the probability that at least one signal
    raises a false alarm in a window.

    The unit of the shift δ is the standard deviation of single rows. Hotelling's T² of a shifted
    window has approximately a noncentral F distribution, with noncentrality n δ² / deff for n rows
    and the design effect `deff`. This distribution is computed with Patnaik's approximation (1949,
    Biometrika 36): a scaled χ² with the same mean and variance. The result is infinite if there are
    too few windows.
    """
    left = windows - components
    if left < 2:
        return float("inf")
    limit = _upper(level / len(SIGNALS), components, left)

    def found(noncentrality: float) -> float:
        mean, spread = components + noncentrality, components + 2 * noncentrality
        return float(tail_probabilities.f(limit * components / mean, mean**2 / spread, left))

    low, high = 0.0, 1.0
    while found(high) < power:
        high *= 2
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if found(middle) < power else (low, middle)
    return float(np.sqrt(high * (1 + 1 / windows) * deff / rows))


def _upper(chance: float, upper: int, lower: int) -> float:
    """Return the value that an F distribution exceeds with the probability `chance`.

    `upper` and `lower` are the degrees of freedom of its numerator and denominator.
    """
    low, high = 0.0, 1.0
    while float(tail_probabilities.f(high, upper, lower)) > chance:
        high *= 2
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (
            (middle, high)
            if float(tail_probabilities.f(middle, upper, lower)) > chance
            else (low, middle)
        )
    return high
