"""Tests that environment variables of Lambda's and Powertools' loggers change no record.

The functions run from source under the real Lambda runtime.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from local.cloudwatch import subscription_event
from local.runtime import running as start
from local.template import Template

SENTENCE = "Quokkas quietly quarrel with wombats"

ENVIRONMENTS = {
    "Lambda's log level": {"AWS_LAMBDA_LOG_LEVEL": "WARN"},
    "Lambda's log level, JSON": {"AWS_LAMBDA_LOG_LEVEL": "FATAL", "AWS_LAMBDA_LOG_FORMAT": "JSON"},
    "Powertools' log level": {"POWERTOOLS_LOG_LEVEL": "CRITICAL", "LOG_LEVEL": "ERROR"},
    "an invalid log level": {"POWERTOOLS_LOG_LEVEL": "loud"},
    "a sample rate and Lambda's log level": {
        "POWERTOOLS_LOGGER_SAMPLE_RATE": "0.5",
        "AWS_LAMBDA_LOG_LEVEL": "WARN",
    },
    "an invalid sample rate": {"POWERTOOLS_LOGGER_SAMPLE_RATE": "some"},
    "development mode": {"POWERTOOLS_DEV": "true"},
    "a log of whole events": {"POWERTOOLS_LOGGER_LOG_EVENT": "true"},
    "disabled metrics, another service name and namespace": {
        "POWERTOOLS_METRICS_DISABLED": "true",
        "POWERTOOLS_SERVICE_NAME": "other",
        "POWERTOOLS_METRICS_NAMESPACE": "Other",
    },
}


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_a_record_is_written_whatever_the_environment_says(name: str, template: Template) -> None:
    lines: list[str] = []
    settings = {"HASH_KEY": "a secret", "LOG_TEXT": "false", **ENVIRONMENTS[name]}
    with start(template.functions["InferenceFunction"], settings, lines.append) as function:
        answers = [function.invoke({"sentence": SENTENCE}) for _ in range(2)]
        refused = function.invoke({"sentence": " "})
    found = [parsed(line) for line in lines]
    records = [line for line in found if "record_version" in line]
    assert [record["message"] for record in records] == [
        "prediction",
        "prediction",
        "prediction_error",
    ]
    assert [record.get("prediction_id") for record in records] == [
        answer["prediction_id"] for answer in answers
    ] + [None]
    assert refused["status"] == 422
    assert not [record for record in records if {"sampling_rate", "level"} & set(record)]
    metrics = [line for line in found if "_aws" in line]
    assert {line["_aws"]["CloudWatchMetrics"][0]["Namespace"] for line in metrics} == {
        "PredictionMonitor"
    }
    assert [len(line.get("PredictionLatency", [])) for line in metrics] == [1, 1, 0]
    assert {line["service"] for line in metrics} == {"inference"}
    assert not [line for line in lines if "wombats" in line]


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_the_counts_of_a_payload_are_written_whatever_the_environment_says(
    name: str, template: Template
) -> None:
    lines: list[str] = []
    settings = {"OPENSEARCH_URL": "http://127.0.0.1:1", **ENVIRONMENTS[name]}
    payload = subscription_event([], "InferenceLogGroup", "CONTROL_MESSAGE")
    with start(template.functions["ShipperFunction"], settings, lines.append) as function:
        answer = function.invoke(payload)
    assert answer["indexed"] == 0
    found = [parsed(line) for line in lines]
    (line,) = [line for line in found if line.get("service") == "shipper"]
    assert (line["level"], line["EventsReceived"]) == ("INFO", 0)
    assert line["_aws"]["CloudWatchMetrics"][0]["Namespace"] == "PredictionMonitor"
    assert not [line for line in lines if payload["awslogs"]["data"] in line]


def test_the_largest_batch_is_answered(template: Template) -> None:
    """Lambda limits an answer to 6 MB.

    If AWS_EXECUTION_ENV is set, the runtime writes the answer in UTF-8, so the answer fits. With a
    JSON escape for each emoji, the answer would be too long.
    """
    sentence = "😀" * 10_000
    with start(
        template.functions["InferenceFunction"], {"HASH_KEY": "a secret"}, lambda _: None
    ) as function:
        body = json.dumps({"sentences": [sentence] * 64}, ensure_ascii=False)
        answer = function.invoke({"requestContext": {}, "body": body, "isBase64Encoded": False})
    assert answer["statusCode"] == 200
    assert [each["text"] for each in json.loads(answer["body"])["predictions"]] == [sentence] * 64


def parsed(line: str) -> dict[str, Any]:
    try:
        found = json.loads(line)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
