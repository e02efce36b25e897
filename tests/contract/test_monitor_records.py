"""Tests that the monitor's records fit their schema, and that the index template has each field."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from jsonschema import Draft202012Validator

from installer.index_template import index_template
from monitor.log_lines import lines
from shipper import provenance
from shipper.index_prefix import VALID
from tests.unit.monitor.test_judge_stream import CHOICE, day, followed
from tools.root import ROOT

EVENTS = ROOT / "events"
SCHEMA = json.loads((EVENTS / "monitor.schema.json").read_text())
RECORDS = {
    kind: json.loads((EVENTS / f"record.{kind}.json").read_text()) for kind in ("drift", "verdict")
}
BY_POWERTOOLS = {"timestamp": "2026-11-23T12:15:04.012Z", "level": "INFO", "service": "monitor"}


def test_the_schema_is_valid_json_schema() -> None:
    Draft202012Validator.check_schema(SCHEMA)
    assert set(SCHEMA["properties"]["message"]["enum"]) == set(RECORDS) <= provenance.RECORDS


@pytest.mark.parametrize("kind", RECORDS)
def test_the_sample_records_are_valid(kind: str) -> None:
    Draft202012Validator(SCHEMA).validate(RECORDS[kind])
    assert RECORDS[kind]["message"] == kind


@pytest.mark.parametrize(
    ("kind", "path", "value"),
    [
        ("verdict", ("monitor", "word"), "fine"),
        ("drift", ("monitor", "p"), 1.5),
        ("drift", ("monitor", "word"), "ok"),
        ("drift", ("message",), "verdict"),
        ("drift", ("monitor", "rows"), 0.5),
    ],
)
def test_the_schema_refuses_wrong_values(kind: str, path: tuple[str, ...], value: object) -> None:
    record = copy.deepcopy(RECORDS[kind])
    place = record
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    assert not Draft202012Validator(SCHEMA).is_valid(record)


@pytest.mark.parametrize(
    "given", [{}, {"prediction.label": "spam"}, {"input.novelty": None}], ids=str
)
def test_records_that_the_monitor_writes_are_valid(given: dict[str, Any]) -> None:
    _, findings = followed(day(hours=8, given=given))
    written = [line for finding in findings for line in lines(finding, CHOICE)]
    assert {line.message for line in written} == set(RECORDS)
    for line in written:
        Draft202012Validator(SCHEMA).validate(
            BY_POWERTOOLS | {"message": line.message} | line.fields
        )


def test_the_index_template_has_a_type_for_every_field() -> None:
    mapped = dict(leaves(index_template()["template"]["mappings"]["properties"]))
    for kind, record in RECORDS.items():
        for name, value in values(record):
            assert name in mapped, f"{name} of a {kind} line is not in the index template"
            assert fits(value, mapped[name]), f"{name}: {value!r} as {mapped[name]}"


def test_no_index_prefix_matches_the_index_of_the_monitor() -> None:
    from monitor.settings import own_index

    chance = np.random.default_rng(1)
    for name in (
        "monitor",
        "cwl",
        "a",
        "Prediction-Monitor",
        "".join(chance.choice(list("abc-"), 40)),
    ):
        own = own_index(name)
        assert not [at for at in range(len(own)) if VALID.fullmatch(own[:at])]


def fits(value: object, kind: str) -> bool:
    if isinstance(value, bool):
        return kind == "boolean"
    if isinstance(value, int):
        return kind in {"integer", "long"}
    if isinstance(value, float):
        return kind == "float"
    return kind in {"keyword", "text", "date", "integer"}


def values(record: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in record.items():
        if isinstance(value, dict):
            yield from values(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value[0] if isinstance(value, list) and value else value


def leaves(properties: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for name, mapping in properties.items():
        if "properties" in mapping:
            yield from leaves(mapping["properties"], f"{prefix}{name}.")
        else:
            yield prefix + name, mapping["type"]
