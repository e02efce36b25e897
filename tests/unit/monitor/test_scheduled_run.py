"""Tests scheduled runs in which a stream cannot be judged, or a baseline cannot grow."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from monitor import baseline_commands
from monitor import scheduled_run as schedule
from monitor.accuracy.gather_feedback import Gathered
from monitor.accuracy.known_accuracy import Remembered
from monitor.baselines.baseline import BaselineUnreadable
from monitor.judgement.false_alarm_table import choose
from monitor.judgement.judge_stream import State
from monitor.log_lines import Line
from monitor.messages.evidence import Sight
from monitor.opensearch_problem import ServerProblem
from monitor.scheduled_run import Run, growth, run
from monitor.summaries.store import Conflict, Found, Kind
from monitor.summaries.summary import Stream, Summary
from monitor.summaries.windows import DAY, HOUR
from tests.unit.monitor.made_windows import MONDAY, STREAM, records, summary
from tests.unit.monitor.test_growing_baseline import accepted
from tests.unit.monitor.test_messenger import Context

UNTOLD = {"record_version": 1, "monitor": {"message": {"id": "0" * 32}}}
NOW = MONDAY + 9 * DAY


class Kept:
    """A store in memory that holds only the stream's state."""

    def __init__(self, state: Mapping[str, Any]) -> None:
        self.state = Found({**state, "log_group": STREAM.log_group}, (1, 1))
        self.read: list[tuple[int, int]] = []

    def documents(self, kind: Kind, *_: Any) -> list[Found]:
        return [self.state] if kind is Kind.STATE else []

    def counts(self, *_: Any) -> dict[int, int]:
        return {}

    def summaries(self, _: Stream, start: int, end: int) -> list[Summary]:
        self.read.append((start, end))
        return []

    def aggregate(self, _: Mapping[str, Any]) -> dict[str, Any]:
        return {}

    def put_state(
        self, _: Stream, content: Mapping[str, Any], version: tuple[int, int] | None
    ) -> tuple[int, int]:
        if version != self.state.version:
            raise Conflict
        self.state = Found(dict(content), (version[0] + 1, 1))
        return self.state.version


def judged(kept: Kept, told: list[Line]) -> Run:
    nothing, store = cast("Any", None), cast("Any", kept)
    return run(
        nothing, store, "stack", "cwl-*",
        days=90, profile=None, now=NOW, tell=told.append, sight=Sight(nothing, store, "cwl-*"),
    )  # fmt: skip


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> Kept:
    monkeypatch.setattr(schedule, "find_streams", lambda *_, **__: ([STREAM], []))
    monkeypatch.setattr(schedule, "read_counts", lambda *_, **__: {})
    monkeypatch.setattr(schedule, "stream_of", lambda _: STREAM)
    return Kept(State(until=NOW - DAY, number=3).document() | {"untold": [UNTOLD]})


@pytest.mark.parametrize("part", ["follow", "announce", "_grown"])
def test_lines_left_by_an_earlier_run_are_logged_once_even_if_judging_the_stream_fails(
    kept: Kept, monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    def fails(*_: Any, **__: Any) -> Any:
        raise ZeroDivisionError("a defect")

    monkeypatch.setattr(schedule, part, fails)
    told: list[Line] = []
    for _ in range(2):
        report = judged(kept, told)
        (problem,) = report.problems
        assert "could not be judged (ZeroDivisionError)" in problem
        assert isinstance(report.defects[problem], ZeroDivisionError)
        assert report.failed == 1
    assert [line.fields for line in told] == [UNTOLD]
    assert (kept.state.source["untold"], kept.state.source["number"]) == ([], 3)


def test_a_stream_is_judged_even_if_its_labels_cannot_be_counted(
    kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: Any, **__: Any) -> Any:
        raise ZeroDivisionError("a defect")

    monkeypatch.setattr(schedule, "announce_accuracy", fails)
    low = Remembered({"1": (200, 120, 0, 0)}, low=("1",), told=("1",))
    kept.state = Found({**kept.state.source, "accuracy": low.document()}, (1, 1))
    report = judged(kept, [])
    (problem,) = report.problems
    assert "labels could not be counted (ZeroDivisionError)" in problem
    assert isinstance(report.defects[problem], ZeroDivisionError)
    assert (report.failed, report.inaccurate) == (0, 1)  # the last result is kept
    assert kept.state.version == (2, 1)
    assert Remembered.read(kept.state.source) == low


def test_a_stream_with_an_unreadable_baseline_is_counted_as_failed(
    kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: Any) -> Any:
        raise BaselineUnreadable("baseline 3 has no means")

    monkeypatch.setattr(schedule, "in_use", fails)
    report = judged(kept, [])
    assert report.failed == 1
    assert "accept a new baseline" in report.problems[0]


@pytest.mark.parametrize(("each", "days"), [(3, 120), (400, 14)])
def test_the_command_named_feasible_reads_more_days_if_traffic_is_low(
    each: int, days: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    closed = MONDAY + 200 * DAY
    made = summary(records(each, np.random.default_rng(1)))
    slots = [replace(made, start=at) for at in range(closed - 130 * DAY, closed, HOUR)]

    def between(_: Stream, start: int, end: int) -> list[Summary]:
        return [slot for slot in slots if start <= slot.start < end]

    monkeypatch.setattr(baseline_commands, "lately", lambda: (closed - 14 * DAY, closed))
    monkeypatch.setattr(baseline_commands, "fill", lambda *_, **__: 0)
    context = SimpleNamespace(
        streams=lambda *_: [STREAM], store=SimpleNamespace(summaries=between), connection=None,
        index="", reach=SimpleNamespace(false_alarm_days=90),
    )  # fmt: skip
    assert baseline_commands.feasible_command(cast("Any", context)) == 0
    assert f"a day, the mean of {days} days." in capsys.readouterr().out


def test_a_baseline_that_began_long_ago_does_not_grow(kept: Kept) -> None:
    old, today = accepted(), MONDAY + 121 * DAY
    new, reason = growth(cast("Any", kept), STREAM, old, choose(0), today)
    assert new == old
    assert reason == "It began more than 120 days ago, and a baseline grows for at most 120 days."
    assert kept.read == []
    growth(cast("Any", kept), STREAM, old, choose(0), today - DAY)
    assert kept.read == [(MONDAY, today - DAY)]


def test_a_defect_is_logged_as_an_error_with_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENSEARCH_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("STACK", "stack")
    handler = importlib.import_module("monitor.handler")
    problem = ZeroDivisionError("a defect")
    report = Run(problems=["one: odd", "two: usual"], defects={"one: odd": problem})
    said: list[tuple[str, dict[str, Any]]] = []
    for level in ("error", "warning"):
        monkeypatch.setattr(
            handler.logger, level, lambda _, level=level, **fields: said.append((level, fields))
        )
    monkeypatch.setattr(handler, "run", lambda *_, **__: report)
    monkeypatch.setattr(handler, "gather", lambda *_: Gathered())
    monkeypatch.setattr(handler.time, "time", lambda: NOW + DAY / 2)
    handler.handler({}, Context())
    assert said == [
        ("error", {"reason": "one: odd", "exc_info": problem}),
        ("warning", {"reason": "two: usual"}),
    ]


def test_streams_are_judged_even_if_feedback_cannot_be_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OPENSEARCH_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("STACK", "stack")
    handler = importlib.import_module("monitor.handler")
    said: list[tuple[str, str]] = []

    def gather(*_: Any) -> Gathered:
        raise ServerProblem("the search took too long")

    monkeypatch.setattr(handler.logger, "error", lambda word, reason: said.append((word, reason)))
    monkeypatch.setattr(handler, "run", lambda *_, **__: Run(streams=3))
    monkeypatch.setattr(handler, "gather", gather)
    monkeypatch.setattr(handler.time, "time", lambda: NOW + DAY / 2)
    assert handler.handler({}, Context()) == {"streams": 3}
    assert said == [("feedback_not_gathered", "the search took too long")]
