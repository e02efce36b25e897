"""Runs a short soak test: faults happen, and every event must be indexed exactly once."""

from __future__ import annotations

import pytest

from soak import __main__ as command
from soak.episodes import Result
from soak.faults import Episode, Fault

SECONDS = 5  # the time limit of an invocation; the shipper sends only during the first second
# FROZEN would end after this number of requests. Fewer requests are sent, so FROZEN lasts until all
# tries have failed.
MANY = 1_000
# KILLED is left out, because tests/integration/test_restart.py tests it, and it takes long.
EPISODES = (
    Episode(Fault.CALM, 300, 0),
    Episode(Fault.FROZEN, 300, MANY),
    *(
        Episode(fault, 300, 2)
        for fault in sorted(set(Fault) - {Fault.CALM, Fault.FROZEN, Fault.KILLED})
    ),
)


def test_every_event_is_indexed_once_whatever_fails(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found: list[Result] = []

    def verdict(result: Result) -> str:
        found.append(result)
        return told(result)

    told = command.verdict
    monkeypatch.setattr(command, "episodes", lambda _seed: iter(EPISODES))
    monkeypatch.setattr(command, "verdict", verdict)
    code = command.main(["--rate", "1000000"], SECONDS)
    printed = capsys.readouterr().out
    assert code == 0, printed
    events = sum(one.events for one in EPISODES)
    assert (
        f"{events:,} events, {events:,} documents: "
        "0 events missing, 0 duplicates, 0 documents without an event" in printed
    )
    # If a fault never happened, the test proves nothing.
    [result] = found
    played = {one.episode.fault: one for one in result.played}
    assert {fault for fault, one in played.items() if one.struck == 0} == {Fault.CALM}
    assert played[Fault.FROZEN].failed >= 3
    assert played[Fault.FROZEN].letters >= 1
    for name, samples in result.samples.items():
        first, last = samples[0], samples[-1]
        assert last.descriptors <= first.descriptors + 2, name
        assert last.threads <= first.threads + 2, name
