"""Plays a short drill in a stack of its own.

A drill is a story: several situations, one after the other. A situation is some hours of traffic,
with or without a change, and the expected reaction of the monitor.
"""

from __future__ import annotations

import pytest

from drill import __main__ as command
from drill import play_story
from drill.story import Expected, Situation
from tools.ports import free_port

STORY = (
    Situation("a quiet time", 6, Expected.QUIET),
    Situation("a new customer", 8, Expected.NOTICE, "customer", (0.5, 0.5)),
    Situation("swapped labels", 2, Expected.CANARY, share=(1, 1), version="b", swapped=True),
    Situation("no change, with a wrong expectation", 2, Expected.NOTICE),
)


def test_a_drill_prints_a_table_and_fails_if_an_expectation_is_not_met(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in (("AN_HOUR", 60), ("USUAL", 600), ("EACH", 100)):
        monkeypatch.setattr(play_story, name, value)
    monkeypatch.setattr(command, "STORY", STORY)
    monkeypatch.setenv("API_PORT", str(free_port()))
    monkeypatch.setenv("OPENSEARCH_PORT", str(free_port(range(9210, 9299))))
    assert command.main([]) == 1
    printed = capsys.readouterr().out
    lines = [line for line in printed.splitlines() if any(one.name in line for one in STORY)]
    ends = [line.split()[-1] for line in lines if not line.startswith("│")]
    assert ends == ["yes", "yes", "yes", "NO"], printed
    assert "The predictions have changed" in lines[1]
    assert "The model answers its test sentences wrongly" in lines[2]
