"""Fine bins and label names joined to the few groups that a chi-squared test compares."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from monitor.bins import SCALES

Array = NDArray[np.float64]
Codes = NDArray[np.int64]

PARTS: Final = 10
APART: Final = 0.01  # exact values stand apart where at least this share of the rows has them
EXPECTED: Final = (
    5.0  # rows of a label that a window should expect, else the label joins the others
)
LABELS: Final = 20


def deciles(counts: Array, name: str) -> Codes:
    """The group of each code, (codes,), so that each group has about a tenth of `counts`; exact 0 and 1 apart.

    Fewer than ten groups where many rows have one value. No group is without rows, as long as there
    are any.
    """
    total = counts.sum()
    groups = np.zeros(len(counts), dtype=np.int64)
    if not total:
        return groups
    alone = _apart(counts, name)
    rest = counts.copy()
    rest[alone] = 0
    if rest.sum():
        middle = (np.cumsum(rest) - rest / 2) / rest.sum()
        groups = np.minimum((middle * PARTS).astype(np.int64), PARTS - 1)
    for place, code in enumerate(alone):
        groups[code] = PARTS + place
    groups[counts == 0] = -1
    # An empty code goes with the next one below that has rows, else with the first above.
    for codes in (range(1, len(groups)), range(len(groups) - 2, -1, -1)):
        step = -1 if codes.step > 0 else 1
        for code in codes:
            if groups[code] < 0 and 0 <= groups[code + step] < PARTS:
                groups[code] = groups[code + step]
    groups[groups < 0] = groups.max()
    return np.unique(groups, return_inverse=True)[1].astype(np.int64)


def grouped(counts: Array, groups: Codes) -> Array:
    """Counts of the codes, (windows, codes), as counts of the groups, (windows, groups)."""
    joined = np.zeros((counts.shape[0], int(groups.max()) + 1))
    for group in range(joined.shape[1]):
        joined[:, group] = counts[:, groups == group].sum(axis=1)
    return joined


def common_labels(names: Sequence[str], counts: Array, rows: float) -> tuple[str, ...]:
    """The most frequent labels that a window of so many rows expects often enough; the rest are the others."""
    total = counts.sum()
    order = sorted(range(len(names)), key=lambda at: (-counts[at], names[at]))
    kept = [at for at in order if total and counts[at] / total * rows >= EXPECTED][:LABELS]
    return tuple(names[at] for at in kept or order[:1])


def _apart(counts: Array, name: str) -> list[int]:
    scale = SCALES[name]
    if not scale.apart:
        return []
    codes = [1, scale.count - 1]  # exactly 0; exactly 1, above which no share lies
    return [code for code in codes if counts[code] >= APART * counts.sum()]
