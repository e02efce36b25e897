"""Tests the joined record (a label joined to its prediction) against its schema and a sample.

The schema is events/joined.schema.json, and the sample is events/joined.json.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from monitor.accuracy.joined_record import Joined
from monitor.summaries.store import MAPPING
from tools.root import ROOT

SCHEMA: dict[str, Any] = json.loads((ROOT / "events" / "joined.schema.json").read_text())
SAMPLE: dict[str, Any] = json.loads((ROOT / "events" / "joined.json").read_text())
TYPES = {"string": {"keyword", "text", "date"}, "boolean": {"boolean"}, "number": {"double"}}


def test_the_code_reads_and_writes_the_sample() -> None:
    Draft202012Validator.check_schema(SCHEMA)
    Draft202012Validator(SCHEMA).validate(SAMPLE)
    assert Joined.read(SAMPLE).document() == SAMPLE


def test_fields_without_a_value_are_left_out() -> None:
    sample = Joined.read(SAMPLE)
    judgement = replace(sample.judgement, source="", explanation="", identifier="")
    document = replace(sample, score=None, judgement=judgement, calibrated=False).document()
    Draft202012Validator(SCHEMA).validate(document)
    assert set(document["feedback"]) == set(SCHEMA["properties"]["feedback"]["required"])
    assert document["model"]["calibrated"] is False


@pytest.mark.parametrize(
    ("change", "same"),
    [
        ({"label": "positive"}, True),
        ({"timestamp": 0}, True),
        ({"source": "code"}, True),
        ({"identifier": "another"}, False),
        ({"identifier": ""}, False),
        ({"prediction_id": "another"}, False),
    ],
)
def test_the_id_depends_only_on_the_prediction_and_the_identifier(
    change: dict[str, Any], same: bool
) -> None:
    sample = Joined.read(SAMPLE)
    other = replace(sample, judgement=replace(sample.judgement, **change))
    assert (other.key == sample.key) is same


def test_the_index_maps_every_field_of_the_feedback() -> None:
    mapped = MAPPING["properties"]["feedback"]["properties"]
    said = SCHEMA["properties"]["feedback"]["properties"]
    assert set(mapped) == set(said)
    for name, rule in said.items():
        assert mapped[name]["type"] in TYPES[rule.get("type", "string")], name
