"""The bins of the numeric fields: narrow intervals in which values are counted.

The bins are the same for every stream, and never change. So the counts of any two slots (quarters
of an hour) can be added.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]
Codes = NDArray[np.int64]


@dataclass(frozen=True)
class Scale:
    """The bins of one field: equal steps from `low` to `high`, then a tail of growing bins.

    Each equal step is `step` wide. In the tail, the lower edge of each bin is `ratio` times the
    lower edge of the bin before. The last bin begins at `end` or above, and has no upper edge.
    Without a `ratio`, the tail is one bin. An edge belongs to the bin above it.

    Each bin has a number, its code. Codes are in the order of the values:

    - 0: values below `low`.
    - 1: values of exactly `low`, if `apart` is set. Otherwise no value has this code.
    - 2 and above: the equal steps, then the bins of the tail.
    """

    step: float
    low: float
    high: float
    ratio: float = 0.0
    end: float = 0.0
    apart: bool = False
    whole: bool = False  # the field holds whole numbers

    @property
    def steps(self) -> int:
        """The number of equal steps."""
        return round((self.high - self.low) / self.step)

    @cached_property
    def tail(self) -> list[float]:
        """The lower edges of the bins of the tail."""
        edges = [self.high]
        while self.ratio and edges[-1] < self.end:
            edges.append(edges[-1] * self.ratio)
        return edges

    @property
    def count(self) -> int:
        """The number of codes."""
        return 2 + self.steps + len(self.tail)

    @cached_property
    def lower(self) -> Array:
        """The lower edges of the bins, in the order of the codes: shape (count,).

        The first edge is minus infinity.
        """
        equal = (round(self.low / self.step) + np.arange(self.steps)) * self.step
        return np.concatenate([[-np.inf, self.low], equal, self.tail])

    @cached_property
    def middle(self) -> Array:
        """The value that represents each code: shape (count,)."""
        upper = np.append(self.lower[1:], self.lower[-1])
        middle = (self.lower + upper) / 2
        middle[:2] = self.low
        if self.whole:
            middle[2 : 2 + self.steps] = self.lower[2 : 2 + self.steps]
        if self.high == 1.0 and not self.ratio:
            middle[-1] = 1.0  # a share cannot exceed 1
        return np.asarray(middle)

    def codes(self, values: ArrayLike) -> Codes:
        """Return the code of each value.

        The codes agree with the bins of OpenSearch's `histogram` and `range` on a 32-bit float
        field.
        """
        x = np.asarray(values, dtype=np.float32).astype(np.float64)
        step = np.floor(x / self.step).astype(np.int64) - round(self.low / self.step) + 2
        step = np.where(x < self.low, 0, step)
        if self.apart:
            step = np.where(x == self.low, 1, step)
        far = 1 + self.steps + np.searchsorted(self.tail, x, side="right")
        return np.where(step >= 2 + self.steps, np.maximum(far, 2 + self.steps), step).astype(
            np.int64
        )

    def code_of_step(self, key: float) -> int:
        """Return the code of an OpenSearch `histogram` bucket with this key.

        Returns -1 if the bucket lies in the tail or below `low`.
        """
        code = round(key / self.step) - round(self.low / self.step) + 2
        return code if 2 <= code < 2 + self.steps else -1


SCALES: Final = {
    "prediction.score": Scale(0.01, 0.0, 1.0, apart=True),
    "input.words": Scale(1.0, 0.0, 65.0, ratio=1.25, end=20_000, whole=True),
    "input.tokens_per_word": Scale(0.05, 0.0, 4.0, ratio=1.1, end=500),
    "input.non_letter_share": Scale(0.01, 0.0, 1.0, apart=True),
    "input.novelty": Scale(0.02, -2.0, 6.0),
    "input.surprisal": Scale(0.05, 0.0, 40.0),
}
