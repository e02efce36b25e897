"""Tests the bins of numeric fields, and the code (the number) of each bin."""

from __future__ import annotations

import numpy as np
import pytest

from monitor.summaries.bins import SCALES


@pytest.mark.parametrize("name", SCALES)
def test_a_value_lies_between_the_edges_of_its_code(name: str) -> None:
    scale = SCALES[name]
    values = (
        np.random.default_rng(1)
        .uniform(scale.low - 1, scale.high * 2, 20_000)
        .astype(np.float32)
        .astype(np.float64)
    )
    codes = scale.codes(values)
    upper = np.append(scale.lower[1:], np.inf)
    # Because of rounding, an edge divided by the step may be slightly more or less than a whole
    # number. So a value this close to an edge may have the code of the next bin.
    near = 1e-9 * (1 + np.abs(values))
    assert (scale.lower[codes] <= values + near).all()
    assert (values <= np.where(codes == 1, scale.low, upper[codes]) + near).all()
    assert codes.max() < scale.count


@pytest.mark.parametrize("name", SCALES)
def test_codes_increase_with_the_values(name: str) -> None:
    values = np.sort(np.random.default_rng(2).uniform(-3, 70, 5000))
    assert (np.diff(SCALES[name].codes(values)) >= 0).all()


@pytest.mark.parametrize(
    ("name", "value", "code"),
    [
        ("prediction.score", 0.0, 1),
        ("prediction.score", 0.001, 2),
        ("prediction.score", 0.29, 30),  # 0.29 as a 32-bit float is slightly less than 0.29
        ("prediction.score", 1.0, 102),
        ("input.words", 0, 2),
        ("input.words", 64, 66),
        ("input.words", 65, 67),
        ("input.words", 10**9, SCALES["input.words"].count - 1),
        ("input.novelty", -5.0, 0),
        ("input.surprisal", 1e6, SCALES["input.surprisal"].count - 1),
    ],
)
def test_values_have_the_expected_codes(name: str, value: float, code: int) -> None:
    assert SCALES[name].codes([value]).tolist() == [code]


def test_the_bin_of_a_single_whole_number_is_represented_by_this_number() -> None:
    scale = SCALES["input.words"]
    words = np.arange(65)
    assert scale.middle[scale.codes(words)].tolist() == words.tolist()
