"""Tests how numbers become the plots of the page, and which times are gaps without predictions."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from report.page_values import Bucket, Span
from report.plots import HIGH, WIDE, bars, lines, nice, palette
from report.read import BUCKETS, gaps, span

BAR = re.compile(r"M([\d.]+) ([-\d.e]+)h([\d.]+)v(-[\d.e-]+)h-[\d.]+z")
NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
counts = st.lists(
    st.lists(st.integers(0, 10**6), min_size=3, max_size=3), min_size=1, max_size=5
).filter(lambda several: any(map(any, several)))


def boxes(path: str) -> dict[int, tuple[float, float]]:
    """Return the bottom and the top of each bar of a path, by column.

    Both are distances from the bottom of the plot.
    """
    found = {}
    for left, bottom, _, high in BAR.findall(path):
        below = HIGH - float(bottom)
        found[int(float(left) // WIDE)] = (below, below - float(high))
    return found


@given(counts, st.booleans())
def test_bars_are_stacked_and_their_heights_are_their_counts(
    several: list[list[int]], shares: bool
) -> None:
    series = {f"series {at}": values for at, values in enumerate(several)}
    plot = bars("Title", series, {}, below=(), names=("a", "b", "c"), shares=shares)
    totals = [sum(each) for each in zip(*several, strict=True)]
    for column, total in enumerate(totals):
        top = total if shares else nice(max(totals))
        reached = 0.0
        for one, values in zip(plot.series, several, strict=True):
            box = boxes(one.path).get(column)
            assert (box is None) == (values[column] == 0)
            if box:
                assert box[0] == pytest.approx(reached, abs=0.02)
                assert box[1] - box[0] == pytest.approx(HIGH * values[column] / top, abs=0.02)
                reached = box[1]
        assert reached == pytest.approx(HIGH * total / top if total else 0, abs=0.1)


def test_a_plot_without_counts_is_empty() -> None:
    assert bars("Title", {"a": [0, 0]}, {}, below=(), names=("x", "y")).series == ()
    assert bars("Title", {}, {}, below=(), names=()).series == ()


@given(
    st.lists(st.none() | st.floats(0, 1), min_size=1, max_size=20).filter(
        lambda values: any(value is not None for value in values)
    )
)
def test_a_line_has_points_only_for_known_values_and_is_broken_elsewhere(
    values: list[float | None],
) -> None:
    names = [str(at) for at in range(len(values))]
    (one,) = lines("Title", {"a": values}, {}, below=(), names=names, high=1.0).series
    steps = re.findall(r"([ML])([\d.]+) ([-\d.e]+)(h4)?", one.path)
    known = [at for at, value in enumerate(values) if value is not None]
    assert [int(float(x) // WIDE) for _, x, _, _ in steps] == known
    for (_, _, y, _), at in zip(steps, known, strict=True):
        assert float(y) == pytest.approx(HIGH * (1 - (values[at] or 0)), abs=0.02)
    for (before, after), (_, step) in zip(pairwise(known), pairwise(steps), strict=True):
        assert (step[0] == "L") == (after == before + 1)


def test_if_there_are_more_series_than_colours_the_last_colour_is_shared() -> None:
    assert list(palette([str(at) for at in range(10)]).values())[6:] == ["c6", "c7", "c7", "c7"]


@pytest.mark.parametrize(
    ("value", "expected"), [(0, 1), (1, 1), (3, 4), (11, 20), (0.07, 0.08), (999, 1000)]
)
def test_an_axis_ends_at_a_round_number(value: float, expected: float) -> None:
    assert nice(value) == pytest.approx(expected)


@given(st.integers(60, 400 * 86400), st.integers(0, 10**6))
def test_a_span_begins_at_a_whole_step_and_has_few_steps(seconds: int, later: int) -> None:
    now = NOON + timedelta(seconds=later)
    shown = span(now, timedelta(seconds=seconds))
    times = shown.times()
    assert len(times) <= BUCKETS
    assert times[0] == shown.start <= now - timedelta(seconds=seconds)
    assert times[-1] < now <= times[-1] + shown.step
    assert shown.start.timestamp() % shown.step.total_seconds() == 0


@pytest.mark.parametrize(
    ("numbers", "found"),
    [
        ([100, 0, 100], [(1, 2)]),
        ([100, 0, 0, 100, 0, 100], [(1, 3), (4, 5)]),
        # The time before the first prediction is no gap. The time after the last prediction is no
        # gap if only two buckets have predictions.
        ([0, 0, 100, 100, 0, 0], []),
        ([5, 0, 5], []),  # five missing predictions may be chance
        ([5, 0, 0, 0, 0, 5], [(1, 5)]),
        ([], []),
    ],
)
def test_a_gap_is_a_time_without_the_expected_predictions(
    numbers: list[int], found: list[tuple[int, int]]
) -> None:
    shown = span(NOON, timedelta(hours=1))
    buckets = [
        Bucket(shown.start + shown.step * at, number, {}, {}, {}, None, (None, None))
        for at, number in enumerate(numbers)
    ]
    times = [(one.start, one.end) for one in gaps(buckets, shown)]
    assert times == [(shown.start + shown.step * a, shown.start + shown.step * b) for a, b in found]


@pytest.mark.parametrize(
    ("numbers", "since"),
    [
        ([5] * 20 + [0] * 40, 20),
        ([5, 0] * 10 + [0] * 40, 19),
        ([5] * 57 + [0] * 3, None),  # 15 missing predictions may be chance
        ([0] * 10 + [100] * 9 + [0] * 41, None),  # only nine buckets have predictions
        ([0] * 60, None),
    ],
)
def test_a_silence_until_the_end_is_a_gap_if_predictions_were_steady_before(
    numbers: list[int], since: int | None
) -> None:
    shown = Span(NOON, NOON + timedelta(hours=1), timedelta(minutes=1))
    buckets = [
        Bucket(time, number, {}, {}, {}, None, (None, None))
        for time, number in zip(shown.times(), numbers, strict=True)
    ]
    last = [one.start for one in gaps(buckets, shown) if one.end == shown.end]
    assert last == ([] if since is None else [NOON + timedelta(minutes=since)])
