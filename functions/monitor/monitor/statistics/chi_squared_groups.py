"""Joins fine bins, and rare labels, into the few groups that a chi-squared test compares.

Each fine bin has a number, its code (bins.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from monitor.summaries.bins import SCALES

Array = NDArray[np.float64]
Codes = NDArray[np.int64]

PARTS: Final = 10  # groups of a numeric field
APART: Final = 0.01  # value 0 or 1 is a group of its own if at least this share of rows has it
EXPECTED: Final = 5.0  # all labels with fewer rows in an average window form one group
LABELS: Final = 20  # the largest number of labels with a group of their own


def deciles(counts: Array, name: str) -> Codes:
    """Put each fine bin into a group, so that each group has about a tenth of the rows.

    `counts` has the number of rows in each bin, and the result has the group of each bin. Both are
    in the order of the bins' codes: shape (codes,). The value 0 is a group of its own if enough
    rows have it, and so is the value 1. If many rows share the same value, there can be
    fewer than ten groups. Every group has rows, unless there are no rows.
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
    # A bin without rows joins the group of the nearest lower bin that has rows. If no lower bin has
    # rows, it joins the group of the first bin that has rows.
    for codes in (range(1, len(groups)), range(len(groups) - 2, -1, -1)):
        step = -1 if codes.step > 0 else 1
        for code in codes:
            if groups[code] < 0 and 0 <= groups[code + step] < PARTS:
                groups[code] = groups[code + step]
    groups[groups < 0] = groups.max()
    return np.unique(groups, return_inverse=True)[1].astype(np.int64)


def grouped(counts: Array, groups: Codes) -> Array:
    """Sum counts of shape (windows, codes) to counts of shape (windows, groups)."""
    joined = np.zeros((counts.shape[0], int(groups.max()) + 1))
    for group in range(joined.shape[1]):
        joined[:, group] = counts[:, groups == group].sum(axis=1)
    return joined


def common_labels(names: Sequence[str], counts: Array, rows: float) -> tuple[str, ...]:
    """Return the labels that occur in at least `EXPECTED` rows of an average window.

    `rows` is the number of rows in an average window. The result has at most `LABELS` labels, and
    at least the most frequent label. All remaining labels form one group.
    """
    total = counts.sum()
    order = sorted(range(len(names)), key=lambda at: (-counts[at], names[at]))
    kept = [at for at in order if total and counts[at] / total * rows >= EXPECTED][:LABELS]
    return tuple(names[at] for at in kept or order[:1])


def _apart(counts: Array, name: str) -> list[int]:
    scale = SCALES[name]
    if not scale.apart:
        return []
    # These are the codes of exactly 0 and of exactly 1. The last bin begins at 1, and no share
    # exceeds 1.
    codes = [1, scale.count - 1]
    return [code for code in codes if counts[code] >= APART * counts.sum()]
