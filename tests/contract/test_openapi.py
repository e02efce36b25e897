"""Tests that docs/openapi.yaml agrees with the code.

The tests compare its routes, limits, problems and examples with the code, and with the answers of
the inference function.
"""

from __future__ import annotations

import copy
import importlib
import json
import re
import sys
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import jsonschema_rs
import pytest
import schemathesis
from jsonschema import Draft202012Validator

import local.gateway
from inference.feedback import MOST, SOURCES, TEXTS, asks_feedback
from inference.problem import STATUS, FeedbackFailed
from inference.request import MAX_CHARS, MAX_SENTENCES, TRAFFIC
from local.gateway import gateway, http_answer, http_event
from local.template import read
from tests.contract.openapi import (
    DOCUMENT,
    FEEDBACK,
    JSON,
    OPERATION,
    OPERATIONS,
    PREDICT,
    PROBLEM,
    SCHEMAS,
    ask,
    contents,
    resolved,
    validator,
)
from tests.models import TESTED
from tests.unit.conftest import Context, forget_handler
from tools.root import ROOT

EVENTS = ROOT / "events" / "inference"
CARD = json.loads((TESTED / "card.json").read_text(encoding="utf-8"))
RECORD = json.loads((ROOT / "events" / "record.schema.json").read_text())
LINE = json.loads((ROOT / "events" / "feedback.schema.json").read_text())["properties"]
ROUTE = ("POST", PREDICT)
URN = "urn:prediction-monitor:"
# Statuses that only the local gateway returns: AWS rejects bad HTTP before an HTTP API sees it.
LOCAL_ONLY = {local.gateway.BAD_REQUEST[0], local.gateway.LENGTH_REQUIRED[0]}
# Answers that only AWS gives: the local gateway asks for no signature and does not throttle.
AWS_ONLY = {403: {"message": "Forbidden"}, 429: {"message": "Too Many Requests"}}

Answer = tuple[int, str, Any]
Handle = Callable[[Any], Any]


class FailingLog:
    def feedback(self, several: list[Any]) -> NoReturn:
        raise FeedbackFailed(OSError(f"no room for {several}"))

    def feedback_problem(self, _problem: Any) -> None:
        pass


class FailingClassifier:
    def predict(self, _sentence: str) -> NoReturn:
        raise RuntimeError


def examples(content: dict[str, Any]) -> dict[str, Any]:
    """Return the examples of a media type object by name. A single example has the name ""."""
    return (
        {"": content["example"]}
        if "example" in content
        else {name: each["value"] for name, each in content["examples"].items()}
    )


def closed(part: Any) -> Any:
    """Return the schemas in `part`, changed so that they permit no further fields.

    The document lets an answer have further fields, so that later versions can add some. But the
    function must send only the documented fields.
    """
    if isinstance(part, list):
        return [closed(each) for each in part]
    if not isinstance(part, dict):
        return part
    shut = {name: closed(each) for name, each in part.items()}
    return (
        shut | {"unevaluatedProperties": False}
        if part.get("type") == "object" or "allOf" in part
        else shut
    )


BODY = validator(OPERATION["requestBody"]["content"][JSON]["schema"])
REQUESTS = examples(OPERATION["requestBody"]["content"][JSON])
# `Problem` stays open, because other schemas extend it. These other schemas are closed.
EXACT = {name: schema if name == "Problem" else closed(schema) for name, schema in SCHEMAS.items()}


@pytest.fixture(scope="module")
def module() -> Iterator[Any]:
    """Yield the inference function in this process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HASH_KEY", "the key of the tests")
        patch.delenv("LOG_TEXT", raising=False)
        forget_handler("inference.handler", "inference")
        yield importlib.import_module("inference.handler")
        forget_handler("inference.handler", "inference")


@pytest.fixture
def handle(module: Any) -> Handle:
    return lambda event: module.handler(event, Context())


def answered(handle: Handle, event: Any) -> Answer:
    status, headers, body = http_answer(handle(event))
    return status, headers["content-type"], json.loads(body)


def posted(handle: Handle, body: bytes, path: str = PREDICT) -> Answer:
    return answered(handle, http_event(("POST", path), path, {"content-type": JSON}, body))


# --- the document is valid OpenAPI 3.1


def test_the_document_is_valid_openapi() -> None:
    assert DOCUMENT["openapi"].startswith("3.1.")
    schemathesis.openapi.from_dict(copy.deepcopy(DOCUMENT)).validate()
    for schema in SCHEMAS.values():
        Draft202012Validator.check_schema(schema)


@pytest.mark.parametrize(
    "path",
    [
        ("info", "title"),
        ("paths", "/predict", "post", "responses", "200", "description"),
        ("components", "securitySchemes", "signature", "in"),
    ],
    ids=".".join,
)
def test_a_document_that_lacks_something_is_not_valid(path: tuple[str, ...]) -> None:
    document = copy.deepcopy(DOCUMENT)
    place = document
    for step in path[:-1]:
        place = place[step]
    del place[path[-1]]
    with pytest.raises(jsonschema_rs.ValidationError, match=f'"{path[-1]}" is a required property'):
        schemathesis.openapi.from_dict(document).validate()


def test_every_reference_has_a_target_and_every_component_is_referenced() -> None:
    found = set(re.findall(r'"\$ref": "#/components/(\w+/\w+)"', json.dumps(DOCUMENT)))
    components = {
        f"{kind}/{name}"
        for kind in ("schemas", "responses")
        for name in DOCUMENT["components"][kind]
    }
    assert found == components
    assert {name for each in DOCUMENT["security"] for name in each} == set(
        DOCUMENT["components"]["securitySchemes"]
    )


# --- the document agrees with the code


def test_the_operations_are_the_routes_of_the_template() -> None:
    assert {
        (method.upper(), path) for path, item in DOCUMENT["paths"].items() for method in item
    } == set(read().routes)


# For each route, the problems that no other route returns.
ONLY = {
    PREDICT: {
        "sentence-blank", "sentence-not-unicode", "sentence-too-long", "too-many-sentences",
        "prediction-failed",
    },
    FEEDBACK: {"label-unknown", "too-many-labels", "feedback-failed"},
}  # fmt: skip


def problems(path: str) -> set[str]:
    (other,) = set(ONLY) - {path}
    return set(STATUS) - ONLY[other]


@pytest.mark.parametrize("path", OPERATIONS)
def test_the_document_lists_the_problems_that_the_code_has_for_each_status(path: str) -> None:
    expected: defaultdict[int, set[str]] = defaultdict(set)
    for problem in problems(path):
        expected[STATUS[problem]].add(URN + problem)
    listed = {}
    for (status, kind), content in contents(path).items():
        if kind == PROBLEM:
            _, special = resolved(content["schema"])["allOf"]
            assert special["properties"]["status"] == {"const": status}
            listed[status] = set(special["properties"]["type"]["enum"])
    assert listed == expected


def test_the_documented_limits_are_those_of_the_code() -> None:
    assert SCHEMAS["Sentence"]["maxLength"] == MAX_CHARS
    assert SCHEMAS["Request"]["properties"]["sentences"]["maxItems"] == MAX_SENTENCES
    assert SCHEMAS["Answers"]["properties"]["predictions"]["maxItems"] == MAX_SENTENCES
    label, batch = SCHEMAS["Label"]["properties"], SCHEMAS["Feedback"]["oneOf"][1]
    assert batch["properties"]["feedback"]["maxItems"] == MOST
    assert SCHEMAS["Accepted"]["properties"]["accepted"]["maximum"] == MOST
    assert label["source"]["enum"] == list(SOURCES) == LINE["source"]["enum"]
    for name, most in TEXTS.items():
        assert label[name]["maxLength"] == most == LINE[name]["maxLength"]
    traffic = SCHEMAS["Request"]["properties"]["traffic"]
    assert traffic["enum"] == list(TRAFFIC) == RECORD["properties"]["traffic"]["enum"]
    assert traffic["default"] == TRAFFIC[0]


def test_the_documented_pattern_and_the_function_agree_on_blank_characters() -> None:
    pattern = re.compile(SCHEMAS["Sentence"]["pattern"])
    assert [
        each
        for each in map(chr, range(sys.maxunicode + 1))
        if bool(pattern.search(each)) is not bool(each.strip())
    ] == []


def test_api_and_record_accept_any_string_as_a_label() -> None:
    """A label is not limited to the labels of the shipped model."""
    recorded = RECORD["$defs"]["prediction"]["properties"]["prediction"]["properties"]
    for label in (
        SCHEMAS["Answer"]["properties"]["prediction"]["properties"]["label"],
        SCHEMAS["Label"]["properties"]["label"],
        recorded["label"],
    ):
        assert (label["type"], label["minLength"]) == ("string", 1)
        assert "enum" not in label


@pytest.mark.parametrize("path", OPERATIONS)
def test_the_documented_answers_of_the_gateway_are_those_of_the_local_gateway(path: str) -> None:
    answers = {
        value[0]: value[1]
        for value in vars(local.gateway).values()
        if isinstance(value, tuple) and isinstance(value[0], int)
    }
    documented = {
        status: content["example"]
        for (status, kind), content in contents(path).items()
        if kind == JSON and status not in {200, 202}
    }
    assert (
        documented
        == {status: body for status, body in answers.items() if status not in LOCAL_ONLY} | AWS_ONLY
    )


# --- examples, and the handler's answers


@pytest.mark.parametrize("name", REQUESTS)
def test_every_example_of_a_request_is_valid(name: str) -> None:
    BODY.validate(REQUESTS[name])


@pytest.mark.parametrize(
    ("name", "sample"), [("one", "direct"), ("canary", "direct-canary"), ("batch", "direct-batch")]
)
def test_the_examples_of_requests_are_the_sample_events(name: str, sample: str) -> None:
    assert set(REQUESTS) == {"one", "canary", "batch"}
    assert REQUESTS[name] == json.loads((EVENTS / f"{sample}.json").read_text())


@pytest.mark.parametrize(
    ("path", "place"), [(path, place) for path in OPERATIONS for place in contents(path)], ids=str
)
def test_every_example_of_an_answer_is_valid(path: str, place: tuple[int, str]) -> None:
    found = examples(contents(path)[place])
    assert found
    for example in found.values():
        validator(contents(path)[place]["schema"]).validate(example)


LABELS = examples(OPERATIONS[FEEDBACK]["requestBody"]["content"][JSON])


@pytest.mark.example
@pytest.mark.parametrize("name", LABELS)
def test_the_examples_of_feedback_are_valid_and_accepted(name: str, handle: Handle) -> None:
    validator(OPERATIONS[FEEDBACK]["requestBody"]["content"][JSON]["schema"]).validate(LABELS[name])
    status, content_type, body = posted(handle, json.dumps(LABELS[name]).encode(), FEEDBACK)
    assert (status, body) == (202, examples(contents(FEEDBACK)[status, content_type])[name])
    sample = json.loads((EVENTS / "http-api-v2-feedback.json").read_text())
    assert json.loads(sample["body"]) == LABELS["batch"]


@pytest.mark.example
@pytest.mark.parametrize("name", REQUESTS)
def test_each_documented_request_gets_its_documented_answer(name: str, handle: Handle) -> None:
    status, content_type, body = posted(handle, json.dumps(REQUESTS[name]).encode())
    shown = examples(contents()[status, content_type])
    assert set(shown) == set(REQUESTS)
    of_shown, of_body = (answer.get("predictions", [answer]) for answer in (shown[name], body))
    assert ("predictions" in shown[name]) is ("predictions" in body)
    for one, other in zip(of_shown, of_body, strict=True):
        assert {"text": one["text"], "model": one["model"]} == {
            "text": other["text"],
            "model": other["model"],
        }
        assert one["prediction"]["label"] == other["prediction"]["label"]
        assert one["prediction"]["score"] == pytest.approx(other["prediction"]["score"], abs=0.01)


# The keys are problems. The values are bodies that are refused with this problem.
REFUSED = {
    "body-missing": b"",
    "body-not-utf8": b"\xff",
    "body-not-json": b'{"sentence": "a',
    "body-not-an-object": b'["The boy is sitting on a bench"]',
    "field-missing": b"{}",
    "field-ambiguous": b'{"sentence": "a", "sentences": ["a"]}',
    "field-invalid": b'{"sentence": 17}',
    "sentence-blank": b'{"sentence": "   "}',
    "sentence-not-unicode": b'{"sentence": "\\ud800"}',
    "sentence-too-long": json.dumps({"sentence": "a" * (MAX_CHARS + 1)}).encode(),
    "too-many-sentences": json.dumps({"sentences": ["a"] * (MAX_SENTENCES + 1)}).encode(),
}
GIVEN = {"prediction_id": "5fc1d2bd971c4d919575d426eb262035", "label": "fine"}
REFUSED_FEEDBACK = {
    "body-missing": b"",
    "body-not-utf8": b"\xff",
    "body-not-json": b'{"prediction_id',
    "body-not-an-object": b"[]",
    "field-missing": b"{}",
    "field-ambiguous": json.dumps({"label": CARD["labels"][-1], "feedback": []}).encode(),
    "field-invalid": json.dumps({"prediction_id": "17", "label": CARD["labels"][-1]}).encode(),
    "label-unknown": json.dumps({"feedback": [GIVEN]}).encode(),
    "too-many-labels": json.dumps({"feedback": [GIVEN] * (MOST + 1)}).encode(),
}
CASES = [(PREDICT, *each) for each in REFUSED.items()] + [
    (FEEDBACK, *each) for each in REFUSED_FEEDBACK.items()
]
# Problems that no body of a request causes.
WITHOUT_A_BODY = {
    PREDICT: {"body-not-base64", "prediction-failed"},
    FEEDBACK: {"body-not-base64", "feedback-failed"},
}


def shown(kind: str, path: str = PREDICT) -> Answer:
    """Return the document's example of a problem."""
    ((status, content),) = [
        (at[0], each) for at, each in contents(path).items() if kind in each.get("examples", {})
    ]
    return status, PROBLEM, content["examples"][kind]["value"]


@pytest.mark.parametrize("path", OPERATIONS)
def test_every_problem_has_an_example(path: str) -> None:
    assert {kind for at, kind, _ in CASES if at == path} | WITHOUT_A_BODY[path] == problems(path)
    assert {
        name
        for (_, kind), content in contents(path).items()
        if kind == PROBLEM
        for name in content["examples"]
    } == problems(path)


@pytest.mark.example  # one example lists the labels of the model
@pytest.mark.parametrize(("path", "kind", "body"), CASES)
def test_each_problem_is_answered_as_documented(
    path: str, kind: str, body: bytes, handle: Handle
) -> None:
    assert posted(handle, body, path) == shown(kind, path)
    responses = OPERATIONS[path]["responses"]
    summary = responses[str(STATUS[kind])]["content"][PROBLEM]["examples"][kind]["summary"]
    assert not summary.startswith(("{", "[")) or summary == body.decode()


def test_feedback_that_cannot_be_logged_is_answered_as_documented(
    module: Any, handle: Handle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "record_log", FailingLog())
    body = json.dumps(GIVEN | {"label": CARD["labels"][0]}).encode()
    assert posted(handle, body, FEEDBACK) == shown("feedback-failed", FEEDBACK)


def test_a_body_wrongly_marked_as_base64_is_answered_as_documented(handle: Handle) -> None:
    event = json.loads((EVENTS / "http-api-v2-base64.json").read_text()) | {"body": "%%%"}
    assert answered(handle, event) == shown("body-not-base64")
    event = json.loads((EVENTS / "http-api-v2-feedback.json").read_text())
    event |= {"body": "%%%", "isBase64Encoded": True}
    assert answered(handle, event) == shown("body-not-base64", FEEDBACK)


def test_a_failed_prediction_is_answered_as_documented(
    module: Any, handle: Handle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "classifier", FailingClassifier())
    assert posted(handle, b'{"sentence": "a"}') == shown("prediction-failed")


SAMPLES = sorted(
    path for path in EVENTS.iterdir() if "requestContext" in json.loads(path.read_text())
)


def path_of(sample: Path) -> str:
    return FEEDBACK if asks_feedback(json.loads(sample.read_text())) else PREDICT


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda path: path.stem)
def test_the_answer_to_a_sample_event_is_documented(sample: Path, handle: Handle) -> None:
    status, content_type, body = answered(handle, json.loads(sample.read_text()))
    schema = contents(path_of(sample))[status, content_type]["schema"]
    validator(schema).validate(body)
    # The answer has no field that the document does not name.
    Draft202012Validator({"components": {"schemas": EXACT}, **schema}).validate(body)
    with_more = {**body, "more": 1}
    assert not Draft202012Validator({"components": {"schemas": EXACT}, **schema}).is_valid(
        with_more
    )


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda path: path.stem)
@pytest.mark.parametrize(
    "renamed",
    [
        "text",
        "label",
        "score",
        "prediction_id",
        "version",
        "predictions",
        "type",
        "status",
        "detail",
        "field",
        "accepted",
    ],
)
def test_an_answer_with_a_renamed_field_does_not_fit_the_document(
    sample: Path, renamed: str, handle: Handle
) -> None:
    status, content_type, body = answered(handle, json.loads(sample.read_text()))
    text = json.dumps(body)
    other = text.replace(f'"{renamed}":', f'"{renamed}s":')
    schema = contents(path_of(sample))[status, content_type]["schema"]
    assert validator(schema).is_valid(json.loads(other)) is (other == text)


# --- schemathesis reports a document that is wrong


@pytest.fixture(scope="module")
def url(module: Any) -> Iterator[str]:
    """Run the local gateway with the function in this process, and yield its address."""
    routes = dict.fromkeys(read().routes, lambda event: module.handler(event, Context()))
    with gateway(0, routes) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def status_422_left_out(
    _document: dict[str, Any], operation: dict[str, Any], _schemas: dict[str, Any]
) -> None:
    del operation["responses"]["422"]


def problems_as_plain_json(
    _document: dict[str, Any], operation: dict[str, Any], _schemas: dict[str, Any]
) -> None:
    operation["responses"]["422"]["content"] = {
        JSON: operation["responses"]["422"]["content"][PROBLEM]
    }


def model_left_out(
    _document: dict[str, Any], _operation: dict[str, Any], schemas: dict[str, Any]
) -> None:
    del schemas["Answer"]["properties"]["model"]
    schemas["Answer"] |= {
        "required": ["text", "prediction", "prediction_id"],
        "additionalProperties": False,
    }


def another_label(
    _document: dict[str, Any], _operation: dict[str, Any], schemas: dict[str, Any]
) -> None:
    schemas["Answer"]["properties"]["prediction"]["properties"]["label"]["enum"] = ["fine", "bad"]


def a_lower_limit(
    _document: dict[str, Any], _operation: dict[str, Any], schemas: dict[str, Any]
) -> None:
    schemas["Sentence"]["maxLength"] = MAX_CHARS - 1


def a_larger_batch(
    _document: dict[str, Any], _operation: dict[str, Any], schemas: dict[str, Any]
) -> None:
    schemas["Request"]["properties"]["sentences"]["maxItems"] = MAX_SENTENCES + 1


def blank_sentences_allowed(
    _document: dict[str, Any], _operation: dict[str, Any], schemas: dict[str, Any]
) -> None:
    del schemas["Sentence"]["pattern"], schemas["Sentence"]["minLength"]


def both_fields_allowed(
    _document: dict[str, Any], _operation: dict[str, Any], schemas: dict[str, Any]
) -> None:
    schemas["Request"]["anyOf"] = schemas["Request"].pop("oneOf")


def another_path(
    document: dict[str, Any], _operation: dict[str, Any], _schemas: dict[str, Any]
) -> None:
    document["paths"]["/predictions"] = document["paths"].pop("/predict")


@pytest.mark.parametrize(
    ("flaw", "check"),
    [
        (status_422_left_out, "status_code_conformance"),
        (problems_as_plain_json, "content_type_conformance"),
        (model_left_out, "response_schema_conformance"),
        (another_label, "response_schema_conformance"),
        (a_lower_limit, "negative_data_rejection"),
        (a_larger_batch, "positive_data_acceptance"),
        (blank_sentences_allowed, "positive_data_acceptance"),
        (both_fields_allowed, "positive_data_acceptance"),
        (another_path, "positive_data_acceptance"),
    ],
    ids=lambda value: value.__name__ if callable(value) else "",
)
def test_a_flaw_of_the_document_is_reported(
    flaw: Callable[..., None], check: str, url: str
) -> None:
    document = copy.deepcopy(DOCUMENT)
    flaw(document, document["paths"]["/predict"]["post"], document["components"]["schemas"])
    assert check in ask(document, url, examples=5).failures


def test_a_server_error_is_reported(module: Any, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A documented server error is still a failure of the function."""
    monkeypatch.setattr(module, "classifier", FailingClassifier())
    assert "not_a_server_error" in ask(DOCUMENT, url, examples=5).failures


def test_no_flaw_is_reported_in_the_real_document(url: str) -> None:
    report = ask(DOCUMENT, url, examples=5)
    assert not report.failures, report.details
    assert report.requests > 40
