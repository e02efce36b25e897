"""Tests how successive slots (summaries of 15 minutes) are joined to windows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from monitor.summaries.summary import SLOT, Summary
from monitor.summaries.windows import DAY, HOUR, a_day_apart, cut, stack
from tests.unit.monitor.made_windows import MONDAY, STREAM


def of(*counts: int) -> list[Summary]:
    """Return slots in a row with these numbers of rows. A 0 stands for a missing slot."""
    return [
        Summary(STREAM, "1", MONDAY + at * SLOT, rows=count)
        for at, count in enumerate(counts)
        if count
    ]


@pytest.mark.parametrize(
    ("counts", "full", "open_"),
    [
        ([200] * 9, [800, 800], 200),
        ([1000] * 5, [4000], 1000),  # a window lasts at least an hour
        ([100] * 8, [800], 0),
        ([100, 0, 0, 0, 700, 100], [800], 100),  # 45 minutes have no predictions
        ([800], [], 800),
    ],
)
def test_a_window_ends_when_it_has_enough_predictions_and_has_lasted_an_hour(
    counts: list[int], full: list[int], open_: int
) -> None:
    made = cut(of(*counts), rows=800)
    assert [w.rows for w in made.full] == full
    assert sum(s.rows for s in made.open) == open_
    assert not made.short


def test_a_window_without_enough_predictions_ends_after_the_longest_time() -> None:
    made = cut(of(*[10] * 20), rows=800, at_most=2 * HOUR)
    assert [(w.rows, w.seconds) for w in made.short] == [(80, 2 * HOUR), (80, 2 * HOUR)]
    assert not made.full


def test_versions_of_one_slot_stay_in_one_window() -> None:
    both = [s for one in of(*[400] * 4) for s in (one, replace(one, version="2", rows=10))]
    assert [w.rows for w in cut(both, rows=800).full] == [1640]


def test_every_row_is_in_one_window() -> None:
    counts = np.random.default_rng(1).integers(0, 500, 400).tolist()
    made = cut(of(*counts), rows=800, at_most=DAY)
    assert sum(s.rows for s in [*made.full, *made.short, *made.open]) == sum(counts)
    ends = [w.end for w in made.full]
    assert all(w.start >= end for w, end in zip(made.full[1:], ends, strict=False))


def test_pairs_of_windows_are_24_hours_apart() -> None:
    windows = stack(cut(of(*[200] * 96 * 3), rows=800).full)
    first, second = a_day_apart(windows)
    assert (second - first == 24).all()
    assert len(first) == 48
    assert [len(pair) for pair in a_day_apart(stack([]))] == [0, 0]
