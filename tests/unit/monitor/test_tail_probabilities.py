"""Compares the tail probabilities with those of scipy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import special, stats

from monitor.statistics import tail_probabilities

RELATIVE = 1e-9


def test_log_gamma_equals_that_of_scipy() -> None:
    x = np.concatenate([np.geomspace(1e-8, 1e9, 400), np.arange(1, 40) / 2])
    assert tail_probabilities.log_gamma(x) == pytest.approx(
        special.gammaln(x), rel=1e-11, abs=1e-11
    )


@pytest.mark.parametrize("degrees", [0.3, 1, 2, 7.5, 15, 120, 3000])
def test_the_tail_of_the_chi_squared_distribution_equals_that_of_scipy(degrees: float) -> None:
    x = np.concatenate([[0], np.geomspace(1e-6, 10, 60) * degrees])
    assert tail_probabilities.chi_squared(x, degrees) == pytest.approx(
        stats.chi2.sf(x, degrees), rel=RELATIVE, abs=1e-250
    )


@pytest.mark.parametrize("upper", [1, 3, 15, 40])
@pytest.mark.parametrize("lower", [1, 2, 57, 153, 6000])
def test_the_tail_of_the_f_distribution_equals_that_of_scipy(upper: int, lower: int) -> None:
    x = np.concatenate([[0], np.geomspace(1e-4, 300, 60)])
    assert tail_probabilities.f(x, upper, lower) == pytest.approx(
        stats.f.sf(x, upper, lower), rel=RELATIVE, abs=1e-250
    )


@pytest.mark.parametrize("mean", [0.01, 0.5, 2.4, 40, 5000])
@pytest.mark.parametrize("ratio", [1.001, 1.5, 4, 60])
def test_a_variance_above_the_mean_gives_a_negative_binomial_distribution(
    mean: float, ratio: float
) -> None:
    x = np.unique(np.concatenate([np.arange(12), np.round(mean * np.array([0.5, 1, 1.2, 2, 4]))]))
    size = mean / (ratio - 1)
    expected = stats.nbinom.sf(x - 1, size, 1 / ratio)
    assert tail_probabilities.counts(x, mean, mean * ratio) == pytest.approx(
        expected, rel=1e-7, abs=1e-200
    )


@pytest.mark.parametrize("mean", [0.01, 0.5, 2.4, 40, 5000])
def test_a_variance_not_above_the_mean_gives_a_poisson_distribution(mean: float) -> None:
    x = np.unique(np.concatenate([np.arange(12), np.round(mean * np.array([0.5, 1, 1.2, 2]))]))
    expected = stats.poisson.sf(x - 1, mean)
    assert tail_probabilities.counts(x, mean, mean / 2) == pytest.approx(
        expected, rel=1e-9, abs=1e-250
    )


def test_a_count_with_the_mean_zero_is_certainly_zero() -> None:
    assert tail_probabilities.counts([0, 1], 0, 0) == pytest.approx([1, 0], abs=1e-250)


@given(
    st.integers(1, 300).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n))),
    st.integers(1, 2000).flatmap(lambda m: st.tuples(st.just(m), st.integers(0, m))),
)
def test_the_two_sided_and_one_sided_tests_of_fisher_equal_those_of_scipy(
    window: tuple[int, int], reference: tuple[int, int]
) -> None:
    (n, hits), (m, before) = window, reference
    table = [[hits, n - hits], [before, m - before]]
    assert tail_probabilities.fisher(hits, n, before, m) == pytest.approx(
        stats.fisher_exact(table).pvalue, rel=1e-6
    )
    one_sided = stats.fisher_exact(table, alternative="greater").pvalue
    assert tail_probabilities.fisher_upper(hits, n, before, m) == pytest.approx(one_sided, rel=1e-6)
