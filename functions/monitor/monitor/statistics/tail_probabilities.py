"""Tail probabilities of the statistical tests, computed by incomplete gamma and beta functions.

The sources are the NIST Digital Library of Mathematical Functions, https://dlmf.nist.gov (8.7.1,
8.9.2, 8.17.22, 5.11.1), and Press et al., Numerical Recipes, 3rd edition (5.2, 6.2 and 6.4), for
Lentz's method for continued fractions.

scipy is not used, because it is larger than the rest of the function's package.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]

PRECISION: Final = 1e-15
TINY: Final = 1e-300
# The largest number of steps of a series or a continued fraction. A fraction needs about 5 √a
# steps, where a is its largest argument.
STEPS: Final = 20_000
# The coefficients of Stirling's series: B(2k) / (2k (2k - 1)), with the Bernoulli numbers B
STIRLING: Final = (1 / 12, -1 / 360, 1 / 1260, -1 / 1680, 1 / 1188)
SHIFT: Final = 10


def log_gamma(x: ArrayLike) -> Array:
    """Return the logarithm of the gamma function for x > 0."""
    x = np.asarray(x, dtype=np.float64)
    far = x + SHIFT
    series = sum((b / far ** (2 * k + 1) for k, b in enumerate(STIRLING)), np.zeros_like(x))
    down = sum((np.log(x + k) for k in range(SHIFT)), np.zeros_like(x))
    return np.asarray((far - 0.5) * np.log(far) - far + 0.5 * np.log(2 * np.pi) + series - down)


def gamma_upper(a: ArrayLike, x: ArrayLike) -> Array:
    """Return the regularised upper incomplete gamma function Q(a, x) for a > 0, x >= 0."""
    a, x = (np.array(v, dtype=np.float64) for v in np.broadcast_arrays(a, x))
    inside = np.maximum(x, TINY)
    front = np.exp(a * np.log(inside) - inside - log_gamma(a))
    near = x < a + 1
    found = np.empty_like(a)
    found[near] = 1 - front[near] * _gamma_series(a[near], inside[near])
    found[~near] = front[~near] * _gamma_fraction(a[~near], inside[~near])
    return np.clip(found, 0, 1)


def gamma_lower(a: ArrayLike, x: ArrayLike) -> Array:
    """Return the regularised lower incomplete gamma function P(a, x), accurate for small values."""
    a, x = (np.array(v, dtype=np.float64) for v in np.broadcast_arrays(a, x))
    inside = np.maximum(x, TINY)
    near = x < a + 1
    front = np.exp(a * np.log(inside) - inside - log_gamma(a))
    found = np.empty_like(a)
    found[near] = front[near] * _gamma_series(a[near], inside[near])
    found[~near] = 1 - gamma_upper(a[~near], x[~near])
    return np.clip(found, 0, 1)


def beta_lower(x: ArrayLike, a: ArrayLike, b: ArrayLike) -> Array:
    """Return the regularised incomplete beta function I_x(a, b) for a, b > 0 and 0 <= x <= 1."""
    x, a, b = (np.array(v, dtype=np.float64) for v in np.broadcast_arrays(x, a, b))
    swap = x > (a + 1) / (a + b + 2)
    at, left, right = np.where(swap, 1 - x, x), np.where(swap, b, a), np.where(swap, a, b)
    inside = np.clip(at, TINY, 1)
    front = np.exp(
        left * np.log(inside) + right * np.log1p(-np.minimum(at, 1 - 1e-16))
        + log_gamma(left + right) - log_gamma(left) - log_gamma(right)
    )  # fmt: skip
    value = np.where(at <= 0, 0.0, front * _beta_fraction(inside, left, right) / left)
    return np.clip(np.where(swap, 1 - value, value), 0, 1)


def chi_squared(x: ArrayLike, degrees: ArrayLike) -> Array:
    """Return P(X >= x) of the chi-squared distribution."""
    return gamma_upper(np.asarray(degrees) / 2, np.maximum(x, 0) / 2)


def f(x: ArrayLike, upper: ArrayLike, lower: ArrayLike) -> Array:
    """Return P(X >= x) of the F distribution with `upper` and `lower` degrees of freedom."""
    x, d1, d2 = (np.array(v, dtype=np.float64) for v in np.broadcast_arrays(x, upper, lower))
    x = np.maximum(x, 0)
    return beta_lower(d2 / (d2 + d1 * x), d2 / 2, d1 / 2)


def counts(x: ArrayLike, mean: ArrayLike, variance: ArrayLike) -> Array:
    """Return P(X >= x) of a count X with this mean and variance.

    X has a negative binomial distribution, or a Poisson distribution if the variance is not above
    the mean. If the mean is 0, the result is 1 for x = 0, and 0 for every larger x.
    """
    x, mean, variance = (
        np.array(v, dtype=np.float64) for v in np.broadcast_arrays(x, mean, variance)
    )
    mean, found = np.maximum(mean, TINY), np.ones_like(x)
    wide = variance > mean * (1 + 1e-9)
    # Only the distribution that is needed is computed, because each takes many steps.
    at = (x > 0) & wide
    size = mean[at] ** 2 / (variance[at] - mean[at])
    found[at] = beta_lower(
        1 - mean[at] / variance[at], np.maximum(x[at], 1), np.maximum(size, TINY)
    )
    at = (x > 0) & ~wide
    found[at] = gamma_lower(np.maximum(x[at], 1), mean[at])
    return found


@lru_cache(maxsize=65_536)
def fisher_upper(hits: int, rows: int, reference_hits: int, reference_rows: int) -> float:
    """Return the one-sided p of Fisher's exact test.

    It is the probability of at least `hits` hits among `rows` rows, given the margins of the table.
    If `hits` is larger than `rows`, it is treated as equal to `rows`. Without rows the result is 1.
    """
    if not rows or not reference_rows:
        return 1.0
    hits, reference_hits = min(hits, rows), min(reference_hits, reference_rows)
    low, chances = _hypergeometric(rows, reference_rows, hits + reference_hits)
    return float(min(1.0, chances[max(0, hits - low) :].sum()))


@lru_cache(maxsize=65_536)
def fisher(hits: int, rows: int, reference_hits: int, reference_rows: int) -> float:
    """Return the two-sided p of Fisher's exact test.

    It is the sum of the probabilities of all tables that are at most as probable as this table.
    """
    low, chances = _hypergeometric(rows, reference_rows, hits + reference_hits)
    return float(min(1.0, chances[chances <= chances[hits - low] * (1 + 1e-7)].sum()))


@lru_cache(maxsize=4096)
def _hypergeometric(rows: int, reference_rows: int, hits: int) -> tuple[int, Array]:
    """Return the smallest possible number of hits among `rows`, and the probability of each number.

    `hits` is the number of hits among all rows. The first probability is that of the smallest
    possible number.
    """
    low, high = max(0, hits - reference_rows), min(rows, hits)
    k = np.arange(low, high + 1, dtype=np.float64)
    logs = _choose(rows, k) + _choose(reference_rows, hits - k)
    chances = np.exp(logs - _choose(rows + reference_rows, np.float64(hits)))
    return low, np.asarray(chances / chances.sum())


def _choose(n: int, k: ArrayLike) -> Array:
    k = np.asarray(k, dtype=np.float64)
    return np.asarray(log_gamma(n + 1.0) - log_gamma(k + 1) - log_gamma(n - k + 1))


def _gamma_series(a: Array, x: Array) -> Array:
    term = 1 / a
    total, step = term.copy(), a.copy()
    for _ in range(STEPS):
        step += 1
        term *= x / step
        total += term
        if not np.any(term >= total * PRECISION):  # a NaN compares as false and ends the loop
            break
    return total


def _gamma_fraction(a: Array, x: Array) -> Array:
    b = x + 1 - a
    c, d = np.full_like(b, 1 / TINY), 1 / b
    value = d.copy()
    for i in range(1, STEPS):
        factor = -i * (i - a)
        b = b + 2
        d = 1 / _not_zero(factor * d + b)
        c = _not_zero(b + factor / c)
        change = c * d
        value *= change
        if not np.any(np.abs(change - 1) >= PRECISION):
            break
    return value


def _beta_fraction(x: Array, a: Array, b: Array) -> Array:
    c = np.ones_like(x)
    d = 1 / _not_zero(1 - (a + b) * x / (a + 1))
    value = d.copy()
    for i in range(1, STEPS):
        even = i * (b - i) * x / ((a + 2 * i - 1) * (a + 2 * i))
        odd = -(a + i) * (a + b + i) * x / ((a + 2 * i) * (a + 2 * i + 1))
        change = np.ones_like(x)
        for factor in (even, odd):
            d = 1 / _not_zero(1 + factor * d)
            c = _not_zero(1 + factor / c)
            change = c * d
            value *= change
        if not np.any(np.abs(change - 1) >= 4 * PRECISION):
            break
    return value


def _not_zero(x: Array) -> Array:
    return np.where(np.abs(x) < TINY, TINY, x)
