"""Compares two versions of a model that answer at the same time, in the same windows.

The result is for information only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from monitor import means, tails
from monitor.summary import Summary, total
from monitor.windows import stack

LEAST: Final = 100  # rows that each of the two versions must have


@dataclass(frozen=True, slots=True)
class Difference:
    """The difference of one component between the newer and the older version.

    `newer` and `older` are means, and `effect` is in standard deviations of rows. `p` is multiplied
    by the number of components compared.
    """

    name: str
    newer: float
    older: float
    effect: float
    p: float


def compare(older: Sequence[Summary], newer: Sequence[Summary], *, deff: float) -> list[Difference]:
    """Return the differences between two versions' slots of a span, the largest effect first.

    There are no differences if either version has too few rows. Components that either version
    lacks are left out. The test is a z test of two means. It multiplies the variance of rows by
    `deff`, the design effect of the baseline.
    """
    if sum(s.rows for s in older) < LEAST or sum(s.rows for s in newer) < LEAST:
        return []
    windows = stack([total(older), total(newer)])
    labels = windows.labels
    label = labels.names[int(labels.counts.sum(axis=0).argmax())] if labels.names else None
    names = means.component_names(label)
    caps = means.caps_of(windows)
    values = means.components(windows, names, caps)
    kept = [at for at in range(len(names)) if not np.isnan(values[:, at]).any()]
    kept_names = [names[at] for at in kept]
    deviation = means.row_deviation(windows, kept_names, caps)
    noise = np.sqrt(deff * (1 / windows.rows[0] + 1 / windows.rows[1]))
    found = []
    for name, (old, new), spread in zip(kept_names, values[:, kept].T, deviation, strict=True):
        effect = float((new - old) / spread) if spread > 0 else 0.0
        p = float(tails.chi_squared((effect / noise) ** 2, 1))
        found.append(Difference(name, float(new), float(old), effect, min(1.0, p * len(kept))))
    return sorted(found, key=lambda d: -abs(d.effect))
