"""Tests that a provisional baseline grows over weeks of summaries, until it is armed.

A baseline is armed if it is large enough to lead to notices, and provisional until then.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest

from monitor.baselines.acceptance import grown, propose
from monitor.baselines.baseline import to_document
from monitor.baselines.window_length import Plan
from monitor.judgement.false_alarm_table import choose
from monitor.judgement.judge_stream import Accepted, Reference, State, follow
from monitor.judgement.verdict import Verdict
from monitor.summaries.summary import SLOT, Summary
from monitor.summaries.windows import DAY
from tests.unit.monitor.made_windows import MONDAY, STREAM, slots

WEEK = MONDAY + 7 * DAY
EACH = 4  # predictions in a slot, so that 72 windows of 100 predictions take 19 days
ENOUGH = MONDAY + 20 * DAY
CHOICE = choose(0)


@cache
def weeks() -> tuple[Summary, ...]:
    return tuple(slots(21 * 96, EACH, np.random.default_rng(1)))


def before(end: int) -> list[Summary]:
    return [slot for slot in weeks() if slot.start < end]


@cache
def accepted() -> Accepted:
    return propose(1, before(WEEK), MONDAY, WEEK, current=None, choice=CHOICE).accepted


def test_a_provisional_baseline_states_the_day_on_which_growing_starts() -> None:
    one = accepted()
    assert not one.armed
    assert one.until == MONDAY + 19 * DAY
    assert "From 1970-01-24 on, the days after this baseline are added to it" in one.sentence
    read = Accepted.read(to_document(one.baseline) | {"number": 1, "plan": one.plan()})
    assert (read.until, read.sentence, read.armed) == (one.until, one.sentence, False)
    _, findings = follow(
        STREAM,
        [slot for slot in weeks() if WEEK <= slot.start < WEEK + 2 * DAY],
        State(),
        accepted=one,
        profile=None,
        choice=CHOICE,
        now=WEEK + 2 * DAY,
    )
    judged = [f for f in findings if f.reference is Reference.BASELINE]
    assert {f.verdict for f in judged} == {Verdict.PROVISIONAL}
    assert all("From 1970-01-24" in f.sentence for f in judged)


def test_a_baseline_that_needs_more_than_120_days_does_not_grow() -> None:
    plan = Plan(rows=100, longest=DAY, windows=3, deff=1.0, armed=False, days=121)
    one = Accepted.of(1, accepted().baseline, plan)
    assert one.until == MONDAY + 121 * DAY
    assert "It does not grow, because that would take more than 120 days." in one.sentence
    assert "are added to it automatically" not in one.sentence


@pytest.mark.parametrize(
    ("now", "may"), [(WEEK, False), (MONDAY + 19 * DAY - 1, False), (MONDAY + 19 * DAY, True)]
)
def test_a_baseline_does_not_grow_before_the_stated_day(now: int, may: bool) -> None:
    assert accepted().may_grow(now) is may
    assert not replace(accepted(), armed=True).may_grow(now)


def test_a_baseline_of_twenty_days_is_armed() -> None:
    new, reason = grown(accepted(), 2, before(ENOUGH), ENOUGH, choice=CHOICE)
    assert (new.number, new.armed, reason) == (2, True, "")
    assert new.baseline.windows >= 72
    assert new.baseline.start // DAY * DAY == MONDAY
    assert not new.may_grow(ENOUGH)


def test_a_baseline_with_too_few_predictions_stays_provisional() -> None:
    fewer = [slot for slot in before(ENOUGH) if slot.start < WEEK or slot.start // SLOT % 2]
    new, reason = grown(accepted(), 2, fewer, ENOUGH, choice=CHOICE)
    assert (new.armed, reason) == (False, "")
    assert new.until > ENOUGH


def _drifted(made: list[Summary]) -> list[Summary]:
    given: dict[str, Any] = {"prediction.label": "spam"}
    other = slots(96, EACH, np.random.default_rng(2), start=WEEK + DAY, **given)
    return [*(slot for slot in made if not WEEK + DAY <= slot.start < WEEK + 2 * DAY), *other]


def _of_two_versions(made: list[Summary]) -> list[Summary]:
    return [replace(slot, version="2") if slot.start >= WEEK + DAY else slot for slot in made]


AGAINST: dict[str, tuple[Callable[[list[Summary]], Sequence[Summary]], str]] = {
    "a drift": (_drifted, "gives a notice in these days"),
    "two versions": (_of_two_versions, "More than one version answered"),
    "too few windows": (lambda made: made[:10], "a baseline needs at least 3 windows"),
}


@pytest.mark.parametrize(("made", "said"), AGAINST.values(), ids=AGAINST)
def test_days_that_are_unfit_for_a_baseline_are_not_added_to_the_baseline(
    made: Callable[[list[Summary]], Sequence[Summary]], said: str
) -> None:
    new, reason = grown(accepted(), 2, made(before(ENOUGH)), ENOUGH, choice=CHOICE)
    assert new == accepted()
    assert said in reason
