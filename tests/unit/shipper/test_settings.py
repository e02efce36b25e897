"""Tests how the shipper's settings are read from environment variables."""

from __future__ import annotations

import pytest

from shipper.document import Rules
from shipper.read import Kind
from shipper.redact import Action, Redaction
from shipper.settings import settings

PLACES = ("STACK", "INDEX_PREFIX", "RECORD_LOG_GROUPS", "FIELD_MAP")
URL = {"OPENSEARCH_URL": "https://search.example.com"}


def test_only_the_address_is_required() -> None:
    found = settings(URL)
    assert found.opensearch_url == "https://search.example.com"
    assert found.max_payload_bytes == 128 * 1024 * 1024
    assert found.rules == Rules(frozenset(), None)
    assert found.own_log_group is None


def test_an_empty_variable_is_like_one_that_is_not_set() -> None:
    empty = dict.fromkeys(
        ["MAX_PAYLOAD_BYTES", "EXCLUDE", "REDACT_FIELDS", "REDACT_PATTERNS", "REDACT_KEY", *PLACES],
        "",
    )
    assert settings(URL | empty) == settings(URL)


def test_every_setting_can_be_set() -> None:
    found = settings(
        URL
        | {
            "MAX_PAYLOAD_BYTES": "1000",
            "EXCLUDE": "platform, metrics,object,text",
            "REDACT_FIELDS": " text=hash,user.email=drop,a=drop",
            "REDACT_PATTERNS": "number,email",
            "REDACT_KEY": "kéy",
            "STACK": "prod",
            "INDEX_PREFIX": "prod-cwl-",
            "RECORD_LOG_GROUPS": "/aws/lambda/a, b",
            "FIELD_MAP": "prediction.label = label, text=in.put",
            "AWS_LAMBDA_LOG_GROUP_NAME": "/aws/lambda/shipper",
        }
    )
    assert found.max_payload_bytes == 1000
    assert found.rules.exclude == set(Kind)
    assert found.own_log_group == "/aws/lambda/shipper"
    assert found.rules[2:5] == ("prod", "prod-cwl-", frozenset({"/aws/lambda/a", "b"}))
    assert found.rules[5:] == (
        {"prediction.label": ("label",), "text": ("in", "put")},
        "kéy".encode(),
    )
    # In a line of the user, the field `text` has the name `in.put`, so this name is redacted too.
    redacted: dict[str, Action] = {
        "text": "hash",
        "user.email": "drop",
        "a": "drop",
        "in.put": "hash",
    }
    assert found.rules.redaction == Redaction(redacted, ("number", "email"), "kéy".encode())


@pytest.mark.parametrize(
    ("environment", "redaction"),
    [
        ({"REDACT_FIELDS": "a=drop"}, Redaction({"a": "drop"}, (), b"")),
        ({"REDACT_PATTERNS": "email"}, Redaction({}, ("email",), b"")),
        ({"REDACT_KEY": "key"}, None),
        ({"REDACT_FIELDS": " , ", "REDACT_PATTERNS": ","}, None),
    ],
    ids=[
        "dropping needs no key",
        "masking needs no key",
        "a key without fields or patterns has no effect",
        "lists of nothing but commas have no effect",
    ],
)
def test_the_settings_of_redaction_are_read(
    environment: dict[str, str], redaction: Redaction | None
) -> None:
    assert settings(URL | environment).rules.redaction == redaction


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        *(("OPENSEARCH_URL", value, "set to the address") for value in ("", None)),
        *(
            ("MAX_PAYLOAD_BYTES", value, "a number of bytes")
            for value in ("0", "00", "-1", "1.5", "1e6", "128M", " 5", "\u0665", "²")
        ),
        *(("MAX_PAYLOAD_BYTES", value, "a number of bytes") for value in ("9" * 19, "9" * 5000)),
        *(
            ("EXCLUDE", value, "a comma-separated list of metrics, object, platform, text")
            for value in ("start", "Platform", "platform;text", "text,x")
        ),
        *(
            ("REDACT_FIELDS", value, "a comma-separated list of name=drop or name=hash, but it")
            for value in ("a", "a=", "=drop", "a=mask", "a=drop,b", "a:drop")
        ),
        *(
            ("REDACT_FIELDS", value, "a comma-separated list of name=drop or name=hash, but it")
            for value in ("a=DROP", "a = drop", "a=b=drop", "a=")
        ),
        *(
            ("INDEX_PREFIX", value, "lowercase letters, digits")
            for value in ("cwl", "-", "-cwl-", "CWL-", "cwl_-", "cwl-*", "c" * 51 + "-")
        ),
        *(
            ("REDACT_PATTERNS", value, "a comma-separated list of email, number, but it")
            for value in ("phone", "Email", "email number", r"\d+")
        ),
    ],
)
def test_the_error_names_the_variable_with_the_invalid_value(
    variable: str, value: str | None, said: str
) -> None:
    environment = {
        name: text for name, text in (URL | {variable: value}).items() if text is not None
    }
    with pytest.raises(ValueError, match=rf"^{variable} must be {said}"):
        settings(environment)


@pytest.mark.parametrize("key", [{}, {"REDACT_KEY": ""}], ids=["missing", "empty"])
def test_a_hash_needs_a_key(key: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="REDACT_KEY must be set"):
        settings(URL | {"REDACT_FIELDS": "a=drop,b=hash"} | key)
