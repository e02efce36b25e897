from __future__ import annotations

import importlib
import json
import logging
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from shipper.decode import PayloadInvalid
from shipper.deliver import NotDelivered
from tests.unit.conftest import Answer, Bulk

EVENTS = Path(__file__).parents[2] / "events" / "shipper"
FIRST = "38500000000000000000000000000000000000000000000000000000"
TEXTS = ("The boy is sitting", "text before the object", "plain words", "an array", "broken")

Load = Callable[[], ModuleType]


@dataclass(frozen=True)
class Context:
    function_name: str = "ShipperFunction"
    memory_limit_in_mb: int = 512
    invoked_function_arn: str = "arn:aws:lambda:us-east-1:000000000000:function:ShipperFunction"
    aws_request_id: str = "8f5ad1e0"


@pytest.fixture
def load(bulk: Bulk, monkeypatch: pytest.MonkeyPatch) -> Iterator[Load]:
    """Imports the handler as a new instance of the function would: no logger, no client of an earlier test."""
    monkeypatch.setenv("OPENSEARCH_URL", bulk.url)
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    monkeypatch.delenv("MAX_PAYLOAD_BYTES", raising=False)
    loaded: list[ModuleType] = []

    def load_one() -> ModuleType:
        sys.modules.pop("shipper.handler", None)
        logging.root.manager.loggerDict.pop("shipper", None)
        loaded.append(importlib.import_module("shipper.handler"))
        return loaded[-1]

    yield load_one
    for module in loaded:
        module.opensearch.close()
    sys.modules.pop("shipper.handler", None)
    logging.root.manager.loggerDict.pop("shipper", None)


def sample(name: str) -> Any:
    return json.loads((EVENTS / f"{name}.json").read_text(encoding="utf-8"))


def written(capsys: pytest.CaptureFixture[str]) -> tuple[dict[str, Any], dict[str, list[float]]]:
    """The summary line and the metrics, which are all that is written."""
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    [summary] = [line for line in lines if line.get("message") == "shipment"]
    [emf] = [line for line in lines if "_aws" in line]
    assert len(lines) == 2
    return summary, {name: value for name, value in emf.items() if name.startswith("Events")}


@pytest.mark.parametrize(
    ("name", "before", "indexed", "duplicate"),
    [("subscription", 0, 2, 0), ("subscription", 1, 0, 2), ("mixed-lines", 0, 5, 0), ("control-message", 0, 0, 0)],
    ids=["subscription", "delivered before", "lines of every kind", "control message"],
)
def test_payload_is_shipped_and_counted(
    *, load: Load, bulk: Bulk, capsys: pytest.CaptureFixture[str], name: str, before: int, indexed: int, duplicate: int
) -> None:
    handler = load().handler
    for _ in range(before):
        handler(sample(name), Context())
    capsys.readouterr()
    assert handler(sample(name), Context()) == {"indexed": indexed, "duplicate": duplicate}
    assert len(bulk.documents) == indexed + duplicate
    summary, counts = written(capsys)
    assert counts == {
        "EventsReceived": [indexed + duplicate],
        "EventsIndexed": [indexed],
        "EventsDuplicate": [duplicate],
        "EventsFailed": [0],
    }
    assert (summary["level"], summary["log_group"]) == ("INFO", "/aws/lambda/prediction-monitor-InferenceFunction")
    assert [summary[name] for name in ("received", "indexed", "duplicate", "failed")] == [indexed + duplicate, indexed, duplicate, 0]


def test_document_is_the_record_in_its_envelope(load: Load, bulk: Bulk) -> None:
    load().handler(sample("subscription"), Context())
    record = json.loads((EVENTS.parent / "record.prediction.json").read_text(encoding="utf-8"))
    source = json.loads(bulk.documents["cwl-2026.11.23", FIRST])
    assert source.items() >= record.items()
    assert (source["@id"], source["@timestamp"]) == (FIRST, "2026-11-23T12:00:00.123Z")


@pytest.mark.parametrize(
    ("refuse", "answers", "indexed", "reasons"),
    [
        ({FIRST: (400, "mapper_parsing_exception")}, [], 1, {"400 mapper_parsing_exception": 1}),
        ({}, [Answer(503, "application/json", b'{"error":{"type":"busy"}}')], 0, {"503 busy": 2}),
    ],
    ids=["one document", "the request"],
)
def test_failure_keeps_the_payload_after_the_good_ones_are_in(
    *,
    load: Load,
    bulk: Bulk,
    capsys: pytest.CaptureFixture[str],
    refuse: dict[str, tuple[int, str]],
    answers: list[Answer],
    indexed: int,
    reasons: dict[str, int],
) -> None:
    bulk.refuse = refuse
    bulk.answers.extend(answers)
    handler = load().handler
    with pytest.raises(NotDelivered, match=f"{2 - indexed} of 2 documents not delivered"):
        handler(sample("subscription"), Context())
    assert len(bulk.documents) == indexed
    summary, counts = written(capsys)
    assert counts == {"EventsReceived": [2], "EventsIndexed": [indexed], "EventsDuplicate": [0], "EventsFailed": [2 - indexed]}
    assert (summary["level"], summary["reasons"]) == ("ERROR", reasons)


def test_every_invocation_counts_for_itself(load: Load, capsys: pytest.CaptureFixture[str]) -> None:
    handler = load().handler
    handler(sample("mixed-lines"), Context())
    capsys.readouterr()
    handler(sample("subscription"), Context())
    assert written(capsys)[1]["EventsReceived"] == [2]


@pytest.mark.parametrize("name", ["subscription", "mixed-lines"])
@pytest.mark.parametrize("failing", [False, True], ids=["shipped", "refused"])
def test_no_text_is_logged(
    *,
    load: Load,
    bulk: Bulk,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    name: str,
    failing: bool,
) -> None:
    if failing:
        bulk.refuse = {FIRST[:-2] + end: (400, "mapper_parsing_exception") for end in ("00", "10", "11", "12")}
    handler = load().handler
    try:
        handler(sample(name), Context())
    except NotDelivered as problem:
        assert failing
        said = str(problem)
    else:
        said = ""
    output = capsys.readouterr()
    said += output.out + output.err + caplog.text
    assert "shipment" in said
    assert [text for text in TEXTS if text in said] == []


@pytest.mark.parametrize(
    ("event", "fragment"),
    [({}, "no awslogs.data"), ({"awslogs": {"data": "####"}}, "not base64")],
    ids=["another event", "broken data"],
)
def test_broken_payload_is_refused(load: Load, bulk: Bulk, event: Any, fragment: str) -> None:
    handler = load().handler
    with pytest.raises(PayloadInvalid, match=fragment):
        handler(event, Context())
    assert bulk.requests == []


def test_limit_is_a_setting(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAX_PAYLOAD_BYTES", "100")
    handler = load().handler
    with pytest.raises(PayloadInvalid, match="more than 100 bytes"):
        handler(sample("subscription"), Context())


def test_missing_address_is_named_at_the_start(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENSEARCH_URL")
    with pytest.raises(KeyError, match="OPENSEARCH_URL"):
        load()


@pytest.mark.parametrize("value", ["", "localhost:9200"])
def test_bad_address_is_named_at_the_start(load: Load, monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("OPENSEARCH_URL", value)
    with pytest.raises(ValueError, match="OPENSEARCH_URL"):
        load()
