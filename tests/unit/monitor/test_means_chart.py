"""Tests the control chart of the means of windows. `deff` is the design effect."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from monitor.statistics import means_chart
from monitor.summaries.bins import SCALES
from monitor.summaries.summary import Moments, Summary
from monitor.summaries.windows import HOUR, Windows, stack
from tests.unit.monitor.made_windows import MONDAY, STREAM

NAMES = ("input.sig.s0", "input.sig.s1", "input.surprisal", "input.novelty")
ROWS = 400


def of_means(values: np.ndarray, names: Sequence[str] = NAMES, *, start: int = MONDAY) -> Windows:
    """Return windows of an hour, whose rows have these means and the variance 1.

    `values` has the shape (windows, names).
    """
    made = []
    for at, line in enumerate(values):
        moments = {
            n: Moments(ROWS, ROWS * v, ROWS * (1 + v**2))
            for n, v in zip(names, line.tolist(), strict=True)
        }
        made.append(Summary(STREAM, "1", start + at * HOUR, HOUR, rows=ROWS, moments=moments))
    return stack(made)


def noise(count: int, seed: int, *, times: float = 1.0) -> np.ndarray:
    """Return random means of windows.

    Their variance is the variance of means of independent rows, multiplied by `times`.
    """
    return np.random.default_rng(seed).normal(0, (times / ROWS) ** 0.5, (count, len(NAMES)))


def cycle(count: int, height: float) -> np.ndarray:
    """Return a daily cycle: twelve hours above the mean, twelve hours below it."""
    return np.asarray(
        np.where(np.arange(count) % 24 < 12, height, -height)[:, None] * np.array([1.0, 0, 0, 0])
    )


def test_p_is_uniform_when_nothing_changes() -> None:
    p = []
    for seed in range(40):
        chart, _ = means_chart.fit(of_means(noise(72, seed)), NAMES)
        assert chart
        p.append(chart.judge(of_means(noise(50, seed + 1000))).p)
    quantiles = np.quantile(np.concatenate(p), [0.05, 0.25, 0.5, 0.75])
    assert quantiles == pytest.approx([0.05, 0.25, 0.5, 0.75], abs=0.04)


@pytest.mark.parametrize("times", [1.0, 5.0])
def test_deff_is_the_factor_by_which_dependent_rows_increase_the_variance_of_means(
    times: float,
) -> None:
    chart, _ = means_chart.fit(of_means(noise(400, 1, times=times)), NAMES)
    assert chart
    assert chart.deff == pytest.approx(times, rel=0.15)


def test_a_daily_cycle_does_not_change_deff() -> None:
    chart, _ = means_chart.fit(of_means(noise(168, 2) + cycle(168, 0.5)), NAMES)
    assert chart
    assert chart.deff == pytest.approx(1.0, abs=0.2)
    # If windows of different hours were compared, the cycle would add this number to deff.
    added = np.var(cycle(168, 0.5)[:, 0]) * ROWS
    assert (chart.deff - 1) < added / 10


def test_a_large_daily_cycle_gives_each_hour_of_the_day_its_own_mean() -> None:
    chart, _ = means_chart.fit(of_means(noise(168, 3) + cycle(168, 0.5)), NAMES)
    assert chart
    assert chart.hours is not None
    later = MONDAY + 7 * 24 * HOUR
    quiet = chart.judge(of_means(noise(240, 4) + cycle(240, 0.5), start=later))
    assert (quiet.p < 0.01).mean() < 0.04
    night_by_day = chart.judge(of_means(noise(24, 5) - cycle(24, 0.5), start=later))
    assert (night_by_day.p < 1e-6).all()


def test_no_hour_has_a_mean_of_its_own_without_a_daily_cycle() -> None:
    chart, _ = means_chart.fit(of_means(noise(168, 6)), NAMES)
    assert chart
    assert chart.hours is None


def test_a_shift_of_one_standard_deviation_has_the_effect_one() -> None:
    chart, _ = means_chart.fit(of_means(noise(300, 7, times=3)), NAMES)
    assert chart
    shifted = noise(50, 8, times=3) + np.array([0, 1.0, 0, 0])
    found = chart.judge(of_means(shifted))
    assert np.median(found.effect) == pytest.approx(1.0, rel=0.15)
    assert {found.names[at] for at in np.abs(found.standardised).argmax(axis=1)} == {"input.sig.s1"}


def test_constant_and_redundant_components_are_left_out_with_a_reason() -> None:
    values = noise(100, 9)
    values[:, 1] = 2 * values[:, 0] - values[:, 3]
    values[:, 2] = 4.0
    chart, reasons = means_chart.fit(of_means(values), NAMES)
    assert chart
    assert len(chart.names) == 2
    assert reasons["input.surprisal"] == "its values are all the same"
    assert sorted(reasons.values()) == [
        "its values are all the same",
        "other components already determine it",
    ]


# From 65 words on, the upper edge of each bin is 1.25 times its lower edge (bins.py).
@pytest.mark.parametrize(("name", "values", "expected"), [
    ("input.words", [5] * 98 + [900, 900], 65 * 1.25**12),
    ("input.words", [5] * 99 + [900], 5),
    ("input.words", [-3] * 100, 0),
    ("input.non_letter_share", [0.1] * 90 + [0.555] * 10, 0.56),
])  # fmt: skip
def test_a_cap_is_the_upper_edge_of_the_bin_with_the_99_percent_quantile(
    name: str, values: list[float], expected: float
) -> None:
    counts = np.bincount(SCALES[name].codes(values), minlength=SCALES[name].count).astype(float)
    assert means_chart.cap(counts, name) == pytest.approx(expected, rel=1e-3)


def test_a_capped_mean_equals_the_mean_of_capped_values() -> None:
    values = np.random.default_rng(10).geometric(0.07, 3000)
    scale = SCALES["input.words"]
    counts = np.bincount(scale.codes(values), minlength=scale.count)
    one = Summary(
        STREAM, "1", MONDAY, HOUR, rows=3000, bins={"input.words": dict(enumerate(counts.tolist()))}
    )
    cap = means_chart.cap(counts.astype(float), "input.words")
    assert means_chart.components(stack([one]), ["input.words"], {"input.words": cap})[
        0, 0
    ] == pytest.approx(np.minimum(values, cap).mean(), rel=0.002)
