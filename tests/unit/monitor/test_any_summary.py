"""Tests that every summary gets a verdict and no traceback, whatever numbers it holds."""

from __future__ import annotations

import json
from contextlib import suppress
from functools import cache

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from monitor.baselines import baseline as accepted
from monitor.baselines.baseline import Baseline, TooFewWindows
from monitor.baselines.window_length import plan
from monitor.judgement import profile_reference
from monitor.judgement.judge_windows import Fields, judge
from monitor.judgement.profile_reference import Profile
from monitor.judgement.verdict import sentence
from monitor.summaries.bins import SCALES
from monitor.summaries.summary import MOMENTS, PROBABILITY, SLOT, Moments, Summary
from monitor.summaries.windows import HOUR, cut, stack
from tests.unit.monitor.made_windows import LABELS, MONDAY, STREAM, records, summary

COUNTS = st.integers(0, 2000)
NUMBERS = st.floats(-1e9, 1e12) | st.just(float("nan")) | st.just(float("inf"))
NAMES = st.sampled_from([*LABELS, "", "a label", "é"])


@st.composite
def summaries(draw: st.DrawFn) -> Summary:
    fields = draw(st.lists(st.sampled_from([*MOMENTS, f"{PROBABILITY}.ham"]), unique=True))
    scales = draw(st.lists(st.sampled_from(list(SCALES)), unique=True))
    return Summary(
        STREAM,
        "1",
        MONDAY + SLOT * draw(st.integers(-5, 400)),
        draw(st.sampled_from([SLOT, HOUR])),
        rows=draw(COUNTS),
        moments={name: Moments(draw(COUNTS), draw(NUMBERS), draw(NUMBERS)) for name in fields},
        bins={
            name: draw(st.dictionaries(st.integers(-2, 900), COUNTS, max_size=6)) for name in scales
        },
        labels=draw(st.dictionaries(NAMES, COUNTS, max_size=4)),
        flags=draw(st.dictionaries(NAMES, COUNTS, max_size=3)),
        scripts=draw(st.dictionaries(NAMES, COUNTS, max_size=3)),
        unknown=draw(COUNTS),
        hashes=draw(st.dictionaries(NAMES, COUNTS, max_size=3)),
        distinct=draw(COUNTS),
    )


@cache
def references() -> tuple[Baseline, Profile]:
    """Return a baseline and a profile of usual records."""
    chance = np.random.default_rng(1)
    usual = [summary(records(60, chance), MONDAY + at * HOUR, seconds=HOUR) for at in range(30)]
    return accepted.fit(usual), Profile.of("made", _columns(), {"ham": 200, "spam": 100}, {})


@pytest.mark.filterwarnings("error::RuntimeWarning")
@settings(max_examples=60, deadline=None)
@given(st.lists(summaries(), max_size=4))
def test_any_window_is_judged(some: list[Summary]) -> None:
    reference, shipped = references()
    windows = stack(some)
    for judgement in (
        judge(windows, reference),
        judge(windows, reference, fields=Fields.TEXT),
        profile_reference.judge(windows, shipped),
    ):
        assert len(judgement.unusual(0.005)) == len(some)
        for at in range(len(some)):
            assert sentence(judgement, at, 0.005)


@pytest.mark.filterwarnings("error::RuntimeWarning")
@settings(max_examples=60, deadline=None)
@given(st.lists(summaries(), min_size=1, max_size=8))
def test_any_days_give_a_baseline_or_are_refused_as_too_few(some: list[Summary]) -> None:
    assume(sum(s.rows for s in some))
    planned = plan(some)
    assert planned.sentence()
    full = cut(some, rows=planned.rows, at_most=planned.longest).full
    with suppress(TooFewWindows):
        fitted = accepted.fit(full or some)
        read = accepted.from_document(
            json.loads(json.dumps(accepted.to_document(fitted), allow_nan=False))
        )
        judge(stack(some), read)


def _columns() -> dict[str, np.ndarray]:
    rows = records(300, np.random.default_rng(2))
    return {
        name: np.array([row[name] for row in rows], float)
        for name, value in rows[0].items()
        if isinstance(value, float | int)
    }
