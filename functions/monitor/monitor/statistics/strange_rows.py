"""Counts strange rows.

A row is a prediction. A row is strange if the value of a field is so high that hardly any row of
the baseline has such a value. Strange rows are counted for each field separately, from the counts
of the field's bins.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

from monitor.summaries.windows import Windows

Array = NDArray[np.float64]

FIELDS: Final = (
    "input.novelty",
    "input.tokens_per_word",
    "input.non_letter_share",
    "input.surprisal",
)
UNKNOWN: Final = "input.unk_share"
SUM: Final = "their sum"
SHARE: Final = 0.003  # at most this share of the baseline's rows reaches a field's threshold


def thresholds(bins: Mapping[str, Array]) -> dict[str, int]:
    """Return the threshold of each field that has rows.

    A threshold is the code of a bin (bins.py). It is the lowest bin for which this is true: the bin
    and all higher bins together have at most `SHARE` of the rows. `bins` has, for each field, the
    number of rows in each bin: shape (codes,).
    """
    found = {}
    for name in FIELDS:
        counts = bins[name]
        if counts.sum():
            reach = np.append(np.cumsum(counts[::-1])[::-1], 0)
            found[name] = int(np.flatnonzero(reach <= SHARE * counts.sum())[0])
    return found


def counts(windows: Windows, limits: Mapping[str, int]) -> Array:
    """Count the strange rows of each kind in each window: shape (windows, kinds).

    The kinds are, in this order:
    - for each field, the rows at or above the field's threshold;
    - the rows with an unknown word piece;
    - the sum of the other kinds.
    """
    fields = [windows.bins[name][:, code:].sum(axis=1) for name, code in limits.items()]
    fields.append(windows.unknown)
    return np.stack([*fields, np.sum(fields, axis=0)], axis=1)


def kinds(limits: Mapping[str, int]) -> tuple[str, ...]:
    """Return the names of the kinds, in the order of the columns of `counts`."""
    return (*limits, UNKNOWN, SUM)
