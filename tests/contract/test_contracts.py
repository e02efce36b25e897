"""Tests that the contract files agree with each other.

The files are the schemas, the sample records, the sample payloads, the index template and
template.yaml.
"""

from __future__ import annotations

import copy
import json
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from installer.index_template import index_template
from installer.security import ROLES
from local import opensearch
from local.cloudwatch import log_event, subscription_event
from local.filter_pattern import matches
from local.template import Template, load, read
from monitor.summaries.read_summaries import INDEX
from shipper import provenance
from shipper.bulk import FIELD, LIMIT
from shipper.decode import Payload, decode, line
from shipper.document import ENVELOPE, Rules, documents
from shipper.index_prefix import PREFIX
from shipper.read import Kind
from shipper.read import read as read_line
from tests.contract import make_payload
from tools.root import ROOT

EVENTS = ROOT / "events"
NOON = 1_795_435_200_123
NAMED_BY_THE_MODEL = "prediction.probability."
SCHEMA = json.loads((EVENTS / "record.schema.json").read_text())
RECORDS = {
    kind: json.loads((EVENTS / f"record.{kind}.json").read_text())
    for kind in ("prediction", "prediction_error")
}
# Records that earlier versions of the functions wrote. The index may still hold such records.
OLD = {path.stem: json.loads(path.read_text()) for path in (EVENTS / "old").glob("record.*.json")}
# Fields that older records may lack, because panels, monitor and views work without them.
NEW_FIELDS: frozenset[str] = frozenset()
FEEDBACK_SCHEMA = json.loads((EVENTS / "feedback.schema.json").read_text())
FEEDBACK = json.loads((EVENTS / "record.feedback.json").read_text())
TYPES = {
    "string": {"keyword", "text", "date"},
    "integer": {"integer"},
    "byte": {"byte"},
    "number": {"float"},
    "boolean": {"boolean"},
    "array": {"keyword"},
}


@pytest.fixture(scope="module")
def template() -> Template:
    return read()


def test_the_schema_is_valid_json_schema() -> None:
    Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize("kind", RECORDS)
def test_the_sample_records_are_valid(kind: str) -> None:
    Draft202012Validator(SCHEMA).validate(RECORDS[kind])
    assert RECORDS[kind]["message"] == kind


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("timestamp",), "2026-11-23T12:00:00.123Z"),  # a field of version 1
        (("traffic",), "alive"),
        (("record_version",), 1),
        (("prediction", "score"), 1.5),
        (("prediction", "label"), ""),
        (("prediction", "probability", "another"), 1.5),
        (("model", "calibrated"), True),
        (("input", "hash"), "sentence"),
        (("input", "flags"), ["odd"]),
        (("input", "surprise"), 1),
        (("input", "sig", "s0"), 128),
        (("input", "sig", "s7"), 0.5),
        (("input", "surprisal"), -0.1),
        (("input", "novelty"), None),
        (("model", "profile"), None),
        (("prediction_id",), None),
        (("sentence",), "an undeclared field"),
        (("prediction",), {"label": "a label", "score": 0.9}),  # signals of the text are missing
    ],
    ids=lambda part: ".".join(part) if isinstance(part, tuple) else "",
)
def test_the_schema_refuses_a_record_with_a_wrong_value_or_field(
    path: tuple[str, ...], value: object
) -> None:
    record = copy.deepcopy(RECORDS["prediction"])
    place = record
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    assert not Draft202012Validator(SCHEMA).is_valid(record)


def test_the_subscription_filter_passes_every_kind_of_record(template: Template) -> None:
    (_, pattern, _) = template.subscriptions[0]
    assert set(SCHEMA["properties"]["message"]["enum"]) == set(RECORDS)
    for record in (*RECORDS.values(), FEEDBACK):
        assert matches(pattern, json.dumps(record))


def test_the_sample_feedback_fits_its_schema_and_the_index_template() -> None:
    Draft202012Validator.check_schema(FEEDBACK_SCHEMA)
    Draft202012Validator(FEEDBACK_SCHEMA).validate(FEEDBACK)
    event = subscription_event([log_event(json.dumps(FEEDBACK), NOON)], make_payload.LOG_GROUP)
    (source,) = sources(decode(event, limit=1_000_000))
    assert source["@kind"] == "feedback"
    judgement = source.pop("feedback")
    assert judgement == {name: FEEDBACK[name] for name in judgement}
    mapped = dict(_leaves(index_template()["template"]["mappings"]["properties"]))
    assert {f"feedback.{name}" for name in judgement} == {
        name for name in mapped if name.startswith("feedback.")
    }
    assert set(FEEDBACK) - set(judgement) <= set(source) & set(mapped)


def payload(name: str, events: Path = EVENTS) -> Payload:
    return decode(json.loads((events / "shipper" / f"{name}.json").read_text()), limit=1_000_000)


def sources(of: Payload) -> list[dict[str, Any]]:
    rules = Rules(stack="prediction-monitor", record_groups=frozenset({make_payload.LOG_GROUP}))
    return [json.loads(document.source) for document in documents(of, rules, Counter(), now=0)]


def test_the_sample_payload_carries_the_sample_records() -> None:
    lines = [line(event)[0] for event in payload("subscription").events]
    assert [json.loads(text) for text in lines] == list(RECORDS.values())
    assert sources(payload("control-message")) == []


def test_a_document_has_the_fields_of_its_record_and_of_the_envelope() -> None:
    found = payload("subscription")
    for event, source, record in zip(found.events, sources(found), RECORDS.values(), strict=True):
        assert set(source) == set(record) | set(ENVELOPE) - {"@rescued", "@function_version"}
        assert source["@kind"] == record["message"]
        assert {name: source[name] for name in record} == record
        assert source["@message"] == line(event)[0]


def test_the_mixed_payload_holds_lines_of_every_kind() -> None:
    found = payload("mixed-lines")
    lines = [line(event)[0] for event in found.events]
    assert [read_line(text).kind for text in lines] == [
        Kind.OBJECT, Kind.OBJECT, Kind.TEXT, Kind.TEXT, Kind.TEXT,
        Kind.PLATFORM, Kind.PLATFORM, Kind.PLATFORM, Kind.METRICS,
        Kind.OBJECT, Kind.OBJECT, Kind.OBJECT, Kind.OBJECT,
    ]  # fmt: skip
    assert [int(event.id) % 100 for event in found.events] == list(range(10, 10 + len(lines)))
    assert [source["@message"] for source in sources(found)] == lines


def test_the_script_writes_the_sample_payloads(tmp_path: Path) -> None:
    for folder in ("shipper", "kinesis"):
        (tmp_path / folder).mkdir()
    for kind in RECORDS:
        shutil.copy(EVENTS / f"record.{kind}.json", tmp_path)
    make_payload.main(tmp_path)
    names = {path.stem for path in (EVENTS / "shipper").iterdir()}
    assert {path.stem for path in (tmp_path / "shipper").iterdir()} == names
    for name in names:
        written, kept = payload(name, tmp_path), payload(name)
        assert sources(written) == sources(kept)
        assert (written.kind, written.log_group) == (kept.kind, kept.log_group)
    in_stream, same = (
        json.loads((folder / "kinesis" / "batch.json").read_text())["Records"]
        for folder in (tmp_path, EVENTS)
    )
    assert [record.pop("kinesis").pop("data") != "" for record in in_stream] == [True] * len(names)
    assert [sorted(record) for record in in_stream] == [
        sorted(record.keys() - {"kinesis"}) for record in same
    ]


def test_the_shipper_has_the_fields_and_kinds_of_the_envelope_contract() -> None:
    contract = json.loads((EVENTS / "envelope.json").read_text())
    assert list(contract["fields"]) == list(ENVELOPE)
    assert set(contract["kinds"]["records"]) == provenance.RECORDS
    assert (contract["kinds"]["other"], contract["kinds"]["record_filter"]) == (
        provenance.LOG,
        provenance.RECORD_FILTER,
    )
    assert set(SCHEMA["properties"]["message"]["enum"]) <= provenance.RECORDS


def test_the_default_prefix_is_the_same_everywhere() -> None:
    prefix = json.loads((EVENTS / "envelope.json").read_text())["indices"]["prefix"]
    kibana = ROOT / "kibana"
    of_index_pattern = kibana / "saved" / "index-pattern" / "prediction-monitor-cwl.json"
    roles = [role["index_permissions"] for role in ROLES.values()]
    found = {
        "template.yaml": load()["Parameters"]["IndexPrefix"]["Default"],
        "index_prefix.py": PREFIX,
        "events/env.json": json.loads((EVENTS / "env.json").read_text())["ShipperFunction"][
            "INDEX_PREFIX"
        ],
    }
    patterns = {
        "local": [opensearch.PATTERN],
        "monitor": [INDEX],
        "kibana/index_template.json": json.loads((kibana / "index_template.json").read_text())[
            "index_patterns"
        ],
        "kibana/retention.json": json.loads((kibana / "retention.json").read_text())["policy"][
            "ism_template"
        ][0]["index_patterns"],
        "index pattern": [json.loads(of_index_pattern.read_text())["attributes"]["title"]],
        "roles": [permissions[0]["index_patterns"][0] for permissions in roles],
    }
    assert found == dict.fromkeys(found, prefix)
    assert {name: each for name, each in patterns.items() if set(each) != {f"{prefix}*"}} == {}


def test_the_index_template_has_a_type_for_every_field_of_the_schema() -> None:
    mapped = dict(_leaves(index_template()["template"]["mappings"]["properties"]))
    for name, declared in _fields(SCHEMA):
        assert name in mapped, f"{name} is in the schema, but not in the index template"
        assert mapped[name] in TYPES[declared], (
            f"{name}: {declared} in the schema, {mapped[name]} in the index template"
        )
    assert set(mapped) >= set(ENVELOPE) - {"@rescued"}


def test_the_document_of_an_older_record_has_its_kind_and_fields() -> None:
    assert {name.split(".")[1] for name in OLD} == set(RECORDS)
    events = [log_event(json.dumps(record), NOON) for record in OLD.values()]
    old = subscription_event(events, make_payload.LOG_GROUP)
    found = sources(decode(old, limit=1_000_000))
    mapped = dict(_leaves(index_template()["template"]["mappings"]["properties"]))
    for source, record in zip(found, OLD.values(), strict=True):
        assert record["record_version"] < RECORDS[record["message"]]["record_version"]
        assert source["@kind"] == record["message"]
        assert {name: source[name] for name in record} == record
        fixed = {name for name in _names(record) if not name.startswith(NAMED_BY_THE_MODEL)}
        assert fixed <= set(mapped)


def test_an_older_record_lacks_only_fields_that_no_reader_needs() -> None:
    for record in OLD.values():
        newest = RECORDS[record["message"]]
        assert set(_names(newest)) - set(_names(record)) <= NEW_FIELDS


def test_the_index_template_has_every_field_that_a_rescue_adds() -> None:
    """A rescue indexes a refused document with fewer fields, and says why in `@rescued`."""
    rescue = index_template()["template"]["mappings"]["properties"]["@rescued"]["properties"]
    # The group `twice` is not the name of a field. If the group matches, the rescue writes the
    # text "twice in one object" into the field `name`.
    named = {*FIELD.groupindex, *LIMIT.groupindex} - {"twice"}
    assert set(rescue) == {"status", "type", *named}


def test_only_fields_that_kibana_searches_by_word_are_text() -> None:
    text = {
        name
        for name, kind in _leaves(index_template()["template"]["mappings"]["properties"])
        if kind == "text"
    }
    assert text == {"@message", "message", "text", "prediction.label"}


def _leaves(properties: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for name, mapping in properties.items():
        if "properties" in mapping:
            yield from _leaves(mapping["properties"], f"{prefix}{name}.")
        else:
            yield prefix + name, mapping["type"]


def _names(record: dict[str, Any], prefix: str = "") -> Iterator[str]:
    """Return the dotted names of all values of a record."""
    for name, value in record.items():
        if isinstance(value, dict):
            yield from _names(value, f"{prefix}{name}.")
        else:
            yield prefix + name


def _fields(schema: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Return the dotted name and the JSON type of each field of a schema.

    References, and the schemas of each kind of record, are followed.
    """
    for kind in schema.get("oneOf", []):
        yield from _fields(_resolved(kind), prefix)
    for name, found in schema.get("properties", {}).items():
        part = found | _resolved(found)
        if part.get("type") == "object":
            yield from _fields(part, f"{prefix}{name}.")
        else:
            example = part.get("const", next(iter(part.get("enum", [])), ""))
            kind = (
                "byte"
                if (part.get("minimum"), part.get("maximum")) == (-127, 127)
                else part.get("type")
            )
            yield (
                prefix + name,
                kind or ("integer" if isinstance(example, int) else "string"),
            )


def _resolved(part: dict[str, Any]) -> dict[str, Any]:
    name = part.get("$ref", "").removeprefix("#/$defs/")
    found: dict[str, Any] = SCHEMA["$defs"][name] if name else part
    return found
