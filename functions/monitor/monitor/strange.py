"""Rows that hardly any row of the baseline resembles, counted field by field from the fine bins."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

from monitor.windows import Windows

Array = NDArray[np.float64]

FIELDS: Final = (
    "input.novelty",
    "input.tokens_per_word",
    "input.non_letter_share",
    "input.surprisal",
)
UNKNOWN: Final = "input.unk_share"
SHARE: Final = 0.003  # of the baseline's rows that reach a field's threshold, at most


def thresholds(bins: Mapping[str, Array]) -> dict[str, int]:
    """For each field with rows: the lowest code that at most `SHARE` of the rows reach; `bins` are (codes,)."""
    found = {}
    for name in FIELDS:
        counts = bins[name]
        if counts.sum():
            reach = np.append(np.cumsum(counts[::-1])[::-1], 0)
            found[name] = int(np.flatnonzero(reach <= SHARE * counts.sum())[0])
    return found


def counts(windows: Windows, limits: Mapping[str, int]) -> Array:
    """Rows at or above each threshold, rows with an unknown piece, and the sum of these, (windows, kinds)."""
    fields = [windows.bins[name][:, code:].sum(axis=1) for name, code in limits.items()]
    fields.append(windows.unknown)
    return np.stack([*fields, np.sum(fields, axis=0)], axis=1)


def kinds(limits: Mapping[str, int]) -> tuple[str, ...]:
    """The names of the columns of `counts`."""
    return (*limits, UNKNOWN, "their sum")
