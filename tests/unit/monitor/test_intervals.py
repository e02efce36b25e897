"""Tests the intervals of known and estimated accuracy, and the rule for too low accuracy.

Known accuracy is computed from right labels, and estimated accuracy from calibrated scores.
"""

from __future__ import annotations

import json
from math import sqrt
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from monitor.accuracy.intervals import (
    ENOUGH,
    Card,
    Interval,
    Labelled,
    Tally,
    below,
    estimate,
    wilson,
)
from monitor.summaries.summary import Moments
from tools.root import ROOT

SHIPPED = json.loads((ROOT / "functions" / "inference" / "model" / "card.json").read_text())
CARD = Card("a-model", "1", "a profile", Interval(0.75, 0.81), 600)


@given(st.integers(1, 5000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_the_interval_equals_the_interval_of_scipy(counts: tuple[int, int]) -> None:
    right, count = counts
    expected = stats.binomtest(right, count).proportion_ci(method="wilson")
    assert wilson(right, count) == pytest.approx((expected.low, expected.high), abs=1e-6)


def test_without_a_label_known_accuracy_can_be_anything() -> None:
    assert Tally().share is None
    assert Tally().interval == (0, 1)


def test_the_interval_of_an_estimate_allows_for_chance_and_calibration() -> None:
    scores = [0.6, 0.9, 0.75, 0.55]
    found = estimate(Moments(4, sum(scores), sum(p * p for p in scores)), 600)
    assert found is not None
    half = 1.959964 * sqrt(sum(p * (1 - p) for p in scores) / 4 * (1 / 4 + 1 / 600))
    assert found.share == pytest.approx(0.7)
    assert found.interval == pytest.approx((0.7 - half, min(1, 0.7 + half)))
    assert estimate(Moments(), 600) is None


@given(st.lists(st.floats(0, 1, width=32), min_size=1, max_size=50), st.integers(1, 10_000))
def test_an_estimate_lies_in_its_interval_which_lies_between_0_and_1(
    scores: list[float], fit: int
) -> None:
    found = estimate(Moments(len(scores), sum(scores), sum(p * p for p in scores)), fit)
    assert found is not None
    assert 0 <= found.interval.low <= found.share + 1e-9
    assert found.share - 1e-9 <= found.interval.high <= 1


@pytest.mark.parametrize(
    ("every", "audit", "expected"),
    [
        (Tally(99, 10, 0.9), Tally(), None),  # too few labels
        (Tally(100, 78, 0.78), Tally(), False),  # as the card says
        (Tally(100, 70, 0.78), Tally(), False),  # could be lower by chance
        (Tally(100, 60, 0.78), Tally(), True),
        (Tally(100, 60, None), Tally(), True),  # records without scores
        (Tally(400, 240, 0.6), Tally(), False),  # the mean score is equally low
        (Tally(400, 100, 0.6), Tally(), True),  # far below the mean score
        (Tally(400, 240, 0.6), Tally(100, 60, 0.78), True),  # the random sample decides
        (Tally(400, 100, 0.6), Tally(100, 78, 0.78), False),  # the random sample decides
        (Tally(400, 100, 0.6), Tally(99, 78, 0.78), True),  # the random sample is too small
    ],
)
def test_accuracy_is_too_low_if_its_whole_interval_is_below_the_expected_interval(
    every: Tally, audit: Tally, expected: bool | None
) -> None:
    assert below(Labelled(every, audit), CARD) is expected


def test_coverage_is_the_share_of_predictions_with_a_label() -> None:
    assert Labelled(Tally(30, 20), rows=120).coverage == 0.25
    assert Labelled(Tally(30, 20), rows=20).coverage == 1  # some predictions are not yet counted
    assert Labelled(Tally(30, 20)).coverage is None


def test_the_shipped_card_is_read() -> None:
    card = Card.read(SHIPPED)
    assert card is not None
    figures = SHIPPED["figures"]
    assert list(card.accuracy) == figures["accuracy_interval"]
    assert card.calibrated_on == SHIPPED["calibrated_on"]["sentences"]
    right = round(figures["accuracy"] * figures["texts"])
    assert wilson(right, figures["texts"]) == pytest.approx(tuple(card.accuracy), abs=1e-4)
    assert ENOUGH == 100


@pytest.mark.parametrize(
    "change",
    [
        {"calibrated": False},
        {"figures": {"sample": "a", "texts": 10}},
        {"calibrated_on": {"sentences": 0}},
        {"calibrated_on": None},
        {"figures": {"accuracy_interval": [0.7]}},
    ],
)
def test_a_card_without_accuracy_or_calibration_is_not_used(change: dict[str, Any]) -> None:
    assert Card.read(SHIPPED | change) is None
