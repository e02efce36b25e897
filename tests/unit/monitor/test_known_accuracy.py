"""Tests how known accuracy is followed from run to run, and the messages about it.

Known accuracy is computed from right labels, which people or programs send as feedback.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from monitor.accuracy.accuracy_message import AccuracyFacts, compose_accuracy
from monitor.accuracy.intervals import (
    CANNOT_SEE,
    NO_ESTIMATE,
    Accuracy,
    Card,
    Estimate,
    Interval,
    Labelled,
    Tally,
)
from monitor.accuracy.known_accuracy import (
    Remembered,
    estimated,
    known,
    overlapping,
    unlike_profile,
)
from monitor.judgement.judge_stream import Finding, Reference
from monitor.judgement.verdict import Verdict
from monitor.log_lines import lines
from monitor.messages.message import LINES, LONGEST, Action, Canary, Deployment, Message
from monitor.messages.transitions import Change
from monitor.summaries.summary import Moments, Summary
from tests.contract.test_monitor_records import BY_POWERTOOLS, SCHEMA
from tests.unit.monitor.made_windows import STREAM
from tests.unit.monitor.test_judge_stream import CHOICE

CARD = Card(STREAM.model, "1", "a profile", Interval(0.75, 0.81), 600)
SPAN = (1_795_000_500, 1_797_592_500)
NOT_YET = Remembered()


def labelled(right: int, count: int = 200, *, audit: bool = True) -> Labelled:
    one = Tally(count, right, 0.78)
    wrong = count - right
    return Labelled(
        one, one if audit else Tally(), {"ham": {"ham": right}, "spam": {"ham": wrong}}, rows=4000
    )


def step(
    before: Remembered, right: int, *, version: str = "1", silenced: bool = False, **given: Any
) -> tuple[Remembered, list[tuple[Finding, Change | None]]]:
    found = {version: labelled(right, **given)}
    return known(STREAM, found, CARD, before, span=SPAN, silenced=silenced)


def changes(*runs: tuple[int, bool]) -> list[Change | None]:
    """For each run, return the change that its message reports, or None if it sends no message.

    A run is the number of right answers among 200, and whether messages are silenced.
    """
    before, told = NOT_YET, []
    for right, silenced in runs:
        before, news = step(before, right, silenced=silenced)
        told.append(next((change for _, change in news if change), None))
    return told


LOW, BACK = Change.INACCURATE, Change.ACCURATE


@pytest.mark.parametrize(
    ("runs", "told"),
    [
        ([(156, False), (157, False)], [None, None]),
        ([(120, False), (121, False)], [LOW, None]),
        ([(120, False), (148, False), (151, False)], [LOW, None, BACK]),  # 148 are too few
        ([(120, True), (120, True), (120, False)], [None, None, LOW]),  # sent after the silence
        # accuracy is high enough again before the silence ends
        ([(120, True), (156, True), (156, False)], [None, None, None]),
        ([(120, False), (156, True), (156, False)], [LOW, None, BACK]),
    ],
)
def test_people_get_one_message_when_accuracy_falls_and_one_when_accuracy_is_back(
    runs: list[tuple[int, bool]], told: list[Change | None]
) -> None:
    assert changes(*runs) == told


@given(st.lists(st.tuples(st.integers(80, 200), st.booleans()), max_size=30))
def test_messages_alternate_between_too_low_and_high_enough(runs: list[tuple[int, bool]]) -> None:
    told = [change for change in changes(*runs) if change]
    assert told[:1] in ([], [LOW])
    assert all(one is not other for one, other in pairwise(told))


def test_a_version_that_the_card_no_longer_names_gets_no_message() -> None:
    before, _ = step(NOT_YET, 120)
    card = replace(CARD, version="2")
    after, news = known(STREAM, {"1": labelled(121)}, card, before, span=SPAN, silenced=False)
    ((finding, change),) = news
    assert (finding.verdict, change) == (Verdict.OK, None)
    assert (after.low, after.told) == ((), ())


def test_too_few_labels_give_no_message() -> None:
    before, _ = step(NOT_YET, 120, silenced=True)
    after, news = step(before, 60, count=99)
    assert [change for _, change in news] == [None]
    assert [change for _, change in step(after, 120)[1]] == [Change.INACCURATE]


def test_the_last_result_is_kept_while_at_least_half_of_the_needed_labels_are_left() -> None:
    before, _ = step(NOT_YET, 120)
    # All answers are right. A new result needs 100 labels, and there are only 50.
    held, news = step(before, 50, count=50)
    assert (held.low, held.told, [change for _, change in news]) == (("1",), ("1",), [None])
    gone, news = step(held, 49, count=49)
    assert (gone.low, gone.told, [change for _, change in news]) == ((), (), [None])
    assert [change for _, change in step(gone, 120)[1]] == [Change.INACCURATE]


def test_a_version_gets_a_finding_only_if_its_counts_of_labels_changed() -> None:
    before, news = step(NOT_YET, 156)
    ((finding, change),) = news
    assert (finding.verdict, finding.reference, change) == (Verdict.OK, Reference.LABELS, None)
    assert finding.window.rows == 4000
    assert step(before, 156)[1] == []
    assert Remembered.read({"accuracy": before.document()}) == before
    assert len(step(before, 157)[1]) == 1


@pytest.mark.parametrize(
    ("given", "verdict", "said"),
    [
        ({"right": 120}, Verdict.NOTICE, "This is below the expected accuracy of 0.750 to 0.810"),
        ({"right": 156}, Verdict.OK, "This agrees with the expected accuracy of 0.750 to 0.810"),
        ({"right": 199}, Verdict.OK, "This is above the expected accuracy of 0.750 to 0.810"),
        ({"right": 20, "count": 60}, Verdict.INSUFFICIENT, "needs 100 labels"),
        ({"right": 20, "version": "other"}, Verdict.OK, "no card of this version"),
        ({"right": 150, "audit": False}, Verdict.OK, "The labels are not a random sample"),
    ],
)
def test_the_verdict_and_its_sentence_agree_with_the_labels(
    given: dict[str, Any], verdict: Verdict, said: str
) -> None:
    ((finding, _),) = step(NOT_YET, **given)[1]
    assert finding.verdict is verdict
    assert said in finding.sentence
    (line,) = lines(finding, CHOICE)
    Draft202012Validator(SCHEMA).validate(BY_POWERTOOLS | {"message": "verdict"} | line.fields)
    count = given.get("count", 200)
    assert line.fields["monitor"]["accuracy"]["labelled"] == count
    assert line.fields["monitor"]["accuracy"]["random"] is (
        given.get("audit", True) and count >= 100
    )
    assert line.fields["monitor"]["accuracy"]["coverage"] == count / 4000


WINDOW = Summary(
    STREAM, "1", SPAN[0], profile="a profile", rows=100,
    moments={"prediction.score": Moments(100, 78.0, 62.0)},
)  # fmt: skip


@pytest.mark.parametrize(
    ("verdict", "window", "card", "share", "said"),
    [
        (Verdict.OK, WINDOW, CARD, 0.78, CANNOT_SEE),
        (Verdict.UNUSUAL, WINDOW, CARD, None, NO_ESTIMATE),
        (Verdict.OK, replace(WINDOW, profile="another"), CARD, None, ""),
        (Verdict.OK, replace(WINDOW, moments={}), CARD, None, ""),
        (Verdict.OK, WINDOW, None, None, ""),
    ],
)
def test_only_a_window_like_the_profile_has_an_estimate(
    verdict: Verdict, window: Summary, card: Card | None, share: float | None, said: str
) -> None:
    finding = Finding(Reference.PROFILE, window, verdict, "No signal is unusual.")
    other = replace(finding, reference=Reference.BASELINE)
    found, same = estimated([finding, other], card)
    assert same == other
    assert found.sentence.endswith(said or finding.sentence)
    assert (
        found.accuracy.estimate.share if found.accuracy and found.accuracy.estimate else None
    ) == share
    for line in lines(found, CHOICE):
        Draft202012Validator(SCHEMA).validate(BY_POWERTOOLS | {"message": "verdict"} | line.fields)
        assert ("accuracy" in line.fields["monitor"]) is (share is not None)
    assert unlike_profile([found], NOT_YET).unlike is (verdict is Verdict.UNUSUAL)
    assert unlike_profile([same], Remembered(unlike=True)).unlike


@pytest.mark.parametrize(
    ("start", "found"), [(-900, False), (-899, True), (899, True), (900, False)]
)
def test_two_findings_overlap_if_their_windows_have_some_time_in_common(
    start: int, found: bool
) -> None:
    profile = Finding(Reference.PROFILE, WINDOW, Verdict.UNUSUAL, "")
    version = replace(profile, window=replace(WINDOW, start=WINDOW.start + start))
    assert (overlapping([profile], version) == [profile]) is found


def message(right: int = 120, change: Change = LOW, **given: Any) -> Message:
    one = given.pop("labelled", labelled(right))
    accuracy = Accuracy(
        one, Estimate(0.78, Interval(0.74, 0.82), 4000), expected=Interval(0.75, 0.81)
    )
    return compose_accuracy(AccuracyFacts(STREAM, change, "1", *SPAN, accuracy, **given))


@pytest.mark.parametrize(
    ("given", "action", "said"),
    [
        ({}, Action.WAIT, "No other version is known to answer better"),
        ({"canary": Canary(passed=False, at=SPAN[1])}, Action.ROLL_BACK, "The canary fails"),
        (
            {"canary": Canary(passed=False, at=SPAN[1], compared=False)},
            Action.WAIT,
            "got no comparable answer",
        ),
        ({"others": {"0": labelled(156)}}, Action.ROLL_BACK, "version 0 answers better"),
        ({"others": {"0": labelled(125)}}, Action.WAIT, "0 0.62"),
        ({"right": 46}, Action.ROLL_BACK, "exchanged, the accuracy would be 0.77"),
        ({"labelled": labelled(0, audit=False)}, Action.WAIT, "not a random sample"),
        ({"unread": {"canary": "status 503"}}, Action.WAIT, "canary's result could not be read"),
        ({"unlike": True}, Action.WAIT, "Estimated accuracy: none. The texts are unlike"),
        ({"labelled": labelled(120, audit=False)}, Action.WAIT, "predictions is 0.78, computed"),
        ({"change": BACK, "right": 156}, Action.NOTHING, "ACCURACY IS BACK"),
    ],
)  # fmt: skip
def test_the_message_says_what_to_do_and_shows_the_labels(
    given: dict[str, Any], action: Action, said: str
) -> None:
    found = message(**given)
    text = found.text.splitlines()
    assert found.action is action
    assert text[1].startswith(f"WHAT TO DO NOW: {action.upper()}. ")
    assert said in found.text
    assert found.text.count("Estimated accuracy: ") == 1


def test_messages_about_two_versions_or_of_two_runs_have_different_ids() -> None:
    accuracy = Accuracy(labelled(120))
    ids = {
        compose_accuracy(AccuracyFacts(STREAM, LOW, version, SPAN[0], end, accuracy)).id
        for version in ("1", "2")
        for end in SPAN
    }
    assert len(ids) == 4


@given(st.text(max_size=200), st.text(max_size=200), st.text(max_size=400))
def test_the_message_has_short_plain_lines_for_any_names(
    version: str, label: str, reason: str
) -> None:
    one = replace(labelled(46), confusion={label: {"ham": 80}, "ham": {label: 74, "ham": 46}})
    found = message(
        labelled=one,
        others={version: labelled(156), "8": labelled(90), "9": labelled(90)},
        unlike=True,
        canary=Canary(passed=True, at=SPAN[1]),
        deployment=Deployment("model version", version, SPAN[0]),
        links={"These predictions": "https://a", "Dashboard": "https://b"},
        unread={"deployment": reason},
    )
    said = found.text.removesuffix("\n").split("\n")
    assert len(said) <= LINES
    assert all(line.isprintable() and len(line) <= LONGEST for line in said)
    assert found.subject.isascii()
    fields = SCHEMA["properties"]["monitor"]["properties"]["message"]["properties"]
    for name in ("id", "subject", "text"):
        Draft202012Validator(fields[name]).validate(getattr(found, name))
