"""Tests the documents of feedback lines (events/feedback.schema.json)."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from msgspec import Raw

from shipper.decode import LogEvent, Payload
from shipper.document import Rules, documents
from shipper.field_map import field_map
from shipper.redact import Redaction
from tools.root import ROOT

SCHEMA = json.loads((ROOT / "events" / "feedback.schema.json").read_text(encoding="utf-8"))
SMALLEST = {"message": "feedback", "prediction_id": "17", "label": "positive"}
FULL = SMALLEST | {"source": "human", "explanation": "a joke", "identifier": "review-1"}
WRAPPED = {"level": "INFO", "timestamp": "2026-11-28T12:00:00Z"}


def made(line: str, rules: Rules | None = None, group: str = "group") -> dict[str, Any]:
    """Return the document of a line. Only the log group named "group" is trusted."""
    event = LogEvent("1", 1_795_435_200_000, Raw(json.dumps(line).encode()))
    payload = Payload("DATA_MESSAGE", "123456789012", group, "stream", [event])
    rules = (rules or Rules())._replace(record_groups=frozenset({"group"}))
    (found,) = documents(payload, rules, Counter(), now=0)
    assert not found.counts  # feedback does not count as a prediction
    document: dict[str, Any] = json.loads(found.source)
    return document


# the ways in which functions log feedback
FORMS = {
    "required fields only": SMALLEST,
    "every field": FULL,
    "Powertools": WRAPPED | FULL | {"location": "handler:12", "service": "reviews"},
    "a logger's message": WRAPPED | {"message": FULL},
    "Lambda's JSON format": WRAPPED | {"message": json.dumps(FULL), "requestId": "1"},
    "with the prediction": FULL | {"prediction": {"label": "negative"}},
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_each_form_of_a_feedback_line_gives_the_same_fields(form: dict[str, Any]) -> None:
    line = json.dumps(form)
    source = made(line)
    given = SMALLEST if form == SMALLEST else FULL
    Draft202012Validator(SCHEMA).validate(given)
    assert (source["@kind"], source["@message"]) == ("feedback", line)
    assert source["prediction_id"] == "17"
    assert source["feedback"] == {
        name: value for name, value in given.items() if name not in {"message", "prediction_id"}
    }
    assert not {"label", "source", "explanation", "identifier"} & set(source)


def test_the_field_map_renames_the_id_but_not_the_label() -> None:
    rules = Rules(names=field_map("prediction_id=request.id,prediction.label=label,text=source"))
    line = {"message": "feedback", "request": {"id": 17}, "label": "positive", "source": "human"}
    source = made(json.dumps(line), rules)
    assert source["prediction_id"] == 17
    assert source["feedback"] == {"label": "positive", "source": "human"}
    assert "prediction" not in source


def test_the_field_map_adds_neither_the_model_nor_the_traffic_to_feedback() -> None:
    """The service that logs the feedback is not the model."""
    rules = Rules(names=field_map("prediction_id=id,model.name=service,traffic=stage"))
    line = {"message": "feedback", "id": 17, "label": "positive", "service": "reviews"}
    source = made(json.dumps(line | {"stage": "test"}), rules)
    assert (source["prediction_id"], source["service"]) == (17, "reviews")
    assert not {"model", "traffic"} & set(source)


def test_an_object_with_the_name_of_a_feedback_field_is_not_moved() -> None:
    source = made(json.dumps(SMALLEST | {"source": {"ip": "192.0.2.1"}}))
    assert source["feedback"] == {"label": "positive"}
    assert source["source"] == {"ip": "192.0.2.1"}


def test_an_explanation_to_redact_is_missing_from_line_and_document() -> None:
    rules = Rules(redaction=Redaction({"explanation": "drop"}, (), b"key"))
    source = made(json.dumps(FULL), rules)
    assert "joke" not in json.dumps(source)
    assert source["feedback"]["label"] == "positive"


@pytest.mark.parametrize("line", [json.dumps(SMALLEST), json.dumps(WRAPPED | {"message": FULL})])
def test_lines_of_a_group_that_is_not_trusted_are_no_feedback(line: str) -> None:
    assert made(line, group="another")["@kind"] == "log"
