"""Tests whether the shares of groups in a window differ from their shares in the baseline.

Groups are, for example, labels. The test is a scaled chi-squared test for clustered samples, after
Rao and Scott (1981, "The analysis of categorical data from complex sample surveys"). Its scale
comes from the mean and the variance of the statistic in the baseline's own windows.

The strength of the clustering differs from window to window. If the scale of a chi-squared variable
varies, the variable has approximately an F distribution. So p comes from the F distribution that
has the mean and the variance of the statistic.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from monitor.statistics import tail_probabilities

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Shares:
    """A test that is fitted to a baseline.

    `expected` has the expected share of each group, shape (groups,). `mean` and `variance`
    describe the statistic in the baseline's windows, and `windows` is the number of these windows.
    `degrees` is the number of groups that have rows in the baseline, minus one, but at least 1.
    """

    expected: Array
    mean: float
    variance: float
    windows: int
    degrees: int

    def judge(self, counts: Array) -> tuple[Array, Array]:
        """Return the p and the effect of each window. `counts` has the shape (windows, groups).

        The effect is the share of rows that would have to be in another group to give the expected
        shares (the total variation distance). Both are NaN for a window without rows.
        """
        statistic = _statistic(counts, self.expected) * (self.windows - 1) / (self.windows + 1)
        if self.degrees == 1:
            chance = tail_probabilities.f(statistic / self.mean, 1, self.windows - 1)
        else:
            chance = _heavy(statistic / self.mean, self.degrees, self.variance / self.mean**2)
        rows = counts.sum(axis=1)
        with np.errstate(invalid="ignore", divide="ignore"):
            effect = np.abs(counts / rows[:, None] - self.expected).sum(axis=1) / 2
        return np.where(rows > 0, chance, np.nan), effect

    def to_json(self) -> dict[str, Any]:
        """Return the test as a JSON object."""
        return {
            "expected": self.expected.tolist(),
            "mean": self.mean,
            "variance": self.variance,
            "windows": self.windows,
            "degrees": self.degrees,
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """Read a test that `to_json` wrote."""
        numbers = (content[name] for name in ("mean", "variance", "windows", "degrees"))
        return cls(np.array(content["expected"], float), *numbers)


def fit(counts: Array) -> Shares:
    """Fit the test to the counts of the baseline's windows, shape (windows, groups).

    At least two of the windows must have rows. If the variation between the windows is smaller
    than with independent rows (for example, because there is only one label), the rows are treated
    as independent.
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
    """Return the p of `ratio`, a statistic divided by its mean.

    `spread` is the variance of the statistic divided by its squared mean. The F distribution is
    used, with `degrees` degrees of freedom in the numerator. The degrees of freedom in the
    denominator are chosen so that the distribution has this spread. If a chi-squared distribution
    has at least this spread, it is used in place of the F distribution.
    """
    over = spread * degrees - 2
    if over <= 1e-6:
        return tail_probabilities.chi_squared(ratio * degrees, degrees)
    below = (2 * degrees - 4 + 4 * spread * degrees) / over
    return tail_probabilities.f(ratio * below / (below - 2), degrees, below)


def _statistic(counts: Array, expected: Array) -> Array:
    rows = counts.sum(axis=1, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(((counts - rows * expected) ** 2 / (rows * expected)).sum(axis=1))
