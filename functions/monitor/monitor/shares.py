"""Chi-squared of a window's shares of groups against the baseline's, in the measure of how its windows differ.

Scaled as Rao and Scott do for clustered samples (1981, "The analysis of categorical data from
complex sample surveys"): the statistic of the baseline's own windows has a mean and a variance. How
strongly windows are clustered differs from window to window: a chi-squared whose scale varies is an
F, and the one with the same mean and variance gives p.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from monitor import tails

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Shares:
    """`expected` shares of the groups, (groups,); `mean` and `variance` of the statistic over `windows` windows.

    `degrees` are those of the groups that the baseline has rows of: one fewer, at least 1.
    """

    expected: Array
    mean: float
    variance: float
    windows: int
    degrees: int

    def judge(self, counts: Array) -> tuple[Array, Array]:
        """The p and the effect of each window from its counts, (windows, groups).

        The effect is the share of rows that would have to change group (total variation distance).
        NaN without rows.
        """
        statistic = _statistic(counts, self.expected) * (self.windows - 1) / (self.windows + 1)
        if self.degrees == 1:
            chance = tails.f(statistic / self.mean, 1, self.windows - 1)
        else:
            chance = _heavy(statistic / self.mean, self.degrees, self.variance / self.mean**2)
        rows = counts.sum(axis=1)
        with np.errstate(invalid="ignore", divide="ignore"):
            effect = np.abs(counts / rows[:, None] - self.expected).sum(axis=1) / 2
        return np.where(rows > 0, chance, np.nan), effect

    def to_json(self) -> dict[str, Any]:
        """The same as JSON."""
        return {
            "expected": self.expected.tolist(),
            "mean": self.mean,
            "variance": self.variance,
            "windows": self.windows,
            "degrees": self.degrees,
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """The same from JSON."""
        numbers = (content[name] for name in ("mean", "variance", "windows", "degrees"))
        return cls(np.array(content["expected"], float), *numbers)


def fit(counts: Array) -> Shares:
    """The test fitted to the counts of the baseline's windows, (windows, groups), of which at least two have rows.

    If the windows vary less than those of independent rows would, as with one label only, they are
    taken for independent rows.
    """
    pooled = counts.sum(axis=0)
    expected = (pooled + 0.5) / (pooled + 0.5).sum()
    statistic = _statistic(counts[counts.sum(axis=1) > 0], expected)
    degrees = max(1, int((pooled > 0).sum()) - 1)
    mean = float(max(degrees, statistic.mean()))
    return Shares(
        expected, mean, float(max(2 * degrees, statistic.var(ddof=1))), len(statistic), degrees
    )


def _heavy(ratio: Array, degrees: int, spread: float) -> Array:
    """P of a statistic divided by its mean, whose variance over its squared mean is `spread`.

    F with `degrees` above the line and as many below as give it this spread; chi-squared where it
    spreads no more than that.
    """
    over = spread * degrees - 2
    if over <= 1e-6:
        return tails.chi_squared(ratio * degrees, degrees)
    below = (2 * degrees - 4 + 4 * spread * degrees) / over
    return tails.f(ratio * below / (below - 2), degrees, below)


def _statistic(counts: Array, expected: Array) -> Array:
    rows = counts.sum(axis=1, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(((counts - rows * expected) ** 2 / (rows * expected)).sum(axis=1))
