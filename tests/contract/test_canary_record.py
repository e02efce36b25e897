"""Tests that the canary's record fits its schema, and that the index template has its fields."""

from __future__ import annotations

import copy
import json

import pytest
from jsonschema import Draft202012Validator

from installer.index_template import index_template
from shipper import provenance
from tests.contract.test_monitor_records import fits, leaves, values
from tools.root import ROOT

SCHEMA = json.loads((ROOT / "events" / "canary.schema.json").read_text())
RECORD = json.loads((ROOT / "events" / "record.canary.json").read_text())


def test_the_sample_record_is_valid() -> None:
    Draft202012Validator.check_schema(SCHEMA)
    Draft202012Validator(SCHEMA).validate(RECORD)
    assert RECORD["message"] in provenance.RECORDS


@pytest.mark.parametrize(
    ("name", "value"), [("result", "fine"), ("asked", 0), ("labels", None), ("text", "a sentence")]
)
def test_the_schema_refuses_wrong_values_and_unknown_fields(name: str, value: object) -> None:
    record = copy.deepcopy(RECORD)
    record["monitor"]["canary"][name] = value
    assert not Draft202012Validator(SCHEMA).is_valid(record)


def test_the_index_template_has_a_type_for_every_field() -> None:
    mapped = dict(leaves(index_template()["template"]["mappings"]["properties"]))
    for name, value in values(RECORD):
        assert name in mapped, f"{name} is not in the index template"
        assert fits(value, mapped[name]), f"{name}: {value!r} as {mapped[name]}"
