"""Tests two descriptions of a text: the signature and the surprisal.

The signature is eight numbers (components) that describe the content. The surprisal says how
unusual the pairs of neighbouring tokens (bigrams) are. A table holds the surprisal of each pair
in one byte, the pair's bucket. Pairs with the same hash share a bucket.
"""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from math import log2

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from training.signature import (
    BUCKETS,
    COMPONENTS,
    STEPS,
    STEPS_A_BIT,
    bigram_bits,
    bucket,
    fit,
    surprisal,
)

WIDTH = 24
Rows = NDArray[np.float32]


def reference(rows: int = 600, seed: int = 1) -> Rows:
    """Return vectors whose principal directions have different variances and lie along no axis.

    The mean of the vectors is not zero.
    """
    chance = np.random.default_rng(seed)
    mixing = np.linalg.qr(chance.normal(size=(WIDTH, WIDTH)))[0] * np.linspace(3, 0.2, WIDTH)
    return (chance.normal(size=(rows, WIDTH)) @ mixing + chance.normal(size=WIDTH)).astype(
        np.float32
    )


def table_in_python(sentences: list[list[int]]) -> list[int]:
    counts = Counter(
        (left * 40503 + right) % 65536 for ids in sentences for left, right in pairwise(ids)
    )
    total = counts.total() + 65536
    bytes_of = {
        count: min(255, max(0, round(-log2((count + 1) / total) * 12)))
        for count in {0, *counts.values()}
    }
    return [bytes_of[counts[at]] for at in range(65536)]


SENTENCES = st.lists(st.lists(st.integers(0, 30_521), min_size=2, max_size=12), max_size=30)


@pytest.mark.parametrize("rows", [60, 600])
def test_signatures_of_the_reference_have_mean_zero_and_a_deviation_of_16_steps(rows: int) -> None:
    signatures = fit(reference(rows)).of(reference(rows))
    assert signatures.shape == (rows, COMPONENTS)
    assert np.abs(signatures.mean(axis=0)).max() < 0.2
    assert signatures.std(axis=0, ddof=1) == pytest.approx(np.full(COMPONENTS, STEPS), rel=0.01)


def test_components_of_the_reference_are_uncorrelated() -> None:
    correlation = np.corrcoef(fit(reference()).of(reference()), rowvar=False)
    assert np.abs(correlation - np.eye(COMPONENTS)).max() < 0.01


def test_components_are_the_directions_of_largest_variance_in_order() -> None:
    sizes = 1 / np.linalg.norm(fit(reference()).projection, axis=0)
    assert (np.diff(sizes) < 0).all()
    largest = (
        np.sqrt(np.linalg.eigvalsh(np.cov(reference(), rowvar=False))[::-1][:COMPONENTS]) / STEPS
    )
    assert sizes == pytest.approx(largest, rel=1e-3)


def test_mean_and_covariance_describe_the_signatures_of_the_reference() -> None:
    fitted = fit(reference())
    signatures = fitted.of(reference()).astype(np.float64)
    assert fitted.mean == pytest.approx(signatures.mean(axis=0), abs=1e-9)
    difference = signatures - signatures.mean(axis=0)
    assert fitted.covariance == pytest.approx(
        difference.T @ difference / (len(signatures) - 1), rel=1e-9, abs=1e-9
    )


@pytest.mark.parametrize("seed", range(5))
def test_signs_do_not_depend_on_the_order_of_the_rows(seed: int) -> None:
    rows = reference()
    fitted, again = fit(rows), fit(np.random.default_rng(seed).permutation(rows))
    assert again.projection == pytest.approx(fitted.projection, abs=0.02)
    assert np.abs(again.of(rows) - fitted.of(rows)).max() <= 1
    assert (fitted.projection.sum(axis=0) > 0).all()


@settings(max_examples=50)
@given(
    values=st.lists(st.floats(-1e6, 1e6, width=32), min_size=WIDTH, max_size=WIDTH),
    scale=st.sampled_from([1e-3, 1.0, 1e3]),
)
def test_any_signature_has_whole_numbers_of_one_byte(values: list[float], scale: float) -> None:
    rows = (np.array([values, values[::-1]]) * scale).astype(np.float32)
    signatures = fit(reference(100)).of(rows)
    assert signatures.shape == (2, COMPONENTS)
    assert (signatures == np.round(signatures)).all()
    assert np.abs(signatures).max() <= 127


def test_values_far_away_are_clipped_to_a_byte() -> None:
    fitted = fit(reference())
    direction = fitted.projection[:, 0] / np.linalg.norm(fitted.projection[:, 0])
    far = (np.array([[-1e4], [1e4]]) * direction + fitted.centre).astype(np.float32)
    assert fitted.of(far)[:, 0].tolist() == [-127, 127]


def test_the_signature_of_a_row_does_not_depend_on_other_rows() -> None:
    fitted = fit(reference())
    alone = np.concatenate([fitted.of(row[None]) for row in reference()])
    assert (np.abs(alone - fitted.of(reference())) <= 1).all()
    assert (alone == fitted.of(reference())).mean() > 0.999


@settings(max_examples=25)
@given(sentences=SENTENCES)
def test_the_surprisal_table_equals_one_computed_in_plain_python(
    sentences: list[list[int]],
) -> None:
    table = bigram_bits(sentences)
    assert (table.dtype.name, table.shape) == ("uint8", (BUCKETS,))
    assert table.tolist() == table_in_python(sentences)


@pytest.mark.parametrize(
    ("ids", "buckets"),
    [
        pytest.param([0, 0], [0], id="zero"),
        pytest.param([1, 2], [40505], id="a product and a sum"),
        pytest.param([2, 1], [15471], id="order matters"),
        pytest.param(
            [101, 1996, 102],
            [(101 * 40503 + 1996) % 65536, (1996 * 40503 + 102) % 65536],
            id="three tokens",
        ),
        pytest.param([7], [], id="one token"),
    ],
)
def test_pairs_of_neighbours_have_the_buckets_computed_by_hand(
    ids: list[int], buckets: list[int]
) -> None:
    assert bucket(np.array(ids)).tolist() == buckets


@settings(max_examples=25)
@given(sentences=SENTENCES, ids=st.lists(st.integers(0, 30_521), min_size=2, max_size=20))
def test_surprisal_is_the_mean_number_of_bits_in_the_table(
    sentences: list[list[int]], ids: list[int]
) -> None:
    table = table_in_python(sentences)
    bits = [table[(left * 40503 + right) % 65536] / 12 for left, right in pairwise(ids)]
    assert surprisal(np.array(ids), bigram_bits(sentences)) == pytest.approx(sum(bits) / len(bits))


@pytest.mark.parametrize("times", [1, 10, 1000])
def test_a_frequent_bigram_surprises_less_than_a_new_bigram(times: int) -> None:
    table = bigram_bits([[5, 6, 7]] * times)
    seen, half, never = (
        surprisal(np.array(ids), table) for ids in ([5, 6, 7], [5, 6, 8], [8, 9, 10])
    )
    assert seen < half < never
    assert half == pytest.approx((seen + never) / 2)


def test_a_more_frequent_bigram_surprises_less() -> None:
    table = bigram_bits([[1, 2]] * 1 + [[3, 4]] * 4 + [[5, 6]] * 64)
    found = [surprisal(np.array(ids), table) for ids in ([0, 9], [1, 2], [3, 4], [5, 6])]
    assert found == sorted(found, reverse=True)
    assert len(set(found)) == 4


def test_an_empty_table_gives_each_bigram_16_bits() -> None:
    assert set(bigram_bits([]).tolist()) == {16 * STEPS_A_BIT}


def test_a_bucket_holds_at_most_255_twelfths_of_a_bit() -> None:
    table = bigram_bits([[7] * 4_000_000])
    assert surprisal(np.array([7, 7]), table) == 0
    assert surprisal(np.array([8, 9]), table) == 255 / 12
