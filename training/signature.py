"""Describes a text in numbers that do not reveal the text.

- The signature is eight numbers that describe the content.
- The novelty is the distance between the signature and the signatures of the reference texts.
- The surprisal says how unusual the pairs of neighbouring tokens are.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

COMPONENTS: Final = 8
# In a signature, this number stands for one standard deviation. A byte (-127 to 127) then reaches
# about eight standard deviations to each side of the mean.
STEPS: Final = 16
BUCKETS: Final = 1 << 16
MULTIPLIER: Final = 40503  # Knuth's multiplicative hash for 16 bits
# A surprisal is measured in bits (units of information), and stored as a number of twelfths. The
# largest number that is stored, 255, stands for a surprisal of 21 bits.
STEPS_A_BIT: Final = 12
LEAST_DISTANCE: Final = 1e-3  # smaller distances are set to it, because 0 has no logarithm


@dataclass(frozen=True, slots=True)
class Signature:
    """The parameters that turn a pooled layer into a signature.

    A signature is `(pooled - centre) @ projection`, rounded and clipped to a byte. `mean` and
    `covariance` are the mean and the covariance of the reference's signatures.
    """

    centre: NDArray[np.float32]  # shape (width)
    projection: NDArray[np.float32]  # shape (width, components)
    mean: NDArray[np.float64]  # shape (components)
    covariance: NDArray[np.float64]  # shape (components, components)

    def of(self, pooled: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the signatures of pooled layers.

        Shapes: the argument (sentences, width), the result (sentences, components).
        """
        return np.clip(np.round((pooled - self.centre) @ self.projection), -127, 127)


def fit(pooled: NDArray[np.float32]) -> Signature:
    """Fit a signature to the reference: pooled layers of shape (sentences, width).

    The numbers of the signature are projections on the principal directions of the reference. In
    the reference, all of them have the same variance.
    """
    centre = pooled.mean(axis=0)
    _, sizes, directions = np.linalg.svd(pooled - centre, full_matrices=False)
    leading = directions[:COMPONENTS]
    largest = np.take_along_axis(leading, np.abs(leading).argmax(axis=1, keepdims=True), axis=1)
    leading = leading * np.sign(largest)  # so that the sign does not depend on the solver
    deviations = sizes[:COMPONENTS] / np.sqrt(len(pooled) - 1)
    unmeasured = Signature(
        centre,
        (leading / deviations[:, None] * STEPS).T.astype(np.float32),
        np.empty(0),
        np.empty(0),
    )
    rows = unmeasured.of(pooled).astype(np.float64)
    return Signature(centre, unmeasured.projection, rows.mean(axis=0), np.cov(rows, rowvar=False))


def bigram_bits(sentences: Iterable[list[int]]) -> NDArray[np.uint8]:
    """Return the surprisal of each hash bucket, in an array of shape (buckets).

    A bucket counts pairs of neighbouring tokens. The values are in twelfths of a bit. Counts are
    smoothed by adding 1.
    """
    counts = np.zeros(BUCKETS)
    for ids in sentences:
        np.add.at(counts, bucket(np.array(ids)), 1)
    bits = -np.log2((counts + 1) / (counts.sum() + BUCKETS))
    return np.clip(np.round(bits * STEPS_A_BIT), 0, 255).astype(np.uint8)


def bucket(ids: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the hash bucket of each pair of neighbouring tokens, of shape (tokens - 1)."""
    return (ids[:-1] * MULTIPLIER + ids[1:]) % BUCKETS


def surprisal(ids: NDArray[np.int64], table: NDArray[np.uint8]) -> float:
    """Return the mean surprisal of a sentence, in bits per bigram."""
    return float(table[bucket(ids)].mean() / STEPS_A_BIT)
