"""Tests the verdicts and sentences for sequences of usual and unusual windows."""

from __future__ import annotations

import numpy as np
import pytest

from monitor.baselines import baseline as accepted
from monitor.judgement.judge_windows import judge
from monitor.judgement.verdict import Verdict, begins, decide, other_weekdays, sentence, stale
from monitor.summaries.windows import DAY, HOUR, stack
from tests.unit.monitor.made_windows import MONDAY, records, summary


@pytest.mark.parametrize(
    ("unusual", "armed", "verdict"),
    [
        ([], True, Verdict.INSUFFICIENT),
        ([False, False], True, Verdict.OK),
        ([False, True], True, Verdict.UNUSUAL),
        ([True, True], True, Verdict.UNUSUAL),
        ([True, True, True], True, Verdict.NOTICE),
        ([True, True, True, False], True, Verdict.OK),
        ([True, True, True], False, Verdict.PROVISIONAL),
    ],
)
def test_the_verdict_follows_from_the_last_windows(
    unusual: list[bool], armed: bool, verdict: Verdict
) -> None:
    assert decide(unusual, in_a_row=3, armed=armed) is verdict


def test_a_notice_begins_once_in_consecutive_unusual_windows() -> None:
    assert begins(
        [True, True, True, True, False, True, True, False, True, True, True], in_a_row=3
    ) == [2, 10]


def test_a_stream_is_stale_a_day_after_its_last_full_window() -> None:
    assert stale(MONDAY, MONDAY + DAY)
    assert not stale(MONDAY, MONDAY + DAY - 1)
    assert not stale(MONDAY + HOUR, MONDAY)  # the window ends after now, because clocks differ


def test_the_sentence_names_the_largest_change_and_missing_weekdays_are_recognised() -> None:
    chance = np.random.default_rng(1)
    parts = [summary(records(100, chance), MONDAY + at * HOUR, seconds=HOUR) for at in range(40)]
    reference = accepted.fit(parts)
    moved = records(100, chance)
    for row in moved:
        row["input.sig.s2"] += 40
    judgement = judge(stack([summary(moved, seconds=HOUR), parts[3]]), reference)
    assert sentence(judgement, 0, 0.005).startswith("The mean of input.sig.s2 is 4")
    assert sentence(judgement, 1, 0.005) == "No signal is unusual."
    assert not other_weekdays(reference, MONDAY + HOUR)
    assert other_weekdays(reference, MONDAY + 5 * DAY)
