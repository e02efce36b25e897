"""Tests whether a window has too many rows of a rare kind, such as rows with a strange value.

The test takes into account the rate in the baseline, and how much the rate varies between the
windows of the baseline.
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
class Rare:
    """The test: the rate per row and the spread of each kind, both of shape (kinds,).

    Both are estimated from the baseline, which has `rows` rows and `windows` windows. The number of
    rows of a kind among n rows has a negative binomial distribution with the mean n · rate and the
    variance n · rate + (n · rate)² · spread.
    """

    rate: Array
    spread: Array
    rows: float
    windows: int

    def judge(self, counts: Array, rows: Array) -> tuple[Array, Array]:
        """Return, for each kind in each window, the one-sided p and the excess share.

        The excess share is the kind's share of the window's rows, minus `rate`.

        `counts` and both results have the shape (windows, kinds). `rows` has the shape (windows,).
        """
        mean = rows[:, None] * self.rate
        variance = mean + mean**2 * self.spread
        known = self.rate / self.rows + self.rate**2 * self.spread / self.windows
        chance = tail_probabilities.counts(counts, mean, variance + rows[:, None] ** 2 * known)
        return chance, counts / np.maximum(rows, 1)[:, None] - self.rate

    def to_json(self) -> dict[str, Any]:
        """Return the test as a JSON object."""
        return {
            "rate": self.rate.tolist(),
            "spread": self.spread.tolist(),
            "rows": self.rows,
            "windows": self.windows,
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """Read a test that `to_json` wrote."""
        rate, spread = np.array(content["rate"], float), np.array(content["spread"], float)
        return cls(rate, spread, content["rows"], content["windows"])


def fit(counts: Array, rows: Array) -> Rare:
    """Fit the test to the windows of a baseline.

    `counts` is the number of rows of each kind in each window, of shape (windows, kinds). `rows` is
    the number of all rows in each window, of shape (windows,). If a kind has no rows, half a row is
    assumed.
    """
    total = rows.sum()
    rate = np.maximum(counts.sum(axis=0), 0.5) / total
    mean = rows[:, None] * rate
    spread = np.maximum(0, ((counts - mean) ** 2 - mean).sum(axis=0) / (mean**2).sum(axis=0))
    return Rare(rate, spread, float(total), len(rows))
