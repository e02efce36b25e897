"""Compares summaries that OpenSearch computes with summaries that numpy computes.

A stream has the predictions of one model in one log group. A summary holds counts and sums over the
stream's predictions in one slot, which lasts 15 minutes.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
import requests
from opensearchpy import RequestsHttpConnection

from local.stack import Stack
from monitor.summaries import searches
from monitor.summaries.read_summaries import find_streams, read_counts, read_slots
from monitor.summaries.summary import SLOT, Stream
from tests.unit.monitor.made_windows import Record, records, summary
from tools.root import ROOT

START = 1_023_062_400  # 3 June 2002, UTC; no other test has documents of this day
END = START + 10 * SLOT
STREAM = Stream("monitored", "/aws/lambda/one", "a-model")
OTHER = Stream("monitored", "/aws/lambda/two", "")
NEWEST, OLD = (
    json.loads((ROOT / "events" / name).read_text())
    for name in ("record.prediction.json", "old/record.prediction.1.json")
)
ONLY_OLD = {name: value for name, value in OLD.items() if name not in NEWEST}


def nested(record: Record) -> dict[str, Any]:
    """Return the record as nested JSON objects."""
    document: dict[str, Any] = {}
    for path, value in record.items():
        *parents, name = path.split(".")
        inner = document
        for parent in parents:
            inner = inner.setdefault(parent, {})
        inner[name] = value
    return document


def slot_records() -> dict[tuple[int, str], list[Record]]:
    """Return the records by the start of their slot and by their version.

    The fourth slot has no records, and the sixth slot has two versions.
    """
    chance = np.random.default_rng(11)
    found = {(START + at * SLOT, "1"): records(150, chance) for at in range(10) if at != 3}
    found[START + 5 * SLOT, "2"] = records(40, chance)
    edges = found[START, "1"]
    for row, score in zip(edges, (0.0, 1.0, 0.29, 0.57, 0.58, 0.005, 0.01), strict=False):
        row["prediction.score"] = score
    for row, words in zip(edges, (0, 64, 65, 81, 82, 10**6), strict=False):
        row["input.words"] = words
    for row, novelty in zip(edges, (-2.0, -2.5, -1.98, 6.0, 5.99, 0.0), strict=False):
        row["input.novelty"] = novelty
    for row, share in zip(edges, (3.95, 4.0, 4.4, 4.84, 900.0), strict=False):
        row["input.tokens_per_word"] = share
    for row in edges[:7]:
        row["input.hash"] = "00000000000000aa"
    del edges[9]["input.surprisal"]
    return found


@pytest.fixture(scope="module")
def connection(running: Stack) -> Iterator[RequestsHttpConnection]:
    """Connect to a server with two streams, and with documents that belong to neither."""
    chance = random.Random(3)  # noqa: S311  not for a secret
    lines: list[dict[str, Any]] = []

    def add(record: Record, start: int, **envelope: Any) -> None:
        at = start * 1000 + chance.randrange(SLOT * 1000)
        lines.append(
            nested(record)
            | (ONLY_OLD if len(lines) % 2 else {})
            | {"@timestamp": at, "@kind": "prediction", "@stack": STREAM.stack}
            | envelope
        )

    for (start, version), rows in slot_records().items():
        for row in rows:
            model = {"name": STREAM.model, "version": version, "profile": "a profile"}
            add(row, start, **{"@log_group": STREAM.log_group, "model": model})
    row = slot_records()[START, "1"][20]
    three = {name: row[name] for name in ("prediction.label", "prediction.score")} | {
        "text": "a secret sentence"
    }
    for _ in range(5):
        add(three, START, **{"@log_group": OTHER.log_group, "@function_version": "7"})
    uncounted: list[dict[str, Any]] = [
        {"traffic": "test"},
        {"traffic": "canary"},
        {"@stack": "other"},
        {"@kind": "prediction_error"},
    ]
    for envelope in uncounted:
        add(
            row,
            START,
            **(
                {"@log_group": STREAM.log_group, "model": {"name": STREAM.model, "version": "1"}}
                | envelope
            ),
        )
    url = urlsplit(running.opensearch_url)
    body = "".join(f'{{"create":{{}}}}\n{json.dumps(line)}\n' for line in lines)
    answer = requests.post(
        f"{running.opensearch_url}/cwl-2002.06.03/_bulk?refresh=true",
        data=body.encode(),
        headers={"content-type": "application/x-ndjson"},
        timeout=60,
    )
    assert not answer.json()["errors"]
    connection = RequestsHttpConnection(host=url.hostname or "", port=url.port)
    yield connection
    requests.delete(f"{running.opensearch_url}/cwl-2002.06.03", timeout=30).raise_for_status()


def test_opensearch_and_numpy_make_equal_summaries(connection: RequestsHttpConnection) -> None:
    expected = [
        summary(rows, start, version=version, stream=STREAM)
        for (start, version), rows in sorted(slot_records().items())
    ]
    found = read_slots(connection, STREAM, START, END)
    assert [(s.start, s.version, s.rows) for s in found] == [
        (s.start, s.version, s.rows) for s in expected
    ]
    for one, other in zip(found, expected, strict=True):
        for field in ("stream", "profile", "seconds", "labels", "flags", "scripts", "unknown"):
            assert getattr(one, field) == getattr(other, field)
        for name, codes in other.bins.items():
            assert one.bins[name] == codes, name
        assert one.moments.keys() == other.moments.keys()
        for name, moments in other.moments.items():
            assert one.moments[name].count == moments.count
            assert one.moments[name].total == pytest.approx(moments.total)
            assert one.moments[name].squares == pytest.approx(moments.squares)
        assert max(one.hashes.values()) == max(other.hashes.values())
        assert one.distinct == pytest.approx(other.distinct, rel=0.02)


def test_the_two_streams_of_the_stack_are_found(connection: RequestsHttpConnection) -> None:
    assert find_streams(connection, "monitored", START, END) == ([STREAM, OTHER], [])
    assert find_streams(connection, "nobody", START, END) == ([], [])


def test_predictions_that_have_only_three_fields_are_read(
    connection: RequestsHttpConnection,
) -> None:
    (one,) = read_slots(connection, OTHER, START, END)
    assert (one.version, one.rows, sum(one.labels.values())) == ("7", 5, 5)
    assert list(one.moments) == ["prediction.score"]
    assert [name for name, codes in one.bins.items() if codes] == ["prediction.score"]


def test_the_predictions_of_each_slot_are_counted(connection: RequestsHttpConnection) -> None:
    counts = read_counts(connection, STREAM, START, END)
    assert counts == {START + at * SLOT: 190 if at == 5 else 150 for at in range(10) if at != 3}


def test_reading_in_several_pages_gives_the_same_slots(
    connection: RequestsHttpConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = read_slots(connection, STREAM, START, END)
    monkeypatch.setattr(searches, "PAGE", 2)
    assert read_slots(connection, STREAM, START, END) == whole


def test_without_an_index_there_are_no_slots_and_no_streams(
    connection: RequestsHttpConnection,
) -> None:
    assert read_slots(connection, STREAM, START, END, index="nowhere-*") == []
    assert find_streams(connection, "monitored", START, END, index="nowhere-*") == ([], [])


def test_without_predictions_there_are_no_slots(connection: RequestsHttpConnection) -> None:
    assert read_slots(connection, STREAM, END, END + SLOT) == []


def test_a_page_has_fewer_buckets_than_opensearch_allows() -> None:
    assert searches.PAGE * searches.buckets() < 65_535
