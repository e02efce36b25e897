"""Tests the weekly digest: the message about a stream that cannot give notices."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from monitor.judgement.judge_stream import Accepted
from monitor.messages import weekly_digest
from monitor.messages.evidence import Sight
from monitor.messages.findings import announce
from monitor.messages.message import LINES
from monitor.messages.transitions import Episode
from monitor.messages.weekly_digest import MONDAY, MORNING, WEEK
from monitor.summaries.summary import Summary
from monitor.summaries.windows import DAY
from tests.unit.monitor.made_windows import STREAM, slots
from tests.unit.monitor.test_judge_stream import CHOICE, reference

AT = MONDAY + 10 * WEEK  # a Monday, at midnight
SEEN = Episode(digest=AT - WEEK)


@pytest.mark.parametrize(
    ("episode", "armed", "now", "week"),
    [
        (SEEN, False, AT + MORNING, (AT - WEEK, AT)),
        (SEEN, False, AT + MORNING - 1, None),  # too early on Monday
        (SEEN, False, AT + 3 * DAY, (AT - WEEK, AT)),  # the monitor did not run on Monday
        (SEEN, True, AT + MORNING, None),
        (Episode(), False, AT + MORNING, None),  # a stream that was not seen before
        (replace(SEEN, digest=AT), False, AT + 6 * DAY, None),
    ],
)
def test_a_digest_is_due_once_a_week_but_not_before_monday_morning(
    episode: Episode, armed: bool, now: int, week: tuple[int, int] | None
) -> None:
    accepted = replace(reference(), armed=armed)
    after, found = weekly_digest.due(episode, accepted, now)
    assert found == week
    assert weekly_digest.due(after, accepted, now) == (after, None)  # one digest a week


class Server:
    """An OpenSearch that finds nothing."""

    def perform_request(self, *_: object, **__: object) -> tuple[int, object, str]:
        return 200, {}, '{"timed_out": false, "_shards": {"failed": 0}}'


class Kept:
    """A store with summaries."""

    def __init__(self, several: list[Summary]) -> None:
        self._several = several

    def summaries(self, _: object, start: int, end: int) -> list[Summary]:
        return [one for one in self._several if start <= one.start < end]


def messages(kept: list[Summary], accepted: Accepted | None) -> list[dict[str, Any]]:
    sight = Sight(Server(), Kept(kept), "cwl-*")  # type: ignore[arg-type]
    _, found = announce(
        sight, [], SEEN, [], stream=STREAM, accepted=accepted, choice=CHOICE, now=AT + MORNING
    )
    return [message for _, message in found if message]


def test_a_digest_has_the_numbers_of_two_weeks() -> None:
    chance = np.random.default_rng(3)
    nine: dict[str, Any] = {"input.words": 9}
    greek: dict[str, Any] = {"input.words": 5, "input.script": "greek"}
    kept = [
        *slots(4, 30, chance, start=AT - 2 * WEEK, **nine),
        *slots(4, 10, chance, start=AT - 2 * DAY, **greek),
    ]
    (message,) = messages(kept, None)
    lines = message["text"].splitlines()
    assert lines[0].startswith("WEEKLY DIGEST of a-model in /aws/lambda/one: 40 predictions")
    assert message["action"] == "nothing"
    assert "No baseline is accepted" in message["text"]
    assert "Predictions: 40 (the week before: 120)." in lines
    assert "Scripts: greek 100 %, before 0 %." in lines
    assert any("number of words in a text 5, before 9" in line for line in lines)
    assert len(lines) <= LINES
    assert messages(kept, replace(reference(), armed=True)) == []


def test_only_the_first_of_two_weeks_without_predictions_gives_a_digest() -> None:
    kept = slots(4, 30, np.random.default_rng(3), start=AT - 2 * WEEK)
    (message,) = messages(kept, None)
    assert "There was no prediction in this week." in message["text"]
    assert messages([], None) == []
