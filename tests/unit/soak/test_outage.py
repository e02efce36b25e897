"""Tests the parts of `make outage` that need no server."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from rich.console import Console

from soak import outage as command
from soak.episodes import Stack
from soak.outage import Capacity, Outage, table


def test_the_table_compares_predicted_and_measured_figures() -> None:
    console = Console(width=100, record=True)
    console.print(table(Capacity(6_000.0, 276.0), Outage(2_000.0, 60.0, 125_000, 41.0)))
    rows = [
        [cell.strip() for cell in line.strip("│").split("│")]
        for line in console.export_text().splitlines()
        if line.startswith("│")
    ]
    # The shipper may notice the return of the server up to 20 s late. In 60 to 80 s, 2,000 events
    # a second make a backlog of 120,000 to 160,000 events. Then 6,000 a second are indexed and
    # 2,000 a second arrive, so the backlog is gone after 120,000 / 4,000 = 30 s. If the shipper is
    # 20 s late, the backlog is gone after 20 + 160,000 / 4,000 = 60 s.
    assert rows == [
        ["events a second", "", "2,000"],
        ["seconds without the server", "", "60"],
        ["largest backlog, in events", "120,000 to 160,000", "125,000"],
        ["seconds until the backlog was gone", "30 to 60", "41"],
    ]


def test_a_rate_above_the_capacity_is_an_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    @contextmanager
    def stack(*_: object, **__: object) -> Iterator[None]:
        yield

    def capacity(_parts: Stack, _events: int) -> Capacity:
        return Capacity(1_500.0, 276.0)

    monkeypatch.setattr(command, "stack", stack)
    monkeypatch.setattr(command, "measured", capacity)
    monkeypatch.setattr(command, "end_once_when_told", lambda: None)
    assert command.main(["--rate", "2000"]) == 1
    said = capsys.readouterr().err
    assert said == (
        "make outage: 2,000 events a second come, and only 1,500 can be indexed: give a lower "
        "--rate (RATE=)\n"
    )


@pytest.mark.parametrize("given", [["--rate", "0"], ["--seconds", "-1"], ["--rate", "x"]])
def test_a_rate_or_time_that_is_not_positive_is_refused(
    given: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        command.main(given)
    assert ended.value.code == 2
    assert capsys.readouterr().err.count("\n") == 1
