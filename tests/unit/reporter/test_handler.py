"""Tests the report function: its message about a failure, and the settings that it needs."""

from __future__ import annotations

import importlib
import sys
from types import ModuleType

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError
from opensearchpy.exceptions import ConnectionTimeout, TransportError

SETTINGS = {
    "OPENSEARCH_URL": "http://127.0.0.1:1",
    "STACK": "monitor",
    "REPORT_BUCKET": "reports",
    "AWS_DEFAULT_REGION": "us-east-1",
}


@pytest.fixture
def handler(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    for name, value in SETTINGS.items():
        monkeypatch.setenv(name, value)
    sys.modules.pop("reporter.handler", None)
    return importlib.import_module("reporter.handler")


@pytest.mark.parametrize(
    ("problem", "said"),
    [
        (TransportError(403, "security_exception", {}), "map the role of ReportFunction"),
        (TransportError(503, "busy", {}), "OpenSearch refuses a search (503)"),
        (ConnectionTimeout("TIMEOUT", "a secret text", None), "OpenSearch cannot be reached"),
        (
            ClientError({"Error": {"Code": "AccessDenied", "Message": "a secret text"}}, "Put"),
            "the bucket refuses the report (AccessDenied)",
        ),
        (EndpointConnectionError(endpoint_url="https://s3"), "need a gateway endpoint for S3"),
    ],
)
def test_the_message_of_a_failure_is_one_sentence_without_text_from_the_server(
    handler: ModuleType, problem: Exception, said: str
) -> None:
    sentence = handler.reason(problem)
    assert said in sentence
    assert "\n" not in sentence
    assert "a secret text" not in sentence


@pytest.mark.parametrize("name", ["OPENSEARCH_URL", "STACK", "REPORT_BUCKET"])
def test_a_missing_setting_is_named(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    for each, value in SETTINGS.items():
        monkeypatch.setenv(each, value)
    monkeypatch.delenv(name)
    sys.modules.pop("reporter.handler", None)
    with pytest.raises(ValueError, match=f"{name} must be"):
        importlib.import_module("reporter.handler")
