"""Tests POST /feedback: the labels that it accepts, the lines that it logs, and its refusals."""

from __future__ import annotations

import importlib
import io
import json
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any, NoReturn

import pytest
from jsonschema import Draft202012Validator

from inference.feedback import MOST, parse_feedback
from inference.problem import Refused
from tests.models import TESTED
from tests.unit.conftest import Context, forget_handler
from tools.root import ROOT

SCHEMA = Draft202012Validator(json.loads((ROOT / "events" / "feedback.schema.json").read_text()))
LABELS: list[str] = json.loads((TESTED / "card.json").read_text(encoding="utf-8"))["labels"]
ID = "5fc1d2bd971c4d919575d426eb262035"
ONE = {"prediction_id": ID, "label": LABELS[0]}
FULL = ONE | {"source": "audit", "explanation": "a quokka", "identifier": "review-17"}

Load = Callable[..., ModuleType]


class Unwritable(io.StringIO):
    def write(self, _text: str) -> NoReturn:
        raise OSError(28, "No space left on device")


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Iterator[Load]:
    def fresh(**environment: str) -> ModuleType:
        forget_handler("inference.handler", "inference")
        for name, value in {"HASH_KEY": "the key of the tests", **environment}.items():
            monkeypatch.setenv(name, value)
        return importlib.import_module("inference.handler")

    yield fresh
    forget_handler("inference.handler", "inference")


def posted(body: Any) -> dict[str, Any]:
    return {
        "rawPath": "/feedback",
        "requestContext": {"requestId": "AbCdEfGhIjKlMnO="},
        "body": json.dumps(body),
        "isBase64Encoded": False,
    }


def split(output: str) -> tuple[list[dict[str, Any]], dict[str, int]]:
    """Return the log records and the metrics in an output."""
    found = [json.loads(line) for line in output.splitlines() if line]
    counted = {
        each["Name"]: line[each["Name"]]
        for line in found
        if "_aws" in line
        for each in line["_aws"]["CloudWatchMetrics"][0]["Metrics"]
    }
    return [line for line in found if "_aws" not in line], counted


def test_each_label_is_logged_as_the_schema_says(
    load: Load, capsys: pytest.CaptureFixture[str]
) -> None:
    answer = load().handler(posted({"feedback": [ONE, FULL]}), Context())
    assert (answer["statusCode"], json.loads(answer["body"])) == (202, {"accepted": 2})
    lines, counted = split(capsys.readouterr().out)
    for line, given in zip(lines, [ONE, FULL], strict=True):
        SCHEMA.validate(line)
        assert {name: line[name] for name in given} == given
        assert (line["message"], line["correlation_id"]) == ("feedback", "AbCdEfGhIjKlMnO=")
        assert "model" not in line  # the prediction may be from an earlier version
    assert counted == {"FeedbackAccepted": 2}


def test_the_explanation_is_logged_only_if_texts_are_logged(
    load: Load, capsys: pytest.CaptureFixture[str]
) -> None:
    load(LOG_TEXT="false").handler(posted(FULL), Context())
    output = capsys.readouterr().out
    assert "quokka" not in output
    assert "review-17" in output


@pytest.mark.parametrize("path", ["rawPath", "path"])
def test_a_request_with_feedback_is_recognised_in_both_event_formats(
    path: str, load: Load, capsys: pytest.CaptureFixture[str]
) -> None:
    event = posted(ONE)
    event[path] = "/stage" * (path == "path") + event.pop("rawPath")
    assert load().handler(event, Context())["statusCode"] == 202
    assert split(capsys.readouterr().out)[1] == {"FeedbackAccepted": 1}


@pytest.mark.parametrize(
    ("body", "kind", "field"),
    [
        (ONE | {"prediction_id": ID.upper()}, "field-invalid", "prediction_id"),
        (ONE | {"prediction_id": ID + "\n"}, "field-invalid", "prediction_id"),
        (ONE | {"prediction_id": None}, "field-invalid", "prediction_id"),
        ({"prediction_id": ID}, "field-missing", "label"),
        (ONE | {"label": "another"}, "label-unknown", "label"),
        (ONE | {"label": [LABELS[0]]}, "label-unknown", "label"),
        (ONE | {"source": "robot"}, "field-invalid", "source"),
        (ONE | {"source": ["human"]}, "field-invalid", "source"),
        (ONE | {"explanation": "x" * 1001}, "field-invalid", "explanation"),
        (ONE | {"explanation": "\ud800"}, "field-invalid", "explanation"),
        (ONE | {"identifier": ""}, "field-invalid", "identifier"),
        (ONE | {"identifier": 5}, "field-invalid", "identifier"),
        ({"feedback": []}, "field-invalid", "feedback"),
        ({"feedback": ONE}, "field-invalid", "feedback"),
        ({"feedback": [ONE, 5]}, "field-invalid", "feedback[1]"),
        ({"feedback": [ONE, ONE | {"label": ""}]}, "label-unknown", "feedback[1].label"),
        ({"feedback": [ONE] * (MOST + 1)}, "too-many-labels", "feedback"),
        (ONE | {"feedback": [ONE]}, "field-ambiguous", "feedback"),
    ],
)
def test_the_refusal_of_an_invalid_label_names_the_field(
    body: dict[str, Any], kind: str, field: str
) -> None:
    with pytest.raises(Refused) as caught:
        parse_feedback(posted(body), LABELS)
    assert (caught.value.kind, caught.value.field) == (kind, field)


def test_no_label_of_a_batch_is_logged_if_one_label_is_refused(
    load: Load, capsys: pytest.CaptureFixture[str]
) -> None:
    answer = load().handler(posted({"feedback": [ONE, ONE | {"label": "another"}]}), Context())
    assert answer["statusCode"] == 422
    assert split(capsys.readouterr().out) == ([], {"FeedbackRefused": 1})


def test_labels_that_cannot_be_written_are_not_accepted(
    load: Load, capsys: pytest.CaptureFixture[str]
) -> None:
    module = load()
    module.logger.logger_handler.setStream(Unwritable())
    answer = module.handler(posted(FULL), Context())
    assert answer["statusCode"] == 500
    assert json.loads(answer["body"])["type"] == "urn:prediction-monitor:feedback-failed"
    assert "quokka" not in capsys.readouterr().out
