"""Tests the page and the report with a real OpenSearch.

The tests count the page's numbers a second time in Python, send requests to the page's server, and
open the page in a real browser.
"""

from __future__ import annotations

import copy
import json
import random
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest
import requests

from local.cloudwatch import log_event, subscription_event
from local.page import Page, server
from local.stack import Stack
from report.__main__ import main
from report.page_values import View
from report.read import SHOWN, read, span
from tests.browser import CHROMIUM, browser
from tools.ports import free_port
from tools.root import ROOT

RECORDS = {
    kind: json.loads((ROOT / "events" / f"record.{kind}.json").read_text())
    for kind in ("prediction", "prediction_error", "verdict", "drift")
}
# Version 1 of the records. An index may still hold such records after an upgrade.
OLD = {
    kind: json.loads((ROOT / "events" / "old" / f"record.{kind}.1.json").read_text())
    for kind in ("prediction", "prediction_error")
}
NOW = datetime(2002, 7, 9, 0, 5, 7, tzinfo=UTC)  # no other test has documents of these days
SPAN = span(NOW, timedelta(minutes=15))

Doc = dict[str, Any]


@dataclass(frozen=True)
class Sent:
    """The shipped records, each with its time."""

    lines: list[tuple[datetime, Doc]]

    @property
    def live(self) -> list[Doc]:
        return [doc for _, doc in self.lines if doc.get("traffic", "live") == "live"]

    @property
    def predictions(self) -> list[Doc]:
        return [doc for doc in self.live if doc["message"] == "prediction"]


def lines() -> Iterator[tuple[datetime, Doc]]:
    chance = random.Random(23)  # noqa: S311  not for a secret
    for second in range(0, 14 * 60, 3):
        moment = SPAN.start + timedelta(seconds=second + 2)
        if chance.random() < 0.1:
            error = copy.deepcopy((OLD if second % 2 else RECORDS)["prediction_error"])
            error["error"] = {"type": "field-invalid", "status": chance.choice((422, 500))}
            yield moment, error
            continue
        record = copy.deepcopy((OLD if second % 2 else RECORDS)["prediction"])
        label = chance.choices(("first", "second"), (3, 1))[0]
        score = 1 if second % 30 == 0 else chance.uniform(0.5, 1)
        record["traffic"] = chance.choices(("live", "test"), (9, 1))[0]
        record["text"] = f"sentence {chance.randrange(40)}"
        record["prediction"] = {
            "label": label,
            "score": score,
            "probability": {"second": 0.1, "first": 0.9, "third": 0.0},
        }
        record["input"] |= {
            "hash": f"{hash_of(record['text']):016x}",
            "novelty": hash_of(record["text"]) / 10,
            "flags": ["truncated"] if chance.random() < 0.2 else [],
        }
        yield moment, record


def hash_of(text: str) -> int:
    return int(text.rpartition(" ")[2])


def judged(running: Stack) -> None:
    """Put verdicts into OpenSearch, as the monitor writes them."""
    verdict, drift = copy.deepcopy(RECORDS["verdict"]), copy.deepcopy(RECORDS["drift"])
    for at, word in enumerate(("ok", "unusual", "notice")):
        times = {
            "start": (NOW - timedelta(minutes=15 - 4 * at)).isoformat(),
            "end": (NOW - timedelta(minutes=11 - 4 * at)).isoformat(),
        }
        for record, more in ((verdict, {"word": word}), (drift, {"unusual": word != "ok"})):
            document = {
                "@timestamp": times["end"],
                "@kind": record["message"],
                "monitor": {**record["monitor"], **times, **more},
            }
            place = f"{running.opensearch_url}/cwl-2002.07.09/_doc?refresh=true"
            requests.post(place, json=document, timeout=30).raise_for_status()


@pytest.fixture(scope="module")
def sent(running: Stack) -> Iterator[Sent]:
    made = list(lines())
    events = [
        log_event(json.dumps(record), int(moment.timestamp() * 1000)) for moment, record in made
    ]
    answer = running.shipper.invoke(subscription_event(events, "InferenceLogGroup"))
    assert answer["indexed"] == len(made)
    judged(running)
    requests.post(f"{running.opensearch_url}/cwl-*2002.*/_refresh", timeout=30).raise_for_status()
    yield Sent(made)
    requests.delete(f"{running.opensearch_url}/cwl-*2002.07.*", timeout=30).raise_for_status()


@pytest.fixture(scope="module")
def view(running: Stack, sent: Sent) -> View:
    return read(running.answer, SPAN, "local")


def test_the_numbers_of_the_page_equal_a_second_count(view: View, sent: Sent) -> None:
    predictions = sent.predictions
    found = view.predictions
    labels = Counter(doc["prediction"]["label"] for doc in predictions)
    assert found.number == len(predictions)
    assert found.labels == {"second": labels["second"], "first": labels["first"], "third": 0}
    assert found.all_labels == ("second", "first", "third")  # in the model's order
    assert found.score == pytest.approx(fmean(doc["prediction"]["score"] for doc in predictions))
    assert found.texts == len({doc["text"] for doc in predictions})
    assert {name: sum(counts) for name, counts in found.scores.items()} == dict(labels)
    assert found.all_scores == tuple(map(sum, zip(*found.scores.values(), strict=True)))
    ones = sum(doc["prediction"]["score"] == 1 for doc in predictions)
    assert sum(counts[20] for counts in found.scores.values()) == ones > 0


def test_the_time_steps_hold_every_prediction_once(view: View, sent: Sent) -> None:
    wanted = Counter[datetime]()
    for moment, doc in sent.lines:
        if doc in sent.predictions:
            step = (moment - SPAN.start) // SPAN.step
            wanted[SPAN.start + step * SPAN.step] += 1
    buckets = view.predictions.buckets
    assert {one.time: one.predictions for one in buckets if one.predictions} == wanted
    assert [one.time for one in buckets] == SPAN.times()
    flags = sum(one.flags.get("truncated", 0) for one in buckets)
    assert flags == sum("truncated" in doc["input"]["flags"] for doc in sent.predictions) > 0


def test_failed_requests_are_counted_as_mistakes_of_the_caller_or_of_the_service(
    view: View, sent: Sent
) -> None:
    errors = Counter(doc["error"]["status"] for doc in sent.live if "error" in doc)
    assert sum(view.refusals.callers) == errors[422] > 0
    assert sum(view.refusals.ours) == errors[500] > 0
    assert view.refusals.types == {"field-invalid": errors.total()}


def test_lists_of_texts_are_sorted_and_hold_each_text_once(view: View, sent: Sent) -> None:
    texts = {doc["text"]: doc["input"]["novelty"] for doc in sent.predictions}
    strangest = sorted(texts, key=lambda text: -texts[text])[:SHOWN]
    assert [one.text for one in view.strangest] == strangest
    lowest: dict[str, float] = {}
    for doc in sorted(sent.predictions, key=lambda doc: doc["prediction"]["score"]):
        lowest.setdefault(doc["text"], doc["prediction"]["score"])
    assert [one.text for one in view.uncertain] == list(lowest)[:SHOWN]
    newest = [doc["text"] for _, doc in reversed(sent.lines) if doc in sent.predictions]
    assert [one.text for one in view.newest] == newest[: len(view.newest)]


def test_the_newest_verdicts_are_listed_first(view: View) -> None:
    assert [one.word for one in view.verdicts] == ["notice", "unusual", "ok"]
    assert [one.unusual for one in view.drifts] == [True, True, False]
    assert view.drifts[0].part == "input.sig.s3"


def test_the_page_of_another_stack_shows_none_of_the_predictions(
    running: Stack, sent: Sent
) -> None:
    other = read(running.answer, SPAN, "another")
    assert other.predictions.number == 0
    assert other.shipping.kinds == {"verdict": 3, "drift": 3}  # these documents name no stack


def test_each_text_is_listed_once_even_if_there_are_no_hashes(running: Stack) -> None:
    noon = datetime(2002, 7, 20, 12, tzinfo=UTC)
    for at, text in enumerate(("one", "one", "two", "three")):
        document = {
            "@timestamp": noon.isoformat(),
            "text": text,
            "prediction": {"label": "a", "score": 0.5 + at / 10},
        }
        place = f"{running.opensearch_url}/cwl-2002.07.20/_doc?refresh=true"
        requests.post(place, json=document, timeout=30).raise_for_status()
    found = read(running.answer, span(noon + timedelta(minutes=1), timedelta(minutes=5)))
    requests.delete(f"{running.opensearch_url}/cwl-2002.07.20", timeout=30).raise_for_status()
    assert [(one.text, one.score) for one in found.uncertain] == [
        ("one", 0.5),
        ("two", 0.7),
        ("three", 0.8),
    ]


def test_an_index_of_another_team_changes_nothing(running: Stack) -> None:
    """The other index does not have the fields by which the page sorts."""
    noon = datetime(2002, 7, 22, 12, tzinfo=UTC)
    about = {"hash": "0" * 16, "novelty": 1}
    ours = {"prediction": {"label": "a", "score": 0.95}, "input": about, "text": "one"}
    theirs = {"@log_group": "/aws/lambda/theirs", "@message": "a line"}
    mapping = {"properties": {"input": {"properties": {"hash": {"type": "keyword"}}}}}
    server = running.opensearch_url
    # The index template does not apply to these names, so the mappings are as given here.
    for name, fields, made in (("page-ours", ours, mapping), ("page-another", theirs, {})):
        requests.put(f"{server}/{name}", json={"mappings": made}, timeout=30).raise_for_status()
        document = {"@timestamp": noon.isoformat(), **fields}
        requests.post(
            f"{server}/{name}/_doc?refresh=true", json=document, timeout=30
        ).raise_for_status()

    def search(body: Doc) -> Doc:
        answer: Doc = requests.post(f"{server}/page-*/_search", json=body, timeout=30).json()
        return answer

    found = read(search, span(noon + timedelta(minutes=1), timedelta(minutes=5)))
    requests.delete(f"{server}/page-ours,page-another", timeout=30).raise_for_status()
    assert found.failed == ()
    assert [one.score for one in (*found.newest, *found.uncertain)] == [0.95, 0.95]


def test_every_search_has_a_time_filter(running: Stack, sent: Sent) -> None:
    asked: list[Doc] = []

    def search(body: Doc) -> Doc:
        asked.append(body)
        return running.answer(body)

    read(search, SPAN)
    assert len(asked) == 12
    assert all('"range": {"@timestamp": {"gte": "' in json.dumps(body) for body in asked)


@pytest.fixture
def page(running: Stack, sent: Sent) -> Iterator[str]:
    """Run the page's server, for which the current time is `NOW`. Yields its address."""
    made = server(0, Page(running.answer, "local", lambda: ["A message."], now=lambda: NOW))
    threading.Thread(target=made.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{made.server_port}"
    made.shutdown()
    made.server_close()


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Host": "localhost:{port}"}, 200),
        ({"Origin": "http://127.0.0.1:{port}"}, 200),
        ({"Host": "page.example:{port}"}, 403),
        ({"Origin": "https://page.example"}, 403),
        ({"Origin": "null"}, 403),
    ],
)
def test_requests_with_a_foreign_host_or_origin_are_refused(
    headers: dict[str, str], status: int, page: str
) -> None:
    port = page.rpartition(":")[2]
    given = {name: value.format(port=port) for name, value in headers.items()}
    answer = requests.get(page, headers=given, timeout=30)
    assert answer.status_code == status
    assert ("Predictions" in answer.text) == (status == 200)
    assert "script-src 'sha256-" in answer.headers["content-security-policy"]


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/?since=1h", 200),
        ("/?since=400d", 200),
        ("/?since=soon", 400),
        ("/?since=401d", 400),
        ("/other", 404),
    ],
)
def test_the_address_of_the_page_can_name_the_time_span(path: str, status: int, page: str) -> None:
    assert requests.get(page + path, timeout=30).status_code == status


def test_the_report_is_one_file_with_the_numbers_of_the_page(
    running: Stack, sent: Sent, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "report.html"
    options = [
        "--opensearch",
        running.opensearch_url,
        "--since",
        "15m",
        "--until",
        "2002-07-09T00:05:07",
    ]
    assert main([*options, "--stack", "local", "--out", str(out)]) == 0
    assert capsys.readouterr().out == f"{out}: The predictions have changed\n"
    html = out.read_text(encoding="utf-8")
    assert f'id="predictions">{len(sent.predictions)}</p>' in html
    assert "<script" not in html


def test_if_a_report_cannot_be_made_the_command_prints_one_line_with_the_reason(
    running: Stack, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    nowhere = f"http://127.0.0.1:{free_port()}"
    assert main(["--opensearch", nowhere, "--out", str(tmp_path / "a.html")]) == 1
    assert main(["--opensearch", running.opensearch_url, "--out", str(tmp_path / "no" / "a")]) == 1
    errors = capsys.readouterr().err.splitlines()
    assert len(errors) == 2
    assert "cannot be reached" in errors[0]
    assert "give another --out" in errors[1]


@pytest.mark.skipif(not CHROMIUM, reason="NOT RUN: no Chromium is here (Debian's package chromium)")
def test_a_browser_shows_page_and_report_without_errors_at_any_width(
    page: str, running: Stack, sent: Sent, tmp_path: Path
) -> None:
    out = tmp_path / "report.html"
    options = [
        "--opensearch",
        running.opensearch_url,
        "--since",
        "15m",
        "--until",
        "2002-07-09T00:05:07",
    ]
    main([*options, "--stack", "local", "--out", str(out)])
    with browser(tmp_path / "profile") as tab:
        for url in (page, out.as_uri()):
            for width in (390, 1440):
                grounds = set()
                for dark in (False, True):
                    tab.open(url, width=width, dark=dark)
                    assert tab.value("document.documentElement.scrollWidth") <= width, (url, width)
                    shown = tab.value("document.getElementById('predictions').textContent")
                    assert shown == str(len(sent.predictions))
                    grounds.add(tab.value("getComputedStyle(document.body).backgroundColor"))
                assert len(grounds) == 2, "light and dark mode have different backgrounds"
        assert tab.complaints == []


@pytest.mark.skipif(not CHROMIUM, reason="NOT RUN: no Chromium is here (Debian's package chromium)")
def test_an_open_page_shows_new_predictions_and_says_if_the_server_is_lost(
    running: Stack, tmp_path: Path
) -> None:
    noon = datetime(2002, 7, 21, 12, tzinfo=UTC)
    gone = threading.Event()

    def search(body: Doc) -> Doc:
        if gone.is_set():
            raise requests.ConnectionError
        return running.answer(body)

    made = server(0, Page(search, now=lambda: noon + timedelta(seconds=5)))
    threading.Thread(target=made.serve_forever, daemon=True).start()
    shown = "document.getElementById('predictions').textContent"
    lost = "document.getElementById('lost').hidden"
    with browser(tmp_path / "profile") as tab:
        tab.open(f"http://127.0.0.1:{made.server_port}", width=1440)
        assert (tab.value(shown), tab.value(lost)) == ("0", True)
        document = {"@timestamp": noon.isoformat(), "prediction": {"label": "a", "score": 0.5}}
        place = f"{running.opensearch_url}/cwl-2002.07.21/_doc?refresh=true"
        requests.post(place, json=document, timeout=30).raise_for_status()
        tab.until(shown, "1")
        assert tab.complaints == []
        gone.set()
        tab.until(lost, wanted=False)
        gone.clear()
        tab.until(lost, wanted=True)
    made.shutdown()
    made.server_close()
    requests.delete(f"{running.opensearch_url}/cwl-2002.07.21", timeout=30).raise_for_status()
