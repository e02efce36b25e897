"""Tests which events are valid requests, and why others are refused."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.problem import Refused
from inference.request import (
    MAX_CHARS,
    MAX_SENTENCES,
    Request,
    asks_description,
    correlation_id,
    is_http,
    parse,
)
from tools.root import ROOT

EVENTS = ROOT / "events" / "inference"
BENCH = "The boy is sitting on a bench"
BAD_JSON = {
    "not JSON": '{"sentence": "a',
    "blank": "  ",
    "byte order mark": '\ufeff{"sentence": "a"}',
    "number of 5,000 digits": f'{{"sentence": {"7" * 5000}}}',
    "100,000 levels of nesting": "[" * 100_000 + "]" * 100_000,
    "NaN": '{"sentence": "a", "more": NaN}',
    "infinity": '{"sentence": "a", "more": [-Infinity]}',
    "nesting never closed": '{"sentence": ' + "[" * 100_000,
}
# For each case: the body of the request, and the kind, status and field of the refusal.
BAD_BODIES: dict[str, tuple[Any, str, int, str]] = {
    "a list": ([BENCH], "body-not-an-object", 400, "body"),
    "a string": (BENCH, "body-not-an-object", 400, "body"),
    "null": (None, "body-not-an-object", 400, "body"),
    "a number": (17, "body-not-an-object", 400, "body"),
    "no sentence": ({}, "field-missing", 422, "sentence"),
    "misspelt field": ({"sentense": BENCH}, "field-missing", 422, "sentence"),
    "empty sentence": ({"sentence": ""}, "sentence-blank", 422, "sentence"),
    "blank sentence": ({"sentence": " \t\n\u3000"}, "sentence-blank", 422, "sentence"),
    "sentence is a number": ({"sentence": 17}, "field-invalid", 422, "sentence"),
    "sentence is null": ({"sentence": None}, "field-invalid", 422, "sentence"),
    "sentence is a list": ({"sentence": [BENCH]}, "field-invalid", 422, "sentence"),
    "10,001 characters": ({"sentence": "a" * 10_001}, "sentence-too-long", 413, "sentence"),
    "lone surrogate": ({"sentence": "a\ud800"}, "sentence-not-unicode", 422, "sentence"),
    "sentences is empty": ({"sentences": []}, "field-invalid", 422, "sentences"),
    "sentences is a string": ({"sentences": BENCH}, "field-invalid", 422, "sentences"),
    "sentences is null": ({"sentences": None}, "field-invalid", 422, "sentences"),
    "65 sentences": ({"sentences": [BENCH] * 65}, "too-many-sentences", 413, "sentences"),
    "second sentence is a number": (
        {"sentences": [BENCH, 17]},
        "field-invalid",
        422,
        "sentences[1]",
    ),
    "second sentence is null": (
        {"sentences": [BENCH, None, BENCH]},
        "field-invalid",
        422,
        "sentences[1]",
    ),
    "second sentence is blank": (
        {"sentences": [BENCH, " "]},
        "sentence-blank",
        422,
        "sentences[1]",
    ),
    "second sentence is too long": (
        {"sentences": [BENCH, "a" * 10_001]},
        "sentence-too-long",
        413,
        "sentences[1]",
    ),
    "second sentence is a lone surrogate": (
        {"sentences": [BENCH, "\udfff"]},
        "sentence-not-unicode",
        422,
        "sentences[1]",
    ),
    "both sentence and sentences": (
        {"sentence": BENCH, "sentences": [BENCH]},
        "field-ambiguous",
        422,
        "sentences",
    ),
    "unknown traffic": ({"sentence": BENCH, "traffic": "robots"}, "field-invalid", 422, "traffic"),
    "traffic is in capitals": (
        {"sentence": BENCH, "traffic": "LIVE"},
        "field-invalid",
        422,
        "traffic",
    ),
    "traffic is null": ({"sentence": BENCH, "traffic": None}, "field-invalid", 422, "traffic"),
    "traffic is a list": (
        {"sentence": BENCH, "traffic": ["live"]},
        "field-invalid",
        422,
        "traffic",
    ),
}


def direct(body: Any) -> Any:
    return body


def over_http(body: Any) -> Any:
    return {"requestContext": {}, "body": json.dumps(body), "isBase64Encoded": False}


def in_base64(body: Any) -> Any:
    return {
        "requestContext": {},
        "body": base64.b64encode(json.dumps(body).encode()).decode(),
        "isBase64Encoded": True,
    }


def outcome(event: Any) -> Request | Refused:
    try:
        return parse(event)
    except Refused as problem:
        return problem


def refused(event: Any) -> tuple[str, int, str | None]:
    with pytest.raises(Refused) as caught:
        parse(event)
    return caught.value.kind, int(caught.value.status), caught.value.field


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("direct", Request((BENCH,))),
        ("direct-canary", Request((BENCH,), traffic="canary")),
        ("direct-batch", Request((BENCH, "The boy are sitting on a bench"), batch=True)),
        ("rest-api-v1", Request((BENCH,))),
        ("http-api-v2", Request((BENCH,))),
        ("http-api-v2-base64", Request((BENCH,))),
        (
            "http-api-v2-batch",
            Request((BENCH, "Who did you wonder whether met yesterday?"), batch=True),
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_example_events_are_understood(name: str, expected: Request) -> None:
    assert parse(json.loads((EVENTS / f"{name}.json").read_text(encoding="utf-8"))) == expected


@pytest.mark.parametrize("wrap", [direct, over_http, in_base64])
@pytest.mark.parametrize(
    ("body", "expected"),
    [
        pytest.param(
            {"sentence": "a" * MAX_CHARS}, Request(("a" * 10_000,)), id="10,000 characters"
        ),
        pytest.param(
            {"sentence": "😀" * MAX_CHARS},
            Request(("😀" * 10_000,)),
            id="10,000 characters of four bytes",
        ),
        pytest.param(
            {"sentences": [BENCH] * MAX_SENTENCES},
            Request((BENCH,) * 64, batch=True),
            id="64 sentences",
        ),
        pytest.param(
            {"sentences": [BENCH]}, Request((BENCH,), batch=True), id="one sentence in a list"
        ),
        pytest.param({"sentence": " a "}, Request((" a ",)), id="white space around the sentence"),
        pytest.param(
            {"sentence": BENCH, "traffic": "test"}, Request((BENCH,), traffic="test"), id="traffic"
        ),
        pytest.param({"sentence": BENCH, "more": {}}, Request((BENCH,)), id="unknown field"),
    ],
)
def test_a_good_body_is_accepted_in_every_encoding(
    wrap: Callable[[Any], Any], body: Any, expected: Request
) -> None:
    assert parse(wrap(body)) == expected


def test_an_escaped_surrogate_pair_is_one_character() -> None:
    assert parse({"requestContext": {}, "body": '{"sentence": "\\ud83d\\ude00"}'}) == Request(
        ("😀",)
    )


@pytest.mark.parametrize("wrap", [direct, over_http, in_base64])
@pytest.mark.parametrize(("body", "kind", "status", "field"), BAD_BODIES.values(), ids=BAD_BODIES)
def test_a_bad_body_is_refused_in_every_encoding(
    wrap: Callable[[Any], Any], body: Any, kind: str, status: int, field: str
) -> None:
    assert refused(wrap(body)) == (kind, status, field)


@pytest.mark.parametrize("body", BAD_JSON.values(), ids=BAD_JSON)
@pytest.mark.parametrize("encoded", [False, True], ids=["text", "base64"])
def test_unreadable_json_is_refused(body: str, encoded: bool) -> None:
    sent = base64.b64encode(body.encode()).decode() if encoded else body
    assert refused({"requestContext": {}, "body": sent, "isBase64Encoded": encoded}) == (
        "body-not-json",
        400,
        "body",
    )


@pytest.mark.parametrize(
    ("event", "kind"),
    [
        pytest.param({}, "body-missing", id="no body"),
        pytest.param({"body": None}, "body-missing", id="null body"),
        pytest.param({"body": ""}, "body-missing", id="empty body"),
        pytest.param({"body": "", "isBase64Encoded": True}, "body-missing", id="empty base64"),
        pytest.param(
            {"body": "{!}", "isBase64Encoded": True},
            "body-not-base64",
            id="not the alphabet of base64",
        ),
        pytest.param(
            {"body": "eyJ", "isBase64Encoded": True}, "body-not-base64", id="padding missing"
        ),
        pytest.param(
            {"body": '{"sentence": "é"}', "isBase64Encoded": True},
            "body-not-base64",
            id="base64 with an accent",
        ),
        pytest.param(
            {"body": 17, "isBase64Encoded": True}, "body-missing", id="base64 that is a number"
        ),
        pytest.param({"body": "/w==", "isBase64Encoded": True}, "body-not-utf8", id="byte FF"),
        pytest.param(
            {"body": "eyLDIn0=", "isBase64Encoded": True}, "body-not-utf8", id="half a character"
        ),
    ],
)
def test_a_body_that_cannot_be_decoded_is_refused(event: dict[str, Any], kind: str) -> None:
    assert refused({"requestContext": {}, **event}) == (kind, 400, "body")


def test_the_escape_of_a_lone_surrogate_in_a_body_is_refused() -> None:
    assert refused({"requestContext": {}, "body": '{"sentence": "\\ud800"}'}) == (
        "sentence-not-unicode",
        422,
        "sentence",
    )


@pytest.mark.parametrize(
    ("event", "http", "identifier", "description"),
    [
        pytest.param({"sentence": BENCH}, False, None, False, id="direct"),
        pytest.param({"describe": True}, False, None, True, id="describe"),
        pytest.param({"describe": "true"}, False, None, False, id="describe as a string"),
        pytest.param({"describe": 1}, False, None, False, id="describe as a number"),
        pytest.param(
            {"describe": True, "requestContext": {"requestId": "r"}},
            True,
            "r",
            False,
            id="describe over HTTP",
        ),
        pytest.param(
            {"requestContext": {"requestId": "r"}, "body": "{}"}, True, "r", False, id="HTTP"
        ),
        pytest.param({"requestContext": {}}, True, None, False, id="HTTP without id"),
        pytest.param([{"describe": True}], False, None, False, id="list"),
        pytest.param("requestContext", False, None, False, id="string"),
        pytest.param(None, False, None, False, id="null"),
    ],
)
def test_the_kind_of_an_event_is_recognised(
    event: Any,
    http: bool,
    identifier: str | None,
    description: bool,
) -> None:
    assert (is_http(event), correlation_id(event), asks_description(event)) == (
        http,
        identifier,
        description,
    )


@pytest.mark.parametrize("context", [None, "r", 17, ["requestId"], {"requestId": 17}], ids=repr)
def test_an_odd_request_context_gives_no_id(context: Any) -> None:
    assert correlation_id({"requestContext": context, "body": "{}"}) is None


# Lone surrogates are included, because a JSON event can contain them.
ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=40)
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | ANY_TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(ANY_TEXT, inner, max_size=4),
    max_leaves=8,
)
FIELDS = (
    "sentence",
    "sentences",
    "traffic",
    "describe",
    "requestContext",
    "body",
    "isBase64Encoded",
)
ANY_EVENTS = JSON_VALUES | st.fixed_dictionaries({}, optional=dict.fromkeys(FIELDS, JSON_VALUES))


def is_request_or_refused(event: Any) -> bool:
    result = outcome(event)
    if isinstance(result, Refused):
        return bool(str(result)) and int(result.status) in {400, 413, 422}
    return 1 <= len(result.sentences) <= MAX_SENTENCES and all(
        0 < len(text.strip()) <= MAX_CHARS for text in result.sentences
    )


@given(event=ANY_EVENTS)
def test_any_json_event_is_a_request_or_refused(event: Any) -> None:
    assert is_request_or_refused(event)


@given(
    body=ANY_TEXT | st.text().map(json.dumps) | JSON_VALUES.map(json.dumps), encoded=st.booleans()
)
def test_any_text_as_body_is_a_request_or_refused(body: str, encoded: bool) -> None:
    assert is_request_or_refused({"requestContext": {}, "body": body, "isBase64Encoded": encoded})


@given(data=st.binary(max_size=60))
def test_any_bytes_in_base64_are_a_request_or_refused(data: bytes) -> None:
    assert is_request_or_refused(
        {"requestContext": {}, "body": base64.b64encode(data).decode(), "isBase64Encoded": True}
    )


@given(event=ANY_EVENTS)
def test_any_json_event_has_an_id_or_none(event: Any) -> None:
    assert isinstance(correlation_id(event), str | None)
