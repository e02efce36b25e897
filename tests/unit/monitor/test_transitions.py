"""Tests that each transition is found once, for any order of verdicts.

A transition, such as the beginning of a notice, causes a message.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.judgement.judge_stream import Drift, Finding, Reference
from monitor.judgement.verdict import Verdict
from monitor.messages.transitions import Change, Episode, Transition, advance
from monitor.summaries.summary import Summary
from monitor.summaries.windows import HOUR
from tests.unit.monitor.made_windows import MONDAY, STREAM

IN_A_ROW = 3
WORDS = {
    "-": (Verdict.OK, ()),
    "m": (Verdict.UNUSUAL, ("means",)),
    "M": (Verdict.NOTICE, ("means",)),
    "B": (Verdict.NOTICE, ("means", "label")),
    "L": (Verdict.NOTICE, ("label",)),
    "i": (Verdict.INSUFFICIENT, ()),
    "p": (Verdict.PROVISIONAL, ()),
    "s": (Verdict.STALE, ()),
}


def finding(word: str, at: int, number: int = 1) -> Finding:
    verdict, signals = WORDS[word]
    window = Summary(STREAM, "1", MONDAY + at * HOUR, HOUR, rows=800)
    drifts = tuple(
        Drift(name, 1e-9 * (place + 1), 1.0, 1e-3, 0.3, "a part", 2.0, 1.0, unusual=True)
        for place, name in enumerate(signals)
    )
    return Finding(Reference.BASELINE, window, verdict, "", drifts, number)


def transitions_of(
    words: str,
    *,
    silenced: str = "",
    odd: str = "",
    numbers: str = "",
    episode: Episode | None = None,
) -> list[tuple[int, Transition]]:
    """Return the transitions of consecutive windows, each with the position of its window.

    Each character of `words` is the verdict of a window (see `WORDS`). An x in `silenced` marks
    a window in which messages are muted. An x in `odd` marks a window on a weekday that the
    baseline lacks. `numbers` has the baseline's number for each window.
    """
    episode, found = episode or Episode(), []
    for at, word in enumerate(words):
        episode, transition = advance(
            Episode.read({"episode": episode.document()}),  # stored and read again
            finding(word, at, int(numbers[at]) if numbers else 1),
            in_a_row=IN_A_ROW,
            silenced=silenced[at : at + 1] == "x",
            odd=odd[at : at + 1] == "x",
        )
        if transition:
            found.append((at, transition))
    return found


@pytest.mark.parametrize(
    ("words", "changes"),
    [
        ("-----", []),
        ("-mm---", []),  # unusual windows without a notice
        ("mmMMMM", [(2, "begins")]),
        ("mmMM----", [(2, "begins"), (6, "recovers")]),
        ("mmM--M--M", [(2, "begins")]),  # two usual windows are no recovery
        ("mmM---mmM", [(2, "begins"), (5, "recovers"), (8, "begins")]),
        ("mmMMBBB", [(2, "begins"), (6, "spreads")]),  # a second signal in three windows
        ("mmMMBMBMB", [(2, "begins")]),  # a signal that comes and goes
        ("mmMMBBBBBB", [(2, "begins"), (6, "spreads")]),
        ("mmBLLL", [(2, "begins")]),  # the first message has both signals
        ("mmMiiiM", [(2, "begins")]),  # insufficient windows change nothing
        ("mmM--i-", [(2, "begins"), (6, "recovers")]),
        ("--s", [(2, "stale")]),
        ("--sss", [(2, "stale")]),
        ("--s-", [(2, "stale"), (3, "resumes")]),
        ("mmMsM", [(2, "begins"), (3, "stale"), (4, "resumes")]),
        ("pppppp", []),
    ],
)
def test_each_transition_is_found_once(words: str, changes: list[tuple[int, str]]) -> None:
    assert [(at, str(one.change)) for at, one in transitions_of(words)] == changes


def test_a_new_notice_has_its_signals_and_the_start_of_the_first_unusual_window() -> None:
    ((_, begun),) = transitions_of("-mB")
    assert begun.signal == "means"
    assert begun.others == ("label",)
    assert begun.since == MONDAY + HOUR


def test_a_silenced_notice_begins_again_after_the_silence() -> None:
    found = transitions_of("mmMMMMM", silenced="xxxxx")
    assert [(at, str(one.change), one.late) for at, one in found] == [
        (2, "begins", False),
        (5, "begins", True),
    ]
    assert found[1][1].since == found[0][1].since


@pytest.mark.parametrize(
    ("words", "silenced", "changes"),
    [
        ("mmMM---", "xxxxxxx", ["begins"]),  # the notice was not sent, so its end is not reported
        ("mmMM---", "xxxx   ", ["begins"]),
        ("mmM--s", "xxxxxx", ["begins"]),
        ("mmMBBBBB", "   xxxx ", ["begins", "spreads"]),
    ],
)
def test_during_a_silence_only_the_beginning_of_a_notice_is_found(
    words: str, silenced: str, changes: list[str]
) -> None:
    assert [str(one.change) for _, one in transitions_of(words, silenced=silenced)] == changes


def test_another_baseline_closes_a_notice() -> None:
    found = transitions_of("mmMMMmmM", numbers="11112222")
    assert [(at, str(one.change)) for at, one in found] == [
        (2, "begins"),
        (4, "replaced"),
        (7, "begins"),
    ]


def test_a_missing_weekday_is_reported_once_until_another_baseline_is_accepted() -> None:
    found = transitions_of("mmmmmm--mmmmmmmm", odd="xxxxxxxxxxxxxxxx", numbers="1111111111122222")
    assert [(at, str(one.change)) for at, one in found] == [(2, "weekday"), (11, "weekday")]
    assert found[0][1].since == MONDAY


def compared(
    words: str, *, silenced: str = "", odd: bool = False, hours: int = 1
) -> list[tuple[int, Transition]]:
    """Compare two versions, and return each transition with the position of its comparison.

    In `words`, d is an unusual comparison, = is a usual comparison, and a dot is an hour without a
    comparison. A comparison begins every hour, and covers `hours` hours.
    """
    episode, found = Episode(), []
    for at, word in enumerate(words):
        if word == ".":
            continue
        one = finding("m" if word == "d" else "-", at)
        window = replace(one.window, version="2", seconds=hours * HOUR)
        one = replace(one, reference=Reference.VERSION, window=window)
        episode, transition = advance(
            Episode.read({"episode": episode.document()}),
            one,
            in_a_row=IN_A_ROW,
            silenced=silenced[at : at + 1] == "x",
            odd=odd,
        )
        if transition:
            found.append((at, transition))
    return found


@pytest.mark.parametrize(
    ("words", "given", "changes"),
    [
        ("======", {}, []),
        ("dd=dd=", {}, []),
        ("dddddd", {}, [(2, "differs")]),
        ("ddd==d===", {}, [(2, "differs"), (8, "agrees")]),
        ("ddd===ddd", {}, [(2, "differs"), (5, "agrees"), (8, "differs")]),
        ("dddddd", {"odd": True}, []),  # the older version's baseline lacks this weekday
        ("ddddddd", {"hours": 2}, [(4, "differs")]),  # each window overlaps half of the next
        ("dd" + "." * 23 + "d", {}, [(25, "differs")]),
        ("dd" + "." * 24 + "dd", {}, []),  # after more than a day, the count starts again
        ("dddddd", {"silenced": "xxxxx"}, [(5, "differs")]),
        ("ddd=====", {"silenced": "xxxxxxxx"}, []),
    ],
)
def test_each_change_from_agreement_to_difference_or_back_is_found_once(
    words: str, given: dict[str, Any], changes: list[tuple[int, str]]
) -> None:
    found = compared(words, **given)
    assert [(at, str(one.change)) for at, one in found] == changes
    assert all(one.late is ("silenced" in given) for _, one in found)
    assert all(one.since == MONDAY for _, one in found[:2])


def test_versions_that_differ_in_the_same_window_get_separate_messages() -> None:
    ((_, one),) = compared("ddd")
    other = replace(one, version="3")
    assert one.version == "2"
    assert one.key(STREAM) != other.key(STREAM)


def test_a_comparison_with_the_profile_of_the_model_makes_no_transition() -> None:
    of_profile = replace(finding("M", 0), reference=Reference.PROFILE)
    episode = Episode(run={"means": 2}, begun=1)
    assert advance(episode, of_profile, in_a_row=1, silenced=False) == (episode, None)


@given(st.text(alphabet="-mMBLips", max_size=60), st.text(alphabet="x ", max_size=60))
def test_ids_of_transitions_differ_and_each_recovery_follows_a_notice(
    words: str, silenced: str
) -> None:
    found = transitions_of(words, silenced=silenced)
    ids = [one.key(STREAM) for _, one in found]
    assert len(set(ids)) == len(ids)
    is_open = False
    for _, one in found:
        if one.change is Change.BEGINS:
            is_open = True
        elif one.change in {Change.SPREADS, Change.RECOVERS}:
            assert is_open
            is_open = one.change is Change.SPREADS


def test_a_repeated_run_makes_the_same_ids() -> None:
    once, twice = transitions_of("mmMM---"), transitions_of("mmMM---")
    assert [one.key(STREAM) for _, one in once] == [one.key(STREAM) for _, one in twice]
    other = replace(STREAM, model="another")
    assert once[0][1].key(STREAM) != once[0][1].key(other)
