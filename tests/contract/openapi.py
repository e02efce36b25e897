"""Reads docs/openapi.yaml, and tests a server against it with schemathesis."""

from __future__ import annotations

import copy
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import schemathesis
import yaml
from jsonschema import Draft202012Validator
from schemathesis.engine import Status, StopReason, events, from_schema

from tools.root import ROOT

DOCUMENT: dict[str, Any] = yaml.safe_load(
    (ROOT / "docs" / "openapi.yaml").read_text(encoding="utf-8")
)
OPERATIONS = {path: item["post"] for path, item in DOCUMENT["paths"].items()}
PREDICT, FEEDBACK = "/predict", "/feedback"
OPERATION = OPERATIONS[PREDICT]
SCHEMAS = DOCUMENT["components"]["schemas"]
PROBLEM, JSON = "application/problem+json", "application/json"


def resolved(part: Any) -> Any:
    """Resolve a `$ref` of the document."""
    if "$ref" not in part:
        return part
    found: Any = DOCUMENT
    for name in part["$ref"].removeprefix("#/").split("/"):
        found = found[name]
    return found


def contents(path: str = PREDICT) -> dict[tuple[int, str], dict[str, Any]]:
    """Return the media type objects of a route, by the status and content type of a response."""
    return {
        (int(status), kind): content
        for status, response in OPERATIONS[path]["responses"].items()
        for kind, content in resolved(response)["content"].items()
    }


def validator(schema: dict[str, Any]) -> Draft202012Validator:
    """Return a validator of a schema that may refer to other schemas of the document."""
    return Draft202012Validator({"components": {"schemas": SCHEMAS}, **schema})


@dataclass
class Report:
    """The results of a run of schemathesis.

    `valid` is the number of requests that schemathesis meant to be valid. `statuses` counts answers
    by their status. `failures` counts failures by the name of the check.
    """

    requests: int = 0
    valid: int = 0
    statuses: Counter[int] = field(default_factory=Counter)
    failures: Counter[str] = field(default_factory=Counter)
    details: list[str] = field(default_factory=list)


def ask(document: dict[str, Any], url: str, *, examples: int | None = None) -> Report:
    """Send the same requests as `schemathesis run` with schemathesis.toml.

    `examples`, if given, is the number of requests in the fuzzing phase.
    """
    config = schemathesis.Config.from_path(ROOT / "schemathesis.toml")
    config.projects.default.update(base_url=url)
    if examples is not None:
        config.projects.default.generation.update(max_examples=examples)
    report = Report()
    for event in from_schema(
        schemathesis.openapi.from_dict(copy.deepcopy(document), config=config)
    ).execute():
        match event:
            case events.ScenarioFinished():
                _add(report, event)
            case events.NonFatalError() | events.FatalError():
                raise AssertionError(event)
            case events.EngineFinished():
                assert event.stop_reason is StopReason.COMPLETED, event.stop_reason
            case _:
                pass
    return report


def _add(report: Report, event: events.ScenarioFinished) -> None:
    recorder = event.recorder
    for identifier, node in recorder.cases.items():
        interaction = recorder.interactions.get(identifier)
        assert interaction is not None, node.value
        assert interaction.response is not None, node.value
        report.requests += 1
        report.statuses[interaction.response.status_code] += 1
        meta = node.value.meta
        report.valid += meta is None or meta.generation.mode.is_positive
        for check in recorder.checks.get(identifier, []):
            if check.status is not Status.SUCCESS:
                failure = check.failure_info.failure if check.failure_info else None
                report.failures[check.name] += 1
                report.details.append(f"{check.name}: {failure}: {node.value.body!r:.300}")
