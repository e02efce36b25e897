from __future__ import annotations

import json

import pytest
from jsonschema import Draft202012Validator

from bench.lines import MIX, Printed, event, mixed, printed, records
from bench.shipper_forms import LIMIT
from shipper.decode import decode, line
from shipper.read import Kind, read
from tools.root import ROOT

COUNT = 50
SCHEMA = Draft202012Validator(
    json.loads((ROOT / "events" / "record.schema.json").read_text(encoding="utf-8"))
)


@pytest.fixture(scope="module")
def log() -> Printed:
    return printed(12)


def test_records_are_valid_and_each_has_ids_of_its_own(log: Printed) -> None:
    lines = records(COUNT, log)
    assert len(lines) == COUNT > len(log.records) == 12
    found = [json.loads(text) for text in lines]
    for record in found:
        SCHEMA.validate(record)
    assert {record["message"] for record in found} == {"prediction"}
    assert (
        len({record["prediction_id"] for record in found})
        == len({record["function_request_id"] for record in found})
        == COUNT
    )
    assert all(text.endswith("}\n") for text in lines)
    assert records(COUNT, log) == lines  # the same in every run


@pytest.mark.parametrize("count", [len(MIX), COUNT])
def test_mixed_log_has_lines_of_every_kind(log: Printed, count: int) -> None:
    lines = mixed(count, log)
    assert len(lines) == count
    assert mixed(count, log) == lines
    kinds = [read(text).kind for text in lines]
    assert set(kinds) == set(Kind)
    # a broken JSON object
    assert any(kind is Kind.TEXT and "{" in text for text, kind in zip(lines, kinds, strict=True))
    # a JSON object after text
    assert any(
        kind is Kind.OBJECT and not text.startswith("{")
        for text, kind in zip(lines, kinds, strict=True)
    )
    # a record inside another JSON object
    assert any(
        text.startswith("{") and "prediction_id" in read(text).fields and '\\"' in text
        for text in lines
    )
    for word in ("START ", "END ", "REPORT "):
        assert any(text.startswith(word) for text in lines)


def test_event_carries_its_lines(log: Printed) -> None:
    lines = mixed(COUNT, log)
    payload = decode(event(lines), LIMIT)
    assert [line(found)[0] for found in payload.events] == lines
    assert len({found.id for found in payload.events}) == COUNT
    assert all(len(found.id) == 56 for found in payload.events)
