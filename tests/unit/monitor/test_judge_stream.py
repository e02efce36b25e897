"""Tests `follow`, which judges the windows of a stream one after the other.

A stream is the predictions of one model in one log group. The monitor cuts a stream into windows,
and gives each window a verdict. Drift gives the verdict `notice`. Bad input can give another
verdict, but never a notice or a traceback.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest

from monitor.baselines import baseline
from monitor.baselines.acceptance import notices
from monitor.baselines.shipped_profile import shipped_profile
from monitor.baselines.window_length import Plan
from monitor.judgement.false_alarm_table import Choice, Row
from monitor.judgement.judge_stream import Accepted, Finding, Reference, State, follow
from monitor.judgement.profile_reference import Profile
from monitor.judgement.verdict import Verdict
from monitor.log_lines import lines
from monitor.summaries.summary import SLOT, Moments, Summary
from monitor.summaries.windows import DAY, HOUR, cut
from tests.unit.monitor.made_windows import MONDAY, STREAM, records, slots, summary

EACH = 60  # records in a slot, which is a quarter of an hour
PLAN = Plan(rows=200, longest=8 * HOUR, windows=168, deff=1.0, armed=True, days=7)
CHOICE = Choice(Row(168, 0.002, 2, 379), 90, 1)
NEXT = MONDAY + 7 * DAY


@cache
def reference() -> Accepted:
    week = slots(7 * 96, EACH, np.random.default_rng(1))
    full = cut(week, rows=PLAN.rows, at_most=PLAN.longest).full
    return Accepted.of(1, baseline.fit(full), PLAN)


def day(seed: int = 2, hours: int = 24, given: Mapping[str, Any] | None = None) -> list[Summary]:
    return list(_day(seed, hours, tuple((given or {}).items())))


@cache
def _day(seed: int, hours: int, given: tuple[tuple[str, Any], ...]) -> list[Summary]:
    return slots(4 * hours, EACH, np.random.default_rng(seed), start=NEXT, **dict(given))


def followed(
    new: Sequence[Summary],
    *,
    accepted: Accepted | None = None,
    state: State | None = None,
    profile: Profile | None = None,
    now: float = NEXT + DAY + HOUR,
) -> tuple[State, list[Finding]]:
    return follow(
        STREAM,
        new,
        state or State(),
        accepted=accepted or reference(),
        profile=profile,
        choice=CHOICE,
        now=now,
    )


def words(findings: Sequence[Finding]) -> list[Verdict | None]:
    return [finding.verdict for finding in findings if finding.reference is Reference.BASELINE]


def test_traffic_like_the_baseline_gives_the_verdict_ok() -> None:
    state, findings = followed(day())
    assert words(findings).count(Verdict.OK) >= 0.95 * len(findings)
    assert Verdict.NOTICE not in words(findings)
    assert (state.until, state.number) == (NEXT + DAY, 1)


def test_only_the_first_window_of_a_notice_is_marked_as_its_beginning() -> None:
    _, findings = followed(day(given={"prediction.label": "spam"}))
    assert words(findings)[:3] == [Verdict.UNUSUAL, Verdict.NOTICE, Verdict.NOTICE]
    assert [finding.begins for finding in findings[:4]] == [False, True, False, False]
    assert "share of the label" in findings[1].sentence
    assert ["accept a new baseline" in finding.sentence for finding in findings[:3]] == [
        False, True, False,
    ]  # fmt: skip


def test_a_notice_of_several_windows_is_reported_in_one_line() -> None:
    before, after = day(hours=8), day(hours=8)
    drifted = day(hours=16, given={"prediction.label": "spam"})
    drifted = [replace(part, start=part.start + 8 * HOUR) for part in drifted]
    after = [replace(part, start=part.start + 24 * HOUR) for part in after]
    _, findings = followed([*before, *drifted, *after], now=NEXT + 2 * DAY)
    (line,) = notices(findings)
    assert line.startswith("1970-01-12 08:00 to 1970-01-13 00:00, 16 unusual windows in a row: The")
    assert "share of the label" in line


def test_many_short_runs_give_the_same_findings_as_one_long_run() -> None:
    new = day(3, hours=24, given={"prediction.label": "spam"})
    whole_state, whole = followed(new)
    state, several = State(), []
    for at in range(1, len(new) + 1):
        state, found = followed(new[:at], state=state)
        several += found
    assert (state, several) == (whole_state, whole)


def test_many_short_runs_with_two_versions_give_the_same_findings_as_one_long_run() -> None:
    new = rollout(0.1, {"prediction.label": "spam"})
    whole_state, whole = followed(new)
    state, several = State(), []
    for at in range(1, len(new) // 2 + 1):
        state, found = followed(new[: 2 * at], state=state)
        several += found
    assert (state, several) == (whole_state, whole)


def test_a_repeated_run_finds_nothing_new() -> None:
    state, _ = followed(day())
    assert followed(day(), state=state) == (state, [])


def test_another_baseline_restarts_the_count_of_unusual_windows() -> None:
    state, _ = followed(day(hours=8, given={"prediction.label": "spam"}))
    other = replace(reference(), number=2)
    later = [
        replace(s, start=s.start + 8 * HOUR)
        for s in day(hours=2, given={"prediction.label": "spam"})
    ]
    after, findings = followed(later, accepted=other, state=state)
    assert words(findings)[0] is Verdict.UNUSUAL
    assert after.number == 2


def test_a_stream_without_a_baseline_gets_provisional_verdicts() -> None:
    _, findings = follow(
        STREAM, day(), State(), accepted=None, profile=None, choice=CHOICE, now=NEXT + 3 * DAY
    )
    assert set(words(findings)) == {Verdict.PROVISIONAL}
    assert "baseline accept" in findings[0].sentence


def test_a_provisional_baseline_gives_no_notice() -> None:
    weak = replace(reference(), armed=False, sentence="Provisional: 38 days.")
    _, findings = followed(day(given={"prediction.label": "spam"}), accepted=weak)
    assert set(words(findings)) == {Verdict.PROVISIONAL}
    assert findings[0].sentence.endswith("Provisional: 38 days.")


def test_a_weekday_that_the_baseline_lacks_gives_no_notice() -> None:
    without = replace(reference(), baseline=replace(reference().baseline, weekdays=(3, 4, 5, 6)))
    _, findings = followed(day(given={"prediction.label": "spam"}), accepted=without)
    assert set(words(findings)) == {Verdict.UNUSUAL}
    assert "does not cover this weekday" in findings[0].sentence


def test_windows_with_too_few_predictions_are_insufficient() -> None:
    few = [
        replace(s, start=NEXT + at * HOUR)
        for at, s in enumerate(slots(48, 3, np.random.default_rng(4)))
    ]
    _, findings = followed(few)
    assert set(words(findings)) == {Verdict.INSUFFICIENT}


def test_a_stream_without_predictions_is_called_stale_once_a_day() -> None:
    state, _ = followed(day(hours=8))
    late = NEXT + 2 * DAY
    state, findings = followed([], state=state, now=late)
    assert words(findings) == [Verdict.STALE]
    assert followed([], state=state, now=late + HOUR)[1] == []
    assert words(followed([], state=state, now=late + DAY)[1]) == [Verdict.STALE]


@pytest.mark.parametrize("count", [40, 42], ids=["at a window's end", "within a window"])
def test_a_stream_that_stops_is_stale_a_day_later(count: int) -> None:
    new = slots(count, 100, np.random.default_rng(5), start=NEXT)
    stopped, state, found = new[-1].end, State(), []
    for now in range(NEXT, stopped + 4 * DAY, SLOT):
        there = [slot for slot in new if slot.end <= now]
        state, findings = followed(there, state=state, now=now)
        found += [now for finding in findings if finding.verdict is Verdict.STALE]
    assert found[0] == stopped + DAY
    assert len({now // DAY for now in found}) == len(found) == 4


def test_a_stream_with_windows_of_a_day_is_not_stale_before_its_next_window() -> None:
    daily = replace(reference(), rows=EACH * 96 - 1, longest=DAY)
    new, state = slots(4 * 96, EACH, np.random.default_rng(6), start=NEXT), State()
    for now in range(NEXT, new[-1].end, SLOT):
        there = [slot for slot in new if slot.end <= now]
        state, findings = followed(there, accepted=daily, state=state, now=now + SLOT)
        assert Verdict.STALE not in words(findings)


def versioned(parts: Sequence[Summary], version: str) -> list[Summary]:
    return [replace(part, version=version) for part in parts]


def test_a_new_version_is_judged_only_by_signals_of_the_text() -> None:
    changed = versioned(day(given={"prediction.label": "spam", "input.sig.s3": 60}), "2")
    _, findings = followed(changed)
    assert Verdict.NOTICE not in words(findings)
    assert findings[0].text_alone
    assert "only signals of the text" in findings[0].sentence
    words_alone = versioned(day(given={"input.words": 5}), "2")
    assert Verdict.NOTICE in words(followed(words_alone)[1])


def rollout(
    share: float, given: Mapping[str, Any] | None = None, *, profile: str = "a profile"
) -> list[Summary]:
    """Return the slots of a day with two versions of a model.

    `share` is the share of version 2, whose predictions have the fields `given`.
    """
    chance, found = np.random.default_rng(9), []
    for at in range(96):
        newer = round(share * EACH)
        start = NEXT + at * SLOT
        found.append(summary(records(EACH - newer, chance), start))
        part = summary(records(newer, chance, **(given or {})), start, version="2")
        found.append(replace(part, profile=profile))
    return found


def compared(findings: Sequence[Finding]) -> list[Finding]:
    return [finding for finding in findings if finding.reference is Reference.VERSION]


ROLLOUTS: dict[str, tuple[float, dict[str, Any], str]] = {
    "half of the traffic, other scores": (0.5, {"prediction.score": 0.4}, "prediction.score"),
    "half of the traffic, other labels": (0.5, {"prediction.label": "spam"}, "share of the label"),
    "a tenth of the traffic, other labels": (
        0.1,
        {"prediction.label": "spam"},
        "share of the label",
    ),
    "a tenth of the traffic, other signature": (0.1, {"input.sig.s3": 60}, "input.sig.s3"),
}


@pytest.mark.parametrize(("share", "given", "moved"), ROLLOUTS.values(), ids=ROLLOUTS)
def test_both_versions_of_a_rollout_are_compared_over_the_same_time(
    share: float, given: dict[str, Any], moved: str
) -> None:
    _, findings = followed(rollout(share, given))
    assert Verdict.NOTICE not in words(findings)
    first, *others = compared(findings)
    assert {f.verdict for f in [first, *others]} == {Verdict.UNUSUAL}
    assert first.window.version == "2"
    assert first.drifts[0].signal.startswith(moved)
    assert "Version 2 compared with version 1 in the same windows: " + moved in first.sentence
    # The versions are compared as soon as both have 100 predictions, and not before.
    assert first.window.rows >= 100
    assert first.window.end - NEXT >= 100 / (share * EACH) * SLOT


def test_a_rollout_of_an_equal_model_gives_the_verdict_ok() -> None:
    found = compared(followed(rollout(0.1))[1])
    assert found
    assert {finding.verdict for finding in found} == {Verdict.OK}


def test_a_rollout_with_too_few_predictions_of_one_version_is_not_judged() -> None:
    assert compared(followed(rollout(0.017))[1]) == []  # 96 predictions of version 2


def test_after_a_deployment_the_new_version_is_compared_with_the_baseline() -> None:
    equal = compared(followed(versioned(day(), "2"))[1])
    assert [finding.verdict for finding in equal].count(Verdict.OK) >= 0.95 * len(equal) > 0
    changed = versioned(day(given={"prediction.label": "spam"}), "2")
    for finding in compared(followed(changed)[1]):
        assert finding.verdict is Verdict.UNUSUAL
        assert finding.number == 1
        assert "compared with the baseline of version 1: The share of the label" in finding.sentence


def test_fields_that_depend_on_a_profile_are_not_compared_between_profiles() -> None:
    given = {"input.sig.s3": 60, "input.novelty": 4.0}
    both = compared(followed(rollout(0.5, given, profile="another"))[1])
    alone = [replace(part, profile="another") for part in versioned(day(given=given), "2")]
    after = compared(followed(alone)[1])
    assert {finding.verdict for finding in both} == {Verdict.OK}
    assert Verdict.UNUSUAL not in {finding.verdict for finding in after[:3]}


def test_windows_are_compared_with_the_profile_that_their_records_name() -> None:
    profile = shipped_profile()
    assert profile
    named = [replace(part, profile=profile.id) for part in day(hours=4)]
    _, findings = followed(named, profile=profile)
    assert {f.verdict for f in findings if f.reference is Reference.PROFILE} == {Verdict.UNUSUAL}
    assert not [
        f for f in followed(day(hours=4), profile=profile)[1] if f.reference is Reference.PROFILE
    ]


def broken(part: Summary) -> Summary:
    moments = {
        name: replace(m, total=math.nan, squares=math.inf) for name, m in part.moments.items()
    }
    return replace(part, moments=moments)


def without_fields(part: Summary) -> Summary:
    return Summary(part.stream, part.version, part.start, part.seconds, part.profile, part.rows)


def many_labels(part: Summary) -> Summary:
    share = {
        name: Moments(3, 1.5, 1.0)
        for name in (f"prediction.probability.label {at}" for at in range(50))
    }
    return replace(part, moments=dict(part.moments) | share)


BAD: dict[str, Callable[[], list[Summary]]] = {
    "no slots": list,
    "sums that are not numbers": lambda: [broken(part) for part in day()],
    "no field at all": lambda: [without_fields(part) for part in day()],
    "half an hour is missing": lambda: [p for p in day() if not 2 <= (p.start // SLOT) % 8 < 4],
    "half a day is missing": lambda: [p for p in day() if (p.start // HOUR) % 24 < 12],
    "one slot in the future": lambda: [
        *day(hours=24), replace(day(hours=1)[0], start=NEXT + 400 * DAY)
    ],
    "slots without predictions": lambda: [replace(part, rows=0) for part in day()],
    "probabilities of 50 labels": lambda: [many_labels(part) for part in day()],
    "a field that two of three slots lack": lambda: [
        summary(
            records(EACH, np.random.default_rng(at), **({"input.novelty": None} if at % 3 else {})),
            NEXT + at * SLOT,
        )
        for at in range(96)
    ],
    "out of order and twice": lambda: [*reversed(day()), *day(hours=1)][:-4],
}  # fmt: skip


@pytest.mark.parametrize("made", BAD.values(), ids=BAD)
@pytest.mark.filterwarnings("error")
def test_bad_input_gives_no_notice(made: Callable[[], list[Summary]]) -> None:
    _, findings = followed(made(), profile=shipped_profile())
    assert Verdict.NOTICE not in words(findings)
    for finding in findings:
        for line in lines(finding, CHOICE):
            assert all(math.isfinite(n) for n in _numbers(line.fields))


POOR: dict[str, dict[str, Any]] = {
    "one label only": {"prediction.label": "ham"},
    "all scores equal": {"prediction.score": 0.9},
    "only label and score": dict.fromkeys(
        [
            name
            for name in records(1, np.random.default_rng(1))[0]
            if name not in {"prediction.label", "prediction.score"}
        ]
    ),
}


@pytest.mark.parametrize("given", POOR.values(), ids=POOR)
@pytest.mark.filterwarnings("error")
def test_records_with_few_fields_are_judged_by_these_fields(given: dict[str, Any]) -> None:
    full = cut(
        slots(7 * 96, EACH, np.random.default_rng(7), **given), rows=PLAN.rows, at_most=PLAN.longest
    ).full
    _, findings = followed(day(8, given=given), accepted=Accepted.of(1, baseline.fit(full), PLAN))
    assert Verdict.NOTICE not in words(findings)
    assert Verdict.OK in words(findings)


def test_a_state_survives_json() -> None:
    state, _ = followed(day(hours=8, given={"prediction.label": "spam"}))
    assert State.read(state.document()) == state
    assert State.read({}) == State()


def _numbers(value: object) -> list[float]:
    if isinstance(value, dict):
        return [n for one in value.values() for n in _numbers(one)]
    return [float(value)] if isinstance(value, int | float) else []
