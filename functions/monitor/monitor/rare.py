"""Rows of a rare kind in a window: too many of them for the baseline's rate and for how its windows differ."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from monitor import tails

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Rare:
    """`rate` a row and `spread` of each kind, (kinds,), from `rows` rows.

    The count in n rows has the mean n rate and the variance n rate + (n rate)² spread: negative
    binomial by moments.
    """

    rate: Array
    spread: Array
    rows: float
    windows: int

    def judge(self, counts: Array, rows: Array) -> tuple[Array, Array]:
        """One-sided p and the excess share of each kind, both (windows, kinds), from counts of that shape."""
        mean = rows[:, None] * self.rate
        variance = mean + mean**2 * self.spread
        known = self.rate / self.rows + self.rate**2 * self.spread / self.windows
        chance = tails.counts(counts, mean, variance + rows[:, None] ** 2 * known)
        return chance, counts / np.maximum(rows, 1)[:, None] - self.rate

    def to_json(self) -> dict[str, Any]:
        """The same as JSON."""
        return {
            "rate": self.rate.tolist(),
            "spread": self.spread.tolist(),
            "rows": self.rows,
            "windows": self.windows,
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """The same from JSON."""
        rate, spread = np.array(content["rate"], float), np.array(content["spread"], float)
        return cls(rate, spread, content["rows"], content["windows"])


def fit(counts: Array, rows: Array) -> Rare:
    """The test of the baseline's counts, (windows, kinds), in `rows` rows, (windows,).

    A kind that never came counts as half a row.
    """
    total = rows.sum()
    rate = np.maximum(counts.sum(axis=0), 0.5) / total
    mean = rows[:, None] * rate
    spread = np.maximum(0, ((counts - mean) ** 2 - mean).sum(axis=0) / (mean**2).sum(axis=0))
    return Rare(rate, spread, float(total), len(rows))
