"""Tests that the running stack answers as docs/openapi.yaml says.

Many requests are generated from the document. Others have bodies that no schema can describe.
"""

from __future__ import annotations

import gzip
from typing import Any

import pytest
import requests

from local.stack import Stack
from tests.contract.openapi import DOCUMENT, JSON, PROBLEM, ask, contents, validator

ACCEPTED = None
LONG = b"x" * 10_000


def test_the_stack_answers_as_the_document_says(running: Stack) -> None:
    """Valid requests are accepted, invalid requests are refused, and every answer is documented.

    schemathesis.toml lists the checks.
    """
    report = ask(DOCUMENT, running.api_url)
    assert not report.failures, report.details
    # the stack got many requests, valid and invalid, and all documented statuses occurred
    assert report.requests > 200
    assert 50 < report.valid < report.requests - 50
    assert set(report.statuses) == {200, 202, 400, 413, 422}


@pytest.mark.parametrize(
    ("body", "status", "kind"),
    [
        pytest.param(b"null", 400, "body-not-an-object", id="null"),
        pytest.param(b"", 400, "body-missing", id="an empty body"),
        pytest.param(
            b"\xef\xbb\xbf" + b'{"sentence": "a"}',
            400,
            "body-not-json",
            id="a byte order mark before the object",
        ),
        pytest.param('{"sentence": "a"}'.encode("utf-16"), 400, "body-not-utf8", id="UTF-16"),
        pytest.param(gzip.compress(b'{"sentence": "a"}'), 400, "body-not-utf8", id="gzip"),
        pytest.param(
            b'{"sentence": "\xed\xa0\x80"}',
            400,
            "body-not-utf8",
            id="half a surrogate pair, not escaped",
        ),
        pytest.param(
            b'{"sentence": "\\ud800"}', 422, "sentence-not-unicode", id="half a surrogate pair"
        ),
        pytest.param(
            b'{"sentence": "\\udc00\\ud800"}',
            422,
            "sentence-not-unicode",
            id="a surrogate pair in the wrong order",
        ),
        pytest.param(b'{"sentence": "\\ud83d\\ude00"}', 200, ACCEPTED, id="a whole surrogate pair"),
        pytest.param(
            b'{"sentence": "a", "\\ud800": "\\udfff"}',
            200,
            ACCEPTED,
            id="half a surrogate pair in a field that is ignored",
        ),
        pytest.param(
            b'{"sentence": "a", "traffic": "\\ud800"}',
            422,
            "field-invalid",
            id="half a surrogate pair in the field traffic",
        ),
        pytest.param(b'{"sentence": "\\u0000"}', 200, ACCEPTED, id="NUL"),
        pytest.param(
            b'{"sentence": "\0"}',
            400,
            "body-not-json",
            id="NUL without an escape, which JSON does not allow",
        ),
        pytest.param(
            b'{"sentence": "a", "more": ' + b"7" * 4300 + b"}",
            200,
            ACCEPTED,
            id="a number of 4,300 digits",
        ),
        pytest.param(
            b'{"sentence": "a", "more": ' + b"7" * 4301 + b"}",
            400,
            "body-not-json",
            id="a number of 4,301 digits",
        ),
        pytest.param(
            b'{"sentence": "a", "more": [1e999, -0, 1e-999]}',
            200,
            ACCEPTED,
            id="numbers that are too large or too small for a float",
        ),
        pytest.param(b'{"sentence": "a", "more": NaN}', 400, "body-not-json", id="NaN"),
        pytest.param(
            b'{"sentence": 1e999}',
            422,
            "field-invalid",
            id="instead of a sentence, a number that is too large for a float",
        ),
        pytest.param(
            b'{"sentence": 5, "sentence": "a"}',
            200,
            ACCEPTED,
            id="two fields named sentence, and the last is valid",
        ),
        pytest.param(
            b'{"sentence": "a", "sentence": 5}',
            422,
            "field-invalid",
            id="two fields named sentence, and the last is invalid",
        ),
        pytest.param(
            b'{"sentence": "a", "more": ' + b"[" * 1000 + b"]" * 1000 + b"}",
            200,
            ACCEPTED,
            id="an ignored field with 1,000 levels",
        ),
        pytest.param(
            b'{"sentence": "a", "more": ' + b"[" * 10**5 + b"]" * 10**5 + b"}",
            400,
            "body-not-json",
            id="an ignored field with 100,000 levels",
        ),
        pytest.param(
            b'{"sentence": ' + b"[" * 1000 + b"]" * 1000 + b"}",
            422,
            "field-invalid",
            id="instead of a sentence, a list with 1,000 levels",
        ),
        pytest.param(
            b'{"sentence": "' + LONG + b'"}', 200, ACCEPTED, id="a sentence of 10,000 characters"
        ),
        pytest.param(
            b'{"sentence": "' + LONG + b'x"}',
            413,
            "sentence-too-long",
            id="a sentence of 10,001 characters",
        ),
        pytest.param(
            b'{"sentence": "\\u0085\\u3000\\u001c"}',
            422,
            "sentence-blank",
            id="a sentence of white space outside ASCII",
        ),
        pytest.param(
            b'{"sentence": "\\ufeff"}', 200, ACCEPTED, id="a sentence of one invisible character"
        ),
        pytest.param(b'{"sentence": "a"} ', 200, ACCEPTED, id="white space after the object"),
        pytest.param(b'{"sentence": "a"}{}', 400, "body-not-json", id="text after the object"),
        pytest.param(
            b'{"sentence": "a", "__proto__": {}, "describe": true}',
            200,
            ACCEPTED,
            id="unknown fields",
        ),
    ],
)
@pytest.mark.parametrize("content_type", [JSON, "application/octet-stream"])
def test_the_answer_to_an_odd_body_is_documented(
    running: Stack, body: bytes, status: int, kind: str | None, content_type: str
) -> None:
    answer = requests.post(
        f"{running.api_url}/predict", data=body, headers={"content-type": content_type}, timeout=60
    )
    found: dict[str, Any] = answer.json()
    assert (answer.status_code, answer.headers["content-type"]) == (
        status,
        JSON if kind is ACCEPTED else PROBLEM,
    )
    assert found.get("type", "").rpartition(":")[2] == (kind or "")
    validator(contents()[status, answer.headers["content-type"]]["schema"]).validate(found)


def test_the_answer_of_the_gateway_itself_is_documented(running: Stack) -> None:
    answer = requests.get(f"{running.api_url}/predict", timeout=10)
    assert (
        answer.json() == contents()[answer.status_code, answer.headers["content-type"]]["example"]
    )
