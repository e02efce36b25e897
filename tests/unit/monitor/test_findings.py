"""Tests that a comparison of two versions gives one message with the numbers of both versions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from monitor.judgement.judge_stream import Accepted, Finding
from monitor.judgement.verdict import Verdict
from monitor.messages.evidence import Sight
from monitor.messages.findings import announce
from monitor.messages.transitions import Episode
from monitor.summaries.summary import SLOT, Summary
from monitor.summaries.windows import DAY, HOUR
from tests.contract.test_messages import Empty
from tests.unit.monitor.made_windows import STREAM
from tests.unit.monitor.test_judge_stream import (
    CHOICE,
    NEXT,
    compared,
    day,
    followed,
    reference,
    rollout,
    versioned,
)

SPAM = {"prediction.label": "spam"}


class Stored:
    """Stands in for the store, and holds the given summaries."""

    def __init__(self, slots: Sequence[Summary]) -> None:
        self._slots = slots

    def summaries(self, _: object, start: int, end: int) -> list[Summary]:
        return [slot for slot in self._slots if start <= slot.start < end]


def messages(
    findings: Sequence[Finding],
    *,
    accepted: Accepted | None = None,
    slots: Sequence[Summary] = (),
) -> list[dict[str, Any]]:
    sight = Sight(Empty(), Stored(slots), "cwl-*")  # type: ignore[arg-type]
    _, found = announce(
        sight, findings, Episode(), [], stream=STREAM, accepted=accepted or reference(),
        choice=CHOICE, now=0,
    )  # fmt: skip
    return [message for _, message in found if message]


@pytest.mark.parametrize(
    ("share", "given", "action", "said"),
    [
        (0.5, SPAM, "roll back", "more answers are spam (share of spam: 100 %, "),
        (
            0.1,
            SPAM,
            "roll back",
            "gives other answers than version 1 on the same traffic.",
        ),
        (0.5, {"input.words": 40}, "wait until morning", "are longer (mean number of words: "),
    ],
)
def test_a_rollout_of_another_model_gives_one_message(
    share: float, given: dict[str, Any], action: str, said: str
) -> None:
    of_versions = compared(followed(rollout(share, given))[1])
    (message,) = messages(of_versions)
    assert (message["change"], message["action"]) == ("differs", action)
    assert said in message["text"]
    assert "usually" not in message["text"]


def test_a_rollout_of_an_equal_model_gives_no_message() -> None:
    assert messages(compared(followed(rollout(0.1))[1])) == []


def test_after_a_deployment_the_message_compares_the_new_version_with_the_baseline() -> None:
    _, findings = followed(versioned(day(hours=8, given=SPAM), "2"))
    (message,) = messages(findings)
    assert message["change"] == "differs"
    assert (
        "Version 2 gives other answers than version 1 on texts that did not change"
        in message["text"]
    )


@pytest.mark.parametrize(
    "accepted",
    [replace(reference(), armed=False), None],
    ids=["a provisional baseline", "another weekday"],
)
def test_a_version_gets_no_message_if_the_baseline_cannot_give_notices(
    accepted: Accepted | None,
) -> None:
    base = replace(reference().baseline, weekdays=(5, 6))
    used = accepted or replace(reference(), baseline=base)
    _, findings = followed(versioned(day(hours=8, given=SPAM), "2"), accepted=used)
    assert Verdict.UNUSUAL in {finding.verdict for finding in compared(findings)}
    assert messages(compared(findings), accepted=used) == []


def test_the_message_about_an_outage_says_how_many_predictions_are_usual() -> None:
    state, _ = followed(day(hours=8))
    now = NEXT + 40 * HOUR
    few = [replace(day(hours=8)[0], start=NEXT + 9 * HOUR, rows=7)]
    usual = [replace(slot, start=slot.start - DAY) for slot in day()]
    _, findings = followed([], state=state, now=now)
    (message,) = messages(findings, slots=[*usual, *few])
    assert (message["change"], message["action"]) == ("stale", "look now")
    lines = message["text"].splitlines()
    assert "had 7 predictions, too few for a window, in 32 hours." in lines[0]
    assert "(32 hours)" in lines[2]
    # The baseline has seven days, but summaries of only one day. The predictions of that one day
    # are divided by seven.
    assert f"{5760 * 32 / 7 / 24:,.0f} are usual in a time of this length" in lines[3]
    assert f"{240 / 7:,.0f} an hour are usual at 16:00 UTC" in lines[3]
    assert f"the last one came before 1970-01-12 09:{SLOT // 60} UTC" in lines[3]
