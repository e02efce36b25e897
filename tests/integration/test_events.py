"""Sends the example events in events/ to the built functions, under the real Lambda runtime.

For each event, a new process of the built function is started. The process gets the event twice. It
has exactly the environment variables that the template gives the function.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
import requests
from jsonschema import Draft202012Validator

from local.cloudwatch import log_event, subscription_event
from local.filter_pattern import matches
from local.runtime import FunctionFailed, Runtime
from local.runtime import running as start
from local.stack import Stack
from local.template import Template, load
from tests.integration.conftest import environment
from tools.root import ROOT

EVENTS = ROOT / "events"
INFERENCE = sorted((EVENTS / "inference").glob("*.json"), key=lambda path: path.name)
SHIPPER = sorted((EVENTS / "shipper").glob("*.json"), key=lambda path: path.name)
RECORD, FEEDBACK = (
    Draft202012Validator(json.loads((EVENTS / f"{name}.schema.json").read_text()))
    for name in ("record", "feedback")
)

NOON = 1_795_435_200_000
LOG_SECONDS = 10

# The variables that local/runtime.py adds to the AWS_... variables of every function.
RUNTIME = {"PATH", "PYTHONPATH", "PYTHONUNBUFFERED", "LAMBDA_TASK_ROOT", "_HANDLER", "LANG", "TZ"}

Starting = Callable[[str, list[str]], AbstractContextManager[Runtime]]

# The key is the name of a file. The value has two parts: the status of the HTTP response (None for
# a direct invocation), and the kinds of the records that are written.
EXPECTED: dict[str, tuple[int | None, list[str]]] = {
    "direct.json": (None, ["prediction"]),
    "direct-batch.json": (None, ["prediction", "prediction"]),
    "direct-canary.json": (None, ["prediction"]),
    "direct-describe.json": (None, []),
    "direct-refused.json": (None, ["prediction_error"]),
    "http-api-v2.json": (200, ["prediction"]),
    "http-api-v2-base64.json": (200, ["prediction"]),
    "http-api-v2-batch.json": (200, ["prediction", "prediction"]),
    "http-api-v2-refused.json": (422, ["prediction_error"]),
    "http-api-v2-feedback.json": (202, ["feedback", "feedback"]),
    "http-api-v2-feedback-refused.json": (422, []),
    "rest-api-v1.json": (200, ["prediction"]),
}


@pytest.fixture(scope="module")
def lines() -> list[str]:
    return []


@pytest.fixture(scope="module")
def starting(template: Template, built: Path, runtime_packages: Path, running: Stack) -> Starting:
    """Return a helper that starts a built function and collects its log lines in a list."""

    def started(name: str, lines: list[str]) -> AbstractContextManager[Runtime]:
        settings = environment(name, opensearch=running.opensearch_url)
        return start(
            template.functions[name],
            settings,
            lines.append,
            code=built / name,
            packages=runtime_packages,
        )

    return started


@pytest.fixture(scope="module")
def inference(starting: Starting, lines: list[str]) -> Iterator[Runtime]:
    with starting("InferenceFunction", lines) as runtime:
        yield runtime


@pytest.fixture(scope="module")
def shipper(starting: Starting) -> Iterator[Runtime]:
    with starting("ShipperFunction", []) as runtime:
        yield runtime


def logged(lines: list[str], count: int, service: str = "inference") -> list[dict[str, Any]]:
    """Wait until the log has `count` records, but at most `LOG_SECONDS`, and return its records.

    A log line can arrive later than the answer, because it comes through a pipe.
    """
    deadline = time.monotonic() + LOG_SECONDS
    while True:
        records = [record for line in list(lines) if (record := as_record(line, service))]
        if len(records) >= count or time.monotonic() > deadline:
            return records
        time.sleep(0.02)


def test_every_inference_event_has_an_expectation() -> None:
    assert {path.name for path in INFERENCE} == set(EXPECTED)


@pytest.mark.parametrize("path", INFERENCE, ids=lambda path: path.stem)
def test_inference_answers_and_writes_its_records(path: Path, starting: Starting) -> None:
    status, kinds = EXPECTED[path.name]
    lines: list[str] = []
    with starting("InferenceFunction", lines) as inference:
        for cold in (True, False):
            lines.clear()
            answer = inference.invoke(json.loads(path.read_text()))
            assert answer.get("statusCode") == status
            records = logged(lines, len(kinds))
            assert [(record["message"], record["cold_start"]) for record in records] == [
                (kind, cold) for kind in kinds
            ]
            for record in records:
                (FEEDBACK if record["message"] == "feedback" else RECORD).validate(record)
            given = json.loads(answer["body"]) if status else answer
            predictions = given.get("predictions", [given])
            if "prediction" in kinds:
                assert [one["prediction_id"] for one in predictions] == [
                    record["prediction_id"] for record in records
                ]
                assert [one["prediction"]["score"] for one in predictions] == [
                    record["prediction"]["score"] for record in records
                ]


def test_the_subscription_passes_records_and_drops_the_rest(
    inference: Runtime, lines: list[str], template: Template
) -> None:
    (_, pattern, _) = template.subscriptions[0]
    lines.clear()
    inference.invoke({"sentence": "One line of three is a record"})
    logged(lines, 1)
    deadline = time.monotonic() + LOG_SECONDS
    while not any('"_aws"' in line for line in list(lines)) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert [line for line in lines if matches(pattern, line)] == [
        line for line in lines if as_record(line)
    ]
    assert any('"_aws"' in line for line in lines), "the metrics line is in the same log group"


@pytest.mark.parametrize("path", SHIPPER, ids=lambda path: path.stem)
def test_shipper_makes_no_second_document_from_a_repeated_event(
    path: Path, starting: Starting
) -> None:
    event, lines = json.loads(path.read_text()), list[str]()
    with starting("ShipperFunction", lines) as shipper:
        first = shipper.invoke(event)
        second = shipper.invoke(event)
        shipments = logged(lines, 2, "shipper")
    assert set(first) == {"indexed", "duplicate", "rescued", "excluded"}
    assert second == {"indexed": 0, "duplicate": sum(first.values()), "rescued": 0, "excluded": 0}
    assert [(one["message"], "cold_start" in one, "EventsFailed" in one) for one in shipments] == [
        ("shipment", True, False),
        ("shipment", False, False),
    ]


@pytest.mark.parametrize(
    ("name", "path"), [("InferenceFunction", INFERENCE[0]), ("ShipperFunction", SHIPPER[0])]
)
def test_a_function_has_exactly_the_variables_in_the_template(
    name: str, path: Path, starting: Starting
) -> None:
    with starting(name, []) as runtime:
        runtime.invoke(json.loads(path.read_text()))  # the first invocation starts the process
        assert variables(runtime) == set(
            load()["Resources"][name]["Properties"]["Environment"]["Variables"]
        )


def test_every_kind_of_shipped_line_is_found(shipper: Runtime, running: Stack) -> None:
    shipper.invoke(json.loads((EVENTS / "shipper" / "mixed-lines.json").read_text()))
    requests.post(f"{running.opensearch_url}/cwl-*/_refresh", timeout=10).raise_for_status()
    query = {"query": {"terms": {"@id": [f"{385 * 10**53 + n:056d}" for n in range(10, 15)]}}}
    messages = [hit["_source"]["@message"] for hit in running.search(query)]
    assert len(messages) == 5
    assert "plain words, no object" in messages


@pytest.mark.parametrize(
    ("event", "said"),
    [
        ({}, "awslogs.data"),
        ({"awslogs": {"data": "%%%"}}, "base64"),
        ({"awslogs": {"data": "bm90IGd6aXA="}}, "gzip"),
        ({"awslogs": {"data": "H4sIAAAAAAAAA0vLz1dISixSqMwvVUjOT0kFAA=="}}, "gzip"),
    ],
    ids=["no data", "not base64", "not gzip", "cut short"],
)
def test_a_payload_that_cannot_be_read_fails_the_invocation(
    event: dict[str, Any], said: str, shipper: Runtime
) -> None:
    with pytest.raises(FunctionFailed, match=said) as failure:
        shipper.invoke(event)
    assert failure.value.kind == "PayloadInvalid"


def test_a_refused_document_is_indexed_without_the_refused_field(
    shipper: Runtime, running: Stack
) -> None:
    good, bad = (
        log_event('{"marker": "good-beside-bad"}', NOON),
        log_event('{"prediction": "no object"}', NOON),
    )
    answer = shipper.invoke(subscription_event([bad, good], "test"))
    assert answer == {"indexed": 1, "duplicate": 0, "rescued": 1, "excluded": 0}
    requests.post(f"{running.opensearch_url}/cwl-*/_refresh", timeout=10).raise_for_status()
    assert len(running.search({"query": {"term": {"marker": "good-beside-bad"}}})) == 1
    [hit] = running.search({"query": {"term": {"@id": bad["id"]}}})
    assert hit["_source"]["@message"] == '{"prediction": "no object"}'
    assert hit["_source"]["@rescued"] == {
        "status": "400",
        "type": "mapper_parsing_exception",
        "field": "prediction",
    }
    assert "prediction" not in hit["_source"]


def variables(runtime: Runtime) -> set[str]:
    """Return the names of a running function's variables, except the runtime's variables."""
    (process,) = {
        pid
        for path in Path(f"/proc/{runtime._process.pid}/task").glob("*/children")
        for pid in path.read_text().split()
    }
    names = {
        entry.partition("=")[0]
        for entry in Path(f"/proc/{process}/environ").read_text().split("\0")
        if entry
    }
    return {name for name in names - RUNTIME if not name.startswith("AWS_")}


def as_record(line: str, service: str = "inference") -> dict[str, Any] | None:
    """Return the record in a line of output, or None for START, END, REPORT and metrics."""
    if not line.startswith("{"):
        return None
    found: dict[str, Any] = json.loads(line)
    ours = found.get("service", "inference") == service  # inference's records name no service
    return found if ours and "message" in found else None
