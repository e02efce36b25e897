"""Tests the parts of the soak that need no server: order of faults, counts, tables."""

from __future__ import annotations

from collections import Counter
from itertools import islice

import pytest

from soak import __main__ as command
from soak.episodes import Played, Result
from soak.faults import EVENTS, STRIKES, Episode, Fault, episodes
from soak.process_memory import FEWEST, Vitals, trend

START = Vitals(50.0, 8, 3, 100)


def test_each_fault_occurs_once_and_then_faults_are_random_but_repeatable() -> None:
    some = list(islice(episodes(1), 500))
    assert sorted(one.fault for one in some[: len(Fault)]) == sorted(Fault)
    assert {one.fault for one in some[len(Fault) :]} == set(Fault)
    assert {one.strikes for one in some} == set(STRIKES)
    assert all(EVENTS[0] <= one.events <= EVENTS[1] for one in some)
    assert list(islice(episodes(1), 500)) == some
    assert list(islice(episodes(2), 500)) != some


@pytest.mark.parametrize(
    ("times", "missing", "doubled", "foreign"),
    [
        ({0: 1, 1: 1, 2: 1}, 0, 0, 0),
        ({0: 1, 2: 1}, 1, 0, 0),
        ({0: 1, 1: 2, 2: 1}, 0, 1, 0),
        ({0: 2, 2: 1}, 1, 1, 0),  # the total is right, although one event is missing
        ({0: 1, 1: 1, 2: 1, 3: 1}, 0, 0, 1),
        ({}, 3, 0, 0),
    ],
)
def test_missing_and_double_and_foreign_documents_are_counted(
    times: dict[int, int], missing: int, doubled: int, foreign: int
) -> None:
    result = Result(put=3)
    result.count(Counter(times))
    assert (result.missing, result.doubled, result.foreign) == (missing, doubled, foreign)
    assert result.exactly_once == (not missing and not doubled and not foreign)
    said = command.verdict(result)
    assert (
        f"{missing} events missing, {doubled} duplicates, {foreign} documents without an event"
        in said
    )


@pytest.mark.parametrize(
    ("last", "flat"),
    [
        (START, True),
        (START._replace(memory=54.0), True),
        (START._replace(memory=56.0), False),
        (START._replace(descriptors=10), True),
        (START._replace(descriptors=11), False),
        (START._replace(threads=6), False),
        (START._replace(memory=20.0), True),
    ],
)
def test_growth_of_memory_descriptors_or_threads_is_detected(last: Vitals, flat: bool) -> None:
    half = FEWEST // 2
    found = trend([START] * half + [last] * half)
    assert found
    assert found.flat is flat
    changes = (found.memory, found.descriptors, found.threads)
    assert [early for early, _, _ in changes] == [*START[:3]]
    assert [late for _, late, _ in changes] == [*last[:3]]


def test_a_single_peak_is_not_growth_and_few_samples_are_not_judged() -> None:
    peak = Vitals(500.0, 80, 30, 101)
    found = trend([START] * FEWEST + [peak] + [START] * FEWEST)
    assert found
    assert found.flat
    assert (found.memory[2], found.descriptors[2], found.threads[2]) == peak[:3]
    assert found.processes == 2
    assert trend([START] * (FEWEST - 1)) is None


@pytest.mark.parametrize(
    ("times", "last", "code"),
    [
        ({0: 1, 1: 1}, START, 0),
        ({0: 1}, START, 1),
        ({0: 1, 1: 1}, START._replace(descriptors=40), 1),
    ],
    ids=["all is well", "an event is missing", "descriptors grow"],
)
def test_the_command_prints_tables_and_returns_the_code(
    times: dict[int, int],
    last: Vitals,
    code: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    result = Result(
        played=[Played(Episode(Fault.BUSY, 2, 3), struck=3, failed=1, letters=0, behind=0.4)],
        put=2,
        samples={"shipper, direct": [START] * FEWEST + [last] * FEWEST},
    )
    result.count(Counter(times))
    monkeypatch.setattr(command, "soak", lambda *_: result)
    monkeypatch.setattr(command, "end_once_when_told", lambda: None)
    assert command.main(["--minutes", "60"]) == code
    printed = capsys.readouterr().out
    assert f"2 events, {len(times)} documents: {2 - len(times)} events missing" in printed
    assert "429" in printed
    assert ("NO" in printed) == (last.descriptors > START.descriptors)


def test_a_failure_is_reported_in_one_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def hangs(*_: object) -> Result:
        raise RuntimeError("events still wait, because the direct route hangs")

    monkeypatch.setattr(command, "soak", hangs)
    monkeypatch.setattr(command, "end_once_when_told", lambda: None)
    assert command.main([]) == 1
    assert (
        capsys.readouterr().err == "make soak: events still wait, because the direct route hangs\n"
    )


@pytest.mark.parametrize("given", [["--minutes", "0"], ["--rate", "-1"], ["--rate", "x"]])
def test_a_time_or_rate_that_is_not_positive_is_refused(
    given: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        command.main(given)
    assert ended.value.code == 2
    assert capsys.readouterr().err.count("\n") == 1
