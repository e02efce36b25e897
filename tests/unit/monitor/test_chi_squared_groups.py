"""Tests the choice of the labels that have a group of their own in a baseline.

All other labels form one common group.
"""

from __future__ import annotations

import numpy as np
import pytest

from monitor.statistics.chi_squared_groups import EXPECTED, LABELS, common_labels


@pytest.mark.parametrize(
    ("counts", "rows", "kept"),
    [
        ({"a": 50, "b": 40, "c": 10}, 100, ("a", "b", "c")),
        ({"c": 10, "b": 40, "a": 50}, 100, ("a", "b", "c")),
        ({"b": 50, "a": 50}, 100, ("a", "b")),
        ({"a": 950, "b": 50}, 100, ("a", "b")),
        ({"a": 951, "b": 49}, 100, ("a",)),
        ({"a": 951, "b": 49}, 103, ("a", "b")),
        ({"a": 1, "b": 2}, EXPECTED / 2, ("b",)),
        ({"a": 0, "b": 0}, 100, ("a",)),
        ({}, 100, ()),
        ({f"{at:02}": 1 for at in range(LABELS + 1)}, 1000, tuple(f"{at:02}" for at in range(20))),
    ],
    ids=[
        "all are frequent",
        "in any order",
        "equal counts",
        "exactly enough rows",
        "too few rows",
        "a longer window",
        "the most frequent label always has a group",
        "no rows",
        "no labels",
        "at most twenty",
    ],
)
def test_labels_that_are_frequent_enough_have_groups_of_their_own(
    counts: dict[str, int], rows: float, kept: tuple[str, ...]
) -> None:
    assert common_labels(list(counts), np.array(list(counts.values()), float), rows) == kept
