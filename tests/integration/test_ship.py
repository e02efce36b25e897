"""Tests the command `python -m local ship`, which ships the lines of log files.

Each line must have exactly one document, in the index of the line's day.
"""

from __future__ import annotations

import json
import re
import shlex
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests

from installer.evaluate_panel import request
from installer.saved_objects import saved_objects
from local import ship_lines
from local.__main__ import main
from local.cloudwatch import log_event
from local.stack import Stack
from local.template import load
from tests.integration.test_from_the_console import console
from tools.errors import UserError
from tools.root import ROOT

OBJECTS = saved_objects()
CONTRACT = json.loads((ROOT / "events" / "prediction.json").read_text(encoding="utf-8"))
# the days of the lines in SAMPLE
SPAN = (
    datetime(2025, 11, 3, tzinfo=UTC),
    datetime(2025, 11, 8, tzinfo=UTC),
)
NAMES = ("text", "prediction.label", "prediction.score")
SAMPLE = ROOT / "events" / "your-function" / "lines.log"


def documents(running: Stack, group: str) -> list[dict[str, Any]]:
    requests.post(f"{running.opensearch_url}/_refresh", timeout=10)
    return running.search({"size": 1000, "query": {"term": {"@log_group": group}}})


def shipped(running: Stack, group: str, *paths: Path, **more: Any) -> list[str]:
    """Ship the lines that match the pattern `prediction`. Returns the command's messages."""
    said: list[str] = []
    ship_lines.ship(
        [str(path) for path in paths],
        running.opensearch_url,
        group,
        "prediction",
        follow=False,
        say=said.append,
        **more,
    )
    return said


def test_shipping_the_sample_twice_makes_one_document_for_each_line_in_the_index_of_its_day(
    running: Stack,
) -> None:
    said = [text for _ in range(2) for text in shipped(running, "sample", SAMPLE)]
    found = documents(running, "sample")
    assert len(found) == 50
    assert Counter(hit["_index"][-10:] for hit in found) == {
        f"2025.11.{day:02d}": 10 for day in range(3, 8)
    }
    for hit in found:
        source = hit["_source"]
        assert source["prediction"]["label"] in {"positive", "negative"}
        assert source["@kind"] == "prediction"
        assert source["@timestamp"][:19] in json.dumps(source["@message"])
    assert "50 lines, 50 pass the filter pattern; 50 indexed" in said[0]
    assert any("50 duplicate" in text for text in said)
    assert sum("keep their fields there" in text for text in said) == 1
    assert "  50 are predictions" in said
    [lit, *_] = [text for text in said if text.startswith("  panels with data: ")]
    assert {"Predictions by label", "Label share over time", "Score percentiles over time"} <= set(
        lit[20:].split(", ")
    )
    assert all(hit["_source"]["input"]["hash"] for hit in found)
    assert "Duplicates over time" in lit
    assert any("with their missing fields" in text and "latency_ms" in text for text in said)


def test_no_line_is_sent_if_one_file_cannot_be_read(running: Stack, tmp_path: Path) -> None:
    bad = tmp_path / "bad.log"
    bad.write_bytes(b"\xff\xfe")
    with pytest.raises(UserError, match="is not UTF-8 text"):
        shipped(running, "half", SAMPLE, bad)
    assert documents(running, "half") == []


def test_the_command_says_why_lines_do_not_pass(running: Stack, tmp_path: Path) -> None:
    path = tmp_path / "mixed.log"
    path.write_text(
        'START RequestId: 1\n{"timestamp": "2025-10-03T12:00:00Z", "class": "prediction"}\n',
        encoding="utf-8",
    )
    said = shipped(running, "mixed", path)
    assert len(documents(running, "mixed")) == 1
    assert "2 lines, 1 pass the filter pattern; 1 indexed" in said[0]
    assert "it has no 'prediction'" in said[1]
    assert "  0 are predictions" in said
    assert any("give --field-map prediction.label=NAME" in text for text in said)


def test_every_panel_of_predictions_counts_every_line_of_the_sample(running: Stack) -> None:
    shipped(running, "sample", SAMPLE)
    requests.post(f"{running.opensearch_url}/_refresh", timeout=10)
    asked = [
        one for one in OBJECTS if CONTRACT["query"]["prediction"] in json.dumps(one.attributes)
    ]
    narrower = {
        f"prediction-monitor-{name}"
        for name in ("low-confidence", "random-sample", "strangest", "strangest-texts")
    }
    assert len(asked) > 9
    for one in asked:
        if one.id not in narrower:
            assert running.answer(request(one, OBJECTS, SPAN))["hits"]["total"]["value"] == 50, (
                one.id
            )
    [counts] = [one for one in OBJECTS if one.id == "prediction-monitor-label-counts"]
    buckets = running.answer(request(counts, OBJECTS, SPAN))["aggregations"]["2"]["buckets"]
    assert sum(bucket["doc_count"] for bucket in buckets) == 50


def test_a_field_map_turns_lines_into_predictions_and_a_wrong_map_is_refused(
    running: Stack, tmp_path: Path
) -> None:
    path = tmp_path / "own.log"
    line = {
        "timestamp": "2025-10-04T12:00:00Z",
        "input": "a prediction",
        "label": "good",
        "confidence": 0.75,
    }
    path.write_text(json.dumps(line), encoding="utf-8")
    names = "prediction.label=label,prediction.score=confidence,text=input"
    said = shipped(running, "own", path, names=names)
    [hit] = documents(running, "own")
    assert (hit["_source"]["text"], hit["_source"]["prediction"]) == (
        "a prediction",
        {"label": "good", "score": 0.75},
    )
    assert hit["_source"]["input"]["words"] == 2
    assert "  1 are predictions" in said
    refusal = (
        r"^--field-map has the target 'label', but the only targets are text, .*, model.version$"
    )
    with pytest.raises(UserError, match=refusal):
        shipped(running, "own", path, names="label=class")


def test_a_file_without_matching_lines_is_an_error_until_a_field_map_is_given(
    running: Stack,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = tmp_path / "other.log"
    line = {
        "timestamp": "2025-10-05T12:00:00Z",
        "input": "fine",
        "label": "good",
        "confidence": 0.75,
    }
    path.write_text(json.dumps(line), encoding="utf-8")
    monkeypatch.setenv("OPENSEARCH_URL", running.opensearch_url)
    assert main(["ship", "--log-group", "other", str(path)]) == 1
    assert f"no line of {path} was shipped" in (told := capsys.readouterr().err)
    assert "--pattern ''" in told
    [names] = re.findall(
        r"`--field-map (\S+)`", (ROOT / "docs" / "local.md").read_text(encoding="utf-8")
    )
    assert main(["ship", "--log-group", "other", "--field-map", names, str(path)]) == 0
    [hit] = documents(running, "other")
    assert hit["_source"]["prediction"] == {"label": "good", "score": 0.75}


def test_the_command_reports_the_progress_of_thousands_of_lines(
    running: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ship_lines, "PROGRESS_SECONDS", 0)
    path = tmp_path / "many.log"
    line = (
        '{"timestamp": "2025-10-06T12:00:00Z", "n": %d, "text": "x", '
        '"prediction": {"label": "a", "score": 0.5}}\n'
    )
    path.write_text("".join(line % number for number in range(6000)), encoding="utf-8")
    told: list[str] = []
    said = shipped(running, "many", path, progress=told.append)
    assert "6000 indexed" in said[0]
    assert [text.partition(": ")[2] for text in told] == [
        f"{sent} of 6000 lines are sent" for sent in (2000, 4000, 6000)
    ]


def test_each_line_of_a_month_has_one_document_in_the_index_of_its_day(
    running: Stack, tmp_path: Path
) -> None:
    first, path = datetime(2025, 9, 1, tzinfo=UTC), tmp_path / "month.log"
    moments = [first + timedelta(minutes=36 * number) for number in range(1200)]  # 40 a day
    lines = [
        {"timestamp": at.isoformat(), "text": "x", "prediction": {"label": "a", "score": 0.5}}
        for at in moments
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    wanted = {f"cwl-{first + timedelta(days=day):%Y.%m.%d}": 40 for day in range(30)}
    for told in ("1200 indexed", "1200 duplicate"):
        assert told in shipped(running, "month", path)[0]
        requests.post(f"{running.opensearch_url}/_refresh", timeout=10)
        terms = {"indices": {"terms": {"field": "_index", "size": 100}}}
        body = {"size": 0, "query": {"term": {"@log_group": "month"}}, "aggs": terms}
        found = running.answer(body)["aggregations"]["indices"]["buckets"]
        assert {bucket["key"]: bucket["doc_count"] for bucket in found} == wanted


def test_our_fields_have_the_values_and_types_that_the_function_of_the_console_gives(
    running: Stack, tmp_path: Path
) -> None:
    url, path = running.opensearch_url, tmp_path / "lines.log"
    lines = [
        line
        for line in SAMPLE.read_text(encoding="utf-8").splitlines()
        if line.startswith(('{"timestamp"', "[INFO]"))
    ]
    # only lines from which the console's function reads fields too
    lines = [line for line in lines if '"message"' not in line and '"prediction": {' in line]
    path.write_text("\n".join(lines), encoding="utf-8")
    events = [
        log_event(line, int(datetime(2025, 11, 3, tzinfo=UTC).timestamp() * 1000)) for line in lines
    ]
    console(url, events, _index="from-the-console").raise_for_status()
    shipped(running, "beside", path)
    ours = {hit["_source"]["@message"]: hit["_source"] for hit in documents(running, "beside")}
    answer = requests.post(f"{url}/from-the-console/_search", json={"size": 100}, timeout=10).json()
    theirs = [hit["_source"] for hit in answer["hits"]["hits"]]
    assert len(theirs) == len(ours) == len(lines) > 10
    for source in theirs:
        own = ours[source["@message"]]
        assert {name: own[name] for name in ("text", "prediction")} == {
            name: source[name] for name in ("text", "prediction")
        }
    types = []
    for index in ("from-the-console", "cwl-2025.11.03"):
        fields = ",".join([*NAMES, "text.keyword", "prediction.label.keyword"])
        caps = requests.get(f"{url}/{index}/_field_caps?fields={fields}", timeout=10).json()[
            "fields"
        ]
        types.append({name: set(kinds) for name, kinds in caps.items()})
    requests.delete(f"{url}/from-the-console", timeout=10)
    assert types[0] == types[1]
    assert types[0].keys() == {*NAMES, "prediction", "text.keyword", "prediction.label.keyword"}


def test_documents_from_the_function_of_the_console_are_in_the_panels_too(running: Stack) -> None:
    noon = datetime(2002, 5, 1, 12, tzinfo=UTC)
    line = json.dumps({"text": "x", "prediction": {"label": "a", "score": 0.5}})
    console(
        running.opensearch_url, [log_event(line, int(noon.timestamp() * 1000))]
    ).raise_for_status()
    requests.post(f"{running.opensearch_url}/_refresh", timeout=10)
    [table] = [one for one in OBJECTS if one.id == "prediction-monitor-datatable"]
    answer = running.answer(
        request(table, OBJECTS, (noon - timedelta(hours=1), noon + timedelta(hours=1)))
    )
    requests.delete(f"{running.opensearch_url}/cwl-2002.05.01", timeout=10)
    assert [hit["_source"]["text"] for hit in answer["hits"]["hits"]] == ["x"]


def test_the_commands_of_the_guide_succeed(running: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    guide = (
        (ROOT / "docs" / "from-the-console.md")
        .read_text(encoding="utf-8")
        .partition("## In ten minutes")[2]
        .partition("## ")[0]
    )
    commands = re.findall(r"^\|.*?`\.venv/bin/python -m local ([^`]+)`", guide, re.MULTILINE)
    assert {command.split()[0] for command in commands} == {"ship", "test-pattern"}
    monkeypatch.setenv("OPENSEARCH_URL", running.opensearch_url)
    monkeypatch.chdir(ROOT)
    for command in commands:
        assert main(shlex.split(command)) == 0, command
    [given] = re.findall(r'--parameter-overrides "(.+)"$', guide, re.MULTILINE)
    assert {pair.partition("=")[0] for pair in given.split()} <= load()["Parameters"].keys()
