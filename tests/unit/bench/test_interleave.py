"""Tests that a bench takes turns between the programs that it compares (the contenders)."""

from __future__ import annotations

from itertools import groupby

import pytest

from bench.interleave import WrongCount, interleaved, ratio


def test_contenders_take_turns() -> None:
    calls: list[str] = []

    def contender(name: str) -> int:
        calls.append(name)
        return 1

    ticks: list[None] = []
    times = interleaved(
        {"a": lambda: contender("a"), "b": lambda: contender("b")}, 1, 3, lambda: ticks.append(None)
    )
    assert [len(figures) for name in times.values() for figures in name] == [3] * 4
    assert all(figure > 0 for name in times.values() for figures in name for figure in figures)
    assert len(ticks) == 3
    assert calls[:4] == ["a", "a", "b", "b"]  # the warm-up
    assert "".join(name for name, _ in groupby(calls[4:])) == "abab"  # the rounds are ab, ba, ab


def test_a_contender_that_does_less_work_is_refused() -> None:
    with pytest.raises(WrongCount, match=r"lazy: \[4\] documents instead of 5"):
        interleaved({"lazy": lambda: 4}, 5, 1, lambda: None)


def test_ratio_is_the_median_of_the_ratios_of_all_rounds() -> None:
    assert ratio([2.0, 300.0, 6.0], [1.0, 3.0, 2.0]) == 3.0
