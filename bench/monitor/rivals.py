"""Computes the share of the monitor's windows in which other methods find drift.

A window is the predictions that are judged together.
The other methods are PSI (population stability index), the Kolmogorov-Smirnov test (KS), and the
published default rule of Evidently.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from bench.monitor.rows import FIELDS
from bench.monitor.traffic import Index, Table

PSI: Final = 0.2  # a larger PSI counts as drift
EMPTY: Final = 1e-4  # the smallest share of a bin; for the share 0, PSI would need log(0)
KS: Final = 0.05  # a smaller p counts as drift
# Evidently's rule, from its documentation "Data drift algorithm":
# - With up to 1,000 reference rows, a column drifts if the p of a test is below .05. A column of
#   numbers gets the Kolmogorov-Smirnov test, and a column with two values gets the Z test.
# - With more rows, a column drifts if a distance is at least .1. A column of numbers gets the
#   Wasserstein distance divided by the standard deviation. A column with two values gets the
#   Jensen-Shannon distance.
SMALL: Final = 1000
DISTANCE: Final = 0.1
HALF: Final = 0.5  # if this share of the columns drifts, Evidently reports "dataset drift"
COLUMNS: Final = (
    "prediction.score", "input.words", "input.tokens_per_word", "input.non_letter_share",
    "input.novelty", "input.surprisal",
)  # fmt: skip


def verdicts(source: Table, reference: Index, windows: Index) -> dict[str, float]:
    """Return the share of windows in which each of the other methods finds drift.

    `windows` and `reference` contain row numbers of `source`. `windows` has the shape (windows,
    rows of a window), and `reference` has the shape (rows,).
    """
    before = {name: source.numbers[reference, FIELDS.index(name) + 1] for name in COLUMNS}
    found = np.array([_of_window(source, before, reference, rows) for rows in windows])
    names = (
        "PSI of the score > .2",
        "KS of the score, p < .05",
        "Evidently: any column",
        "Evidently: half of the columns",
    )
    return dict(zip(names, found.mean(axis=0).tolist(), strict=True))


def _of_window(
    source: Table, before: dict[str, NDArray[np.float64]], reference: Index, rows: Index
) -> list[bool]:
    now = {name: source.numbers[rows, FIELDS.index(name) + 1] for name in COLUMNS}
    score = "prediction.score"
    columns = [_column(before[name], now[name]) for name in COLUMNS]
    columns.append(_label(source.label[reference], source.label[rows]))
    return [
        _psi(before[score], now[score]) > PSI,
        stats.ks_2samp(before[score], now[score], method="asymp").pvalue < KS,
        any(columns),
        sum(columns) >= HALF * len(columns),
    ]


def _psi(before: NDArray[np.float64], now: NDArray[np.float64]) -> float:
    edges = np.quantile(before, np.arange(1, 10) / 10)
    shares = [np.bincount(np.searchsorted(edges, x), minlength=10) / len(x) for x in (before, now)]
    old, new = (np.maximum(share, EMPTY) for share in shares)
    return float(((new - old) * np.log(new / old)).sum())


def _column(before: NDArray[np.float64], now: NDArray[np.float64]) -> bool:
    if len(before) <= SMALL:
        return bool(stats.ks_2samp(before, now, method="asymp").pvalue < KS)
    return bool(
        stats.wasserstein_distance(before, now) / max(float(before.std()), 1e-3) >= DISTANCE
    )


def _label(before: Index, now: Index) -> bool:
    old, new = float(before.mean()), float(now.mean())
    if len(before) <= SMALL:
        pooled = (before.sum() + now.sum()) / (len(before) + len(now))
        noise = (pooled * (1 - pooled) * (1 / len(before) + 1 / len(now))) ** 0.5
        return bool(noise and 2 * stats.norm.sf(abs(old - new) / noise) < KS)
    one, other = np.array([old, 1 - old]), np.array([new, 1 - new])
    middle = (one + other) / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        parts = [np.nansum(x * np.log2(x / middle)) / 2 for x in (one, other)]
    return bool(max(0.0, sum(parts)) ** 0.5 >= DISTANCE)
