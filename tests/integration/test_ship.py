"""`python -m local ship`: lines of one's own into the running stack, each once, each on its day."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import requests

from local import ship
from local.stack import Stack
from tools.errors import UserError
from tools.root import ROOT

SAMPLE = ROOT / "events" / "your-function" / "lines.log"


def documents(running: Stack, group: str) -> list[dict[str, Any]]:
    requests.post(f"{running.opensearch_url}/_refresh", timeout=10)
    return running.search({"size": 1000, "query": {"term": {"@log_group": group}}})


def test_the_sample_lines_are_predictions_of_their_days_and_shipped_twice_no_more(running: Stack) -> None:
    said: list[str] = []
    for _ in range(2):
        ship.ship([str(SAMPLE)], running.opensearch_url, "sample", "prediction", follow=False, say=said.append)
    found = documents(running, "sample")
    assert len(found) == 50
    assert Counter(hit["_index"][-10:] for hit in found) == {f"2025.11.{day:02d}": 10 for day in range(3, 8)}
    for hit in found:
        source = hit["_source"]
        assert source["prediction"]["label"] in {"positive", "negative"}
        assert source["@kind"] == "prediction"
        assert source["@timestamp"][:19] in json.dumps(source["@message"])
    assert "50 lines, 50 pass the filter pattern; 50 indexed" in said[0]
    assert any("50 duplicate" in text for text in said)
    [lit, *_] = [text for text in said if text.startswith("  panels with data: ")]
    assert {"Predictions by label", "Label share over time", "Score percentiles over time"} <= set(lit[20:].split(", "))
    assert any("by the fields that are missing" in text and "latency_ms" in text for text in said)


def test_nothing_is_sent_where_one_file_cannot_be_taken(running: Stack, tmp_path: Path) -> None:
    bad = tmp_path / "bad.log"
    bad.write_bytes(b"\xff\xfe")
    with pytest.raises(UserError, match="is no text"):
        ship.ship([str(SAMPLE), str(bad)], running.opensearch_url, "half", "prediction", follow=False, say=lambda _: None)
    assert documents(running, "half") == []


def test_lines_that_do_not_pass_are_named(running: Stack, tmp_path: Path) -> None:
    path = tmp_path / "mixed.log"
    path.write_text('START RequestId: 1\n{"timestamp": "2025-11-03T12:00:00Z", "prediction": {"label": "a"}}\n', encoding="utf-8")
    said: list[str] = []
    ship.ship([str(path)], running.opensearch_url, "mixed", "prediction", follow=False, say=said.append)
    assert len(documents(running, "mixed")) == 1
    assert "2 lines, 1 pass the filter pattern; 1 indexed" in said[0]
    assert "it has no 'prediction'" in said[1]
    assert any("no prediction counts without text, prediction.score" in text for text in said)
