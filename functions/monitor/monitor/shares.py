"""Chi-squared of a window's shares of groups against the baseline's, in the measure of how its windows differ.

Scaled as Rao and Scott do for clustered samples (1981, "The analysis of categorical data from complex sample surveys"):
the statistic of the baseline's own windows has a mean and a variance, and a scaled chi-squared with the same ones gives p.
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
    """`expected` shares of the groups, (groups,); `mean` and `variance` of the statistic over `windows` windows."""

    expected: Array
    mean: float
    variance: float
    windows: int

    def judge(self, counts: Array) -> tuple[Array, Array]:
        """The p and the effect of each window from its counts, (windows, groups).

        The effect is the share of rows that would have to change group (total variation distance). NaN without rows.
        """
        statistic = _statistic(counts, self.expected) * (self.windows - 1) / (self.windows + 1)
        if len(self.expected) == 2:
            chance = tails.f(statistic / self.mean, 1, self.windows - 1)
        else:
            scale = max(1.0, self.variance / (2 * self.mean))
            chance = tails.chi_squared(statistic / scale, self.mean / scale)
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
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """The same from JSON."""
        return cls(np.array(content["expected"], float), content["mean"], content["variance"], content["windows"])


def fit(counts: Array) -> Shares:
    """Of the counts of the baseline's windows, (windows, groups), each with rows, at least two of them.

    Windows that vary less than independent rows would are taken for independent rows: one label only, for example.
    """
    pooled = counts.sum(axis=0)
    expected = (pooled + 0.5) / (pooled + 0.5).sum()
    statistic = _statistic(counts[counts.sum(axis=1) > 0], expected)
    degrees = counts.shape[1] - 1
    mean = float(max(degrees, statistic.mean()))
    return Shares(expected, mean, float(max(2 * degrees, statistic.var(ddof=1))), len(statistic))


def _statistic(counts: Array, expected: Array) -> Array:
    rows = counts.sum(axis=1, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(((counts - rows * expected) ** 2 / (rows * expected)).sum(axis=1))
