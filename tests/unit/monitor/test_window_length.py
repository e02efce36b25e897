"""Tests how long windows are, and when a baseline can give notices."""

from __future__ import annotations

import numpy as np
import pytest

from monitor.baselines.detectable_drift import smallest_effect
from monitor.baselines.window_length import plan
from monitor.summaries.summary import Summary
from tests.unit.monitor.made_windows import records, slots, summary


def test_independent_rows_need_windows_of_100_predictions() -> None:
    planned = plan(slots(7 * 96, 26, np.random.default_rng(1)))
    assert (planned.armed, planned.rows, planned.windows) == (True, 100, 168)
    assert planned.deff == pytest.approx(1.05, abs=0.15)


def test_with_too_little_traffic_the_plan_says_how_many_days_a_baseline_takes() -> None:
    planned = plan(slots(7 * 96, 2, np.random.default_rng(1)))
    assert not planned.armed
    assert planned.days == pytest.approx(72 * 100 / 192, rel=0.05)
    assert (
        planned.sentence() == "Provisional: notices need 72 windows of 100 predictions, which take"
        " 38 days of this traffic."
    )


def test_rows_in_bursts_need_longer_windows() -> None:
    chance = np.random.default_rng(2)
    made: list[Summary] = []
    for at in range(7 * 96):
        rows = records(100, chance)
        for row in rows:
            for name in [n for n in row if n.startswith("input.sig")]:
                row[name] += 6 * (at % 5 - 2)  # each slot has texts about another subject
        made.append(summary(rows, made[-1].end if made else 345_600))
    planned = plan(made)
    assert planned.deff > 2
    assert planned.rows > 100


def test_without_predictions_no_window_can_be_planned() -> None:
    with pytest.raises(ValueError, match="no slot with predictions"):
        plan([])


def test_the_smallest_effect_falls_with_more_rows_and_rises_with_the_design_effect() -> None:
    def smallest(rows: float, deff: float, windows: int = 168) -> float:
        return smallest_effect(components=15, windows=windows, rows=rows, deff=deff, level=0.005)

    assert smallest(800, 1) < smallest(200, 1) < smallest(200, 5)
    assert smallest(200, 1, windows=72) > smallest(200, 1)
    assert smallest(200, 1, windows=10) == float("inf")


def test_the_smallest_effect_is_detected_as_often_as_the_power_says() -> None:
    """A simulation detects the effect about as often as the default power of 0.95 says."""
    chance, p, k, n = np.random.default_rng(3), 6, 120, 200
    effect = smallest_effect(components=p, windows=k, rows=n, deff=1, level=0.005)
    hits = 0
    from monitor.statistics import tail_probabilities

    for _ in range(400):
        rows = chance.normal(0, n**-0.5, (k, p))
        away = chance.normal(0, n**-0.5, p) + np.eye(p)[0] * effect - rows.mean(axis=0)
        squared = away @ np.linalg.inv(np.cov(rows, rowvar=False)) @ away * k / (k + 1)
        hits += float(tail_probabilities.f(squared * (k - p) / (p * (k - 1)), p, k - p)) < 0.005 / 8
    assert 0.9 < hits / 400 < 0.985
