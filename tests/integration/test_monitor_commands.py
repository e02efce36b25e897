"""Tests the commands of `python -m monitor` with a real OpenSearch.

The tests accept a baseline that is made from the predictions of some days, and try it on other
days.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from urllib.parse import urlsplit

import numpy as np
import pytest
import requests
from opensearchpy import RequestsHttpConnection

from local.stack import Stack
from monitor.__main__ import main
from monitor.messages.evidence import Sight
from monitor.scheduled_run import run as scheduled
from monitor.settings import own_index
from monitor.summaries.store import Store
from monitor.summaries.summary import SLOT, Stream
from monitor.summaries.windows import DAY, HOUR
from tests.integration.monitored import forget, put_predictions
from tests.unit.monitor.made_windows import LABELS, slots

STACK = "commanded"
STREAM = Stream(STACK, "/aws/lambda/commanded", "a-model")
TODAY = int(time.time()) // DAY * DAY
type Run = Callable[..., tuple[int, str, str]]


def day(days_ago: int) -> str:
    return f"{datetime.fromtimestamp(TODAY - days_ago * DAY, UTC):%Y-%m-%d}"


@pytest.fixture(scope="module")
def url(running: Stack) -> Iterator[str]:
    """Yield the address of a server with summaries of nine days.

    Eight days are alike, and yesterday has other labels. The stream has a saved state.
    """
    where = urlsplit(running.opensearch_url)
    store = Store(
        RequestsHttpConnection(host=where.hostname or "", port=where.port), own_index(STACK), STACK
    )
    chance = np.random.default_rng(1)
    alike = slots(8 * 96, 26, chance, start=TODAY - 9 * DAY, stream=STREAM)
    drifted = slots(
        96, 26, chance, start=TODAY - DAY, stream=STREAM, **{"prediction.label": "spam"}
    )
    store.put_summaries([*alike, *drifted])
    store.put_state(STREAM, {"until": TODAY}, None)
    yield running.opensearch_url
    requests.delete(f"{running.opensearch_url}/{own_index(STACK)}", timeout=30)


@pytest.fixture
def run(url: str, capsys: pytest.CaptureFixture[str]) -> Run:
    def command(*words: str) -> tuple[int, str, str]:
        code = main([*words, "--opensearch", url, "--stack", STACK])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return command


def test_summaries_become_a_baseline_in_use(run: Run) -> None:
    code, output, errors = run("feasible")
    assert (code, errors) == (0, "")
    assert "  Version 1: " in output
    assert " predictions a day, the mean of " in output
    assert "At most one false notice" in output
    assert "no baseline is accepted" in run("baseline", "show")[1]
    code, output, errors = run("baseline", "accept", "--from", day(8), "--to", day(2))
    assert (code, errors) == (0, "")
    assert "accepted: baseline 1 is in use." in output
    assert "on other days the new baseline would have given these notices:" in output
    assert "share of the label" in output  # because of yesterday's labels
    assert "baseline 1" in run("baseline", "show")[1]
    code, output, errors = run("backtest", "--from", day(1), "--to", day(1))
    assert (code, errors) == (0, "")
    assert "1 notices" in output
    code, output, errors = run("baseline", "accept", "--from", day(7), "--to", day(1))
    assert code == 1
    assert (
        "reason against this baseline: The baseline in use gives a notice in these days" in output
    )
    assert "--force" in errors
    code, output, errors = run("baseline", "accept", "--from", day(7), "--to", day(1), "--force")
    assert (code, errors) == (0, "")
    assert "1 (in use)" in output  # the output compares the old baseline with the new one
    assert run("baseline", "use", "1")[0] == 0
    listed = run("baseline", "list")[1]
    assert [line.split()[0] for line in listed.splitlines()[1:]] == ["1", "2"]
    assert listed.splitlines()[1].endswith("in use")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ("baseline", "accept", "--from", day(40), "--to", day(34)),
            "these days have no predictions",
        ),
        (("baseline", "accept", "--from", day(2), "--to", day(3)), "--to is before --from"),
        (
            ("baseline", "accept", "--from", day(3), "--to", day(0)),
            "--to must be a day that is over",
        ),
        (("baseline", "use", "9"), "there is no baseline 9"),
        (
            ("feasible", "--log-group", "/nobody"),
            "selected (the stack has /aws/lambda/commanded a-model): check --log-group",
        ),
    ],
)
def test_a_command_that_cannot_be_done_prints_one_sentence(
    words: tuple[str, ...], said: str, run: Run
) -> None:
    code, _, errors = run(*words)
    assert code == 1
    assert said in errors
    assert errors.count("\n") == 1


NEWCOMER = Stream("newcomer", "/aws/lambda/newcomer", "")


@pytest.fixture(scope="module")
def three_fields(running: Stack) -> Iterator[str]:
    """Yield the address of a server with predictions of three fields, and without summaries.

    There are 1,200 predictions a day for eleven days.
    """
    chance = np.random.default_rng(2)
    documents = []
    for at in range(TODAY - 11 * DAY, TODAY, DAY // 1200):
        envelope = {
            "@timestamp": at * 1000,
            "@stack": NEWCOMER.stack,
            "@log_group": NEWCOMER.log_group,
        }
        prediction = {"label": LABELS[int(chance.random() < 0.5)], "score": chance.beta(8, 2)}
        record = {"text": f"text {chance.random()}", "prediction": prediction}
        documents.append(envelope | record)
    put_predictions(running.opensearch_url, documents)
    yield running.opensearch_url
    forget(running.opensearch_url, NEWCOMER.stack)


def test_predictions_of_three_fields_become_a_baseline(
    three_fields: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(*words: str) -> tuple[int, str, str]:
        code = main([*words, "--opensearch", three_fields, "--stack", NEWCOMER.stack])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    code, output, errors = run("backtest", "--from", day(1), "--to", day(1))
    assert (code, output) == (1, "")
    assert "no baseline is accepted" in errors
    code, output, errors = run("baseline", "accept", "--from", day(4), "--to", day(2))
    assert code == 1
    assert "which take 6 days of this traffic" in output
    assert "--force" in errors
    code, output, errors = run("judge")
    assert code == 0, errors
    assert '"verdict"' in output
    assert "promised_days" not in output
    code, output, errors = run("baseline", "accept", "--from", day(8), "--to", day(2))
    assert (code, errors) == (0, "")
    assert "on other days the new baseline would have given these notices:" in output
    assert "accepted: baseline 1 is in use." in output
    assert run("backtest", "--from", day(1), "--to", day(1))[0] == 0


SLOW = Stream("slow", "/aws/lambda/slow", "a-model")


@pytest.fixture
def slow(running: Stack) -> Iterator[Store]:
    """Yield a store with summaries of twelve days.

    A baseline needs 72 windows. With 100 predictions in a window, 72 windows take ten days here.
    """
    where = urlsplit(running.opensearch_url)
    connection = RequestsHttpConnection(host=where.hostname or "", port=where.port)
    store = Store(connection, own_index(SLOW.stack), SLOW.stack)
    store.put_summaries(
        slots(12 * 96, 8, np.random.default_rng(4), start=TODAY - 12 * DAY, stream=SLOW)
    )
    store.put_state(SLOW, {"until": TODAY - 6 * DAY}, None)
    yield store
    requests.delete(f"{running.opensearch_url}/{own_index(SLOW.stack)}", timeout=30)


def test_a_provisional_baseline_gets_more_days_until_it_is_armed(
    slow: Store, running: Stack, capsys: pytest.CaptureFixture[str]
) -> None:
    """A provisional baseline has too few windows. With enough windows it is called armed."""

    def command(*words: str) -> tuple[int, str]:
        code = main([*words, "--opensearch", running.opensearch_url, "--stack", SLOW.stack])
        return code, capsys.readouterr().out

    def judge_at(now: float) -> list[str]:
        where = urlsplit(running.opensearch_url)
        connection = RequestsHttpConnection(host=where.hostname or "", port=where.port)
        told: list[str] = []
        report = scheduled(
            connection,
            slow,
            SLOW.stack,
            "cwl-*",
            days=90,
            profile=None,
            now=now,
            tell=lambda line: told.append(line.fields["monitor"].get("word", "")),
            sight=Sight(connection, slow, "cwl-*"),
        )
        assert report.problems == []
        return [word for word in told if word]

    days = ("--from", day(12), "--to", day(6))
    code, output = command("baseline", "accept", *days)
    assert code == 1
    assert f"From {day(2)} on, the days after this baseline are added to it" in output
    assert command("baseline", "accept", *days, "--force")[0] == 0
    assert "The baseline grows at midnight (UTC)." in command("baseline", "show")[1]
    assert set(judge_at(TODAY - 6 * HOUR)) == {"provisional"}  # it grows only at midnight
    assert [line.split()[0] for line in command("baseline", "list")[1].splitlines()[1:]] == ["1"]
    assert set(judge_at(TODAY + SLOT)) == {"ok"}
    listed = command("baseline", "list")[1].splitlines()[1:]
    assert [line.split()[0] for line in listed] == ["1", "2"]
    assert listed[1].endswith("in use")
    assert "Armed: " in command("baseline", "show")[1]


def test_an_unreachable_server_is_reported_in_one_sentence(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["feasible", "--opensearch", "http://127.0.0.1:9", "--stack", STACK]) == 1
    assert capsys.readouterr().err.startswith("python -m monitor: OpenSearch cannot be reached")
