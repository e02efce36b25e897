"""Tests commands that come as events, and the times in which messages are silenced."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest

from monitor.baseline_commands import Reach
from monitor.command_line import remote
from monitor.messages.muting import Kind, Silence, in_force, silencing

NOWHERE = Reach(cast("Any", None), cast("Any", None), "cwl-*", "stack", 90)
SOON = f"{datetime.now(UTC) + timedelta(days=1):%Y-%m-%dT%H:%M}"
FAR = f"{datetime.now(UTC) + timedelta(days=60):%Y-%m-%d}"
WHO = "--by anna --reason because"


@pytest.mark.parametrize(
    ("command", "code", "said"),
    [
        (f"mute {WHO}", 2, "the following arguments are required: --until"),
        (
            f"mute --until tomorrow {WHO}",
            2,
            "'tomorrow' is not a time: write it as 2026-11-24T08:00",
        ),
        (f"mute --until 2020-01-01 {WHO}", 1, "--until is in the past (2020-01-01 00:00 UTC)"),
        (f"mute --until {FAR} {WHO}", 1, "a silence lasts at most 31 days"),
        (f"mute --until {SOON} --by anna", 2, "required: --reason"),
        (f"mute --until {SOON} --reason because", 2, "required: --by"),
        (f"mute --until {SOON} --by '' --reason x", 2, "a name has 1 to 200 characters"),
        (f"mute --until {SOON} --by anna --reason ' '", 2, "a reason has 1 to 500 characters"),
        (f"expect --from 2020-01-01 --to 2020-01-02 {WHO}", 1, "--to is in the past"),
        (f"expect --from {FAR} --to {SOON} {WHO}", 1, "--from is not before --to"),
        (f"expect --to {SOON} {WHO}", 2, "required: --from"),
        ("baseline use 1", 2, "required: --by"),
        ("baseline accept --from 2026-11-01 --to 2026-11-07", 2, "required: --by"),
        ("judge", 2, "invalid choice: 'judge'"),
        ("show --opensearch https://elsewhere", 2, "unrecognized arguments: --opensearch"),
        ("show --stack another", 2, "unrecognized arguments: --stack"),
        ("show --user admin", 2, "unrecognized arguments: --user"),
        ("show 'a", 2, "check its quotation marks"),
        ({"mute": True}, 2, "a command is a text, or a list of texts"),
        (["mute", 1], 2, "a command is a text, or a list of texts"),
        (None, 2, "a command is a text, or a list of texts"),
        ("", 2, "required: command"),
    ],
)
def test_a_refused_command_gives_one_sentence(command: Any, code: int, said: str) -> None:
    answer = remote(command, NOWHERE)
    assert answer["code"] == code
    assert len(answer["said"]) == 1
    assert said in answer["said"][0]


def silence(kind: Kind, start: int, end: int, decided: int = 0) -> Silence:
    return Silence(kind, start, end, "anna", kind, decided)


MUTE = silence(Kind.MUTE, 100, 200)
EXPECT = silence(Kind.EXPECT, 300, 400)
UNMUTE = silence(Kind.UNMUTE, 150, 150, 150)


@pytest.mark.parametrize(
    ("silences", "start", "end", "now", "held"),
    [
        ([], 0, 10, 10, None),
        ([MUTE], 90, 100, 150, MUTE),  # a window before the silence, judged during the silence
        ([MUTE], 190, 210, 250, MUTE),  # a window partly in the silence, judged after the silence
        ([MUTE], 200, 300, 300, None),
        ([MUTE], 0, 100, 90, None),
        ([EXPECT], 350, 360, 1000, EXPECT),
        ([EXPECT], 0, 10, 20, None),
        ([MUTE, UNMUTE], 110, 120, 160, None),
        (
            [MUTE, UNMUTE, silence(Kind.MUTE, 160, 170, 160)],
            160,
            165,
            165,
            silence(Kind.MUTE, 160, 170, 160),
        ),
        ([MUTE, silence(Kind.EXPECT, 100, 500)], 150, 160, 160, silence(Kind.EXPECT, 100, 500)),
    ],
)
def test_if_several_silences_cover_a_window_the_one_that_ends_last_is_returned(
    silences: list[Silence], start: int, end: int, now: int, held: Silence | None
) -> None:
    assert silencing(silences, start, end, now) == held
    assert [Silence.read(one.document()) for one in silences] == silences


@pytest.mark.parametrize(
    ("silences", "now", "held"),
    [
        ([], 50, []),
        ([MUTE], 150, [MUTE]),
        ([MUTE, EXPECT], 250, [EXPECT]),  # EXPECT has not begun yet
        ([MUTE, EXPECT], 400, []),
        ([MUTE, UNMUTE, EXPECT], 160, []),
        ([UNMUTE, silence(Kind.EXPECT, 300, 400, 160)], 170, [silence(Kind.EXPECT, 300, 400, 160)]),
    ],
)
def test_unmute_ends_running_and_future_silences(
    silences: list[Silence], now: float, held: list[Silence]
) -> None:
    assert in_force(silences, now) == held
