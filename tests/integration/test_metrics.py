"""Compares the metrics that functions write with the template's alarms and dashboard.

The tests fail if an alarm or the dashboard uses a metric name or dimension that no function writes.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest

from local.cloudwatch import log_event, subscription_event
from local.runtime import FunctionFailed, Runtime
from local.runtime import running as start
from local.stack import Stack
from local.template import Template
from shipper.provenance import RECORD_FILTER
from tests.integration.conftest import KEYS, environment
from tests.template.cloudformation import Resources, deployed
from tests.template.metrics import Metric, alarms, dashboard, shown, watched
from tests.template.stacks import SHAPES
from tools.root import ROOT

EVENTS: Final = ROOT / "events"
LOG_SECONDS: Final = 10
OWN: Final = "PredictionMonitor"


class Written(NamedTuple):
    """A metric that a function wrote. `dimensions` holds names and values."""

    name: str
    dimensions: tuple[tuple[str, str], ...]
    unit: str


def written(lines: list[str]) -> set[Written]:
    """Return the metrics in a function's lines of embedded metric format."""
    found = set()
    for line in lines:
        if not line.startswith("{") or "_aws" not in (emf := json.loads(line)):
            continue
        (directive,) = emf["_aws"]["CloudWatchMetrics"]
        assert directive["Namespace"] == OWN
        (names,) = directive["Dimensions"]
        dimensions = tuple(sorted((name, emf[name]) for name in names))
        found |= {Written(each["Name"], dimensions, each["Unit"]) for each in directive["Metrics"]}
        assert all(each["Name"] in emf for each in directive["Metrics"])
    return found


@pytest.fixture(scope="module")
def emitted(  # noqa: PLR0917  fixtures
    template: Template,
    built: Path,
    runtime_packages: Path,
    replay_packages: Path,
    running: Stack,
    replaying: Callable[..., AbstractContextManager[Runtime]],
    tmp_path_factory: pytest.TempPathFactory,
) -> set[Written]:
    """Return all metrics that the functions write.

    The functions run on sample events. They also run with a model that fails, and with a failure
    while a record is made.
    """
    lines: list[str] = []

    def run(name: str, event: Any, code: Path, *, timeout: int = 0, **changed: str) -> None:
        settings = environment(name, opensearch=running.opensearch_url) | changed
        function = template.functions[name]
        function = replace(function, timeout=timeout or function.timeout)
        with start(
            function, settings, lines.append, code=code, packages=runtime_packages
        ) as runtime:
            runtime.invoke(event)

    sample = json.loads((EVENTS / "inference" / "direct.json").read_text())
    run("InferenceFunction", sample, built / "InferenceFunction")
    run(
        "InferenceFunction",
        json.loads((EVENTS / "inference" / "direct-refused.json").read_text()),
        built / "InferenceFunction",
    )
    for name in ("http-api-v2-feedback.json", "http-api-v2-feedback-refused.json"):
        feedback = json.loads((EVENTS / "inference" / name).read_text())
        run("InferenceFunction", feedback, built / "InferenceFunction")
    for module, function in (("classifier", "Classifier.predict"), ("record", "describe")):
        run(
            "InferenceFunction",
            sample,
            broken(built / "InferenceFunction", module, function, tmp_path_factory.mktemp(module)),
        )
    # The shipper writes no count of 0, and no delay if all lines are already in the index. So the
    # lines below are new, and they are of several kinds.
    too_deep = json.dumps({".".join(["deeper"] * 50): 1})
    prediction = json.dumps(json.loads((EVENTS / "record.prediction.json").read_text()))
    now = time.time_ns() // 1_000_000
    fresh = [
        log_event(text, now) for text in ("a line that no other test sends", too_deep, prediction)
    ]
    event = subscription_event(fresh, "test", filters=(RECORD_FILTER,))
    shipper = built / "ShipperFunction"
    run("ShipperFunction", event, shipper)
    # the shipper excludes one of the lines; the others are duplicates
    run("ShipperFunction", event, shipper, EXCLUDE="text")
    with pytest.raises(FunctionFailed, match="NotDelivered"):
        run("ShipperFunction", event, shipper, OPENSEARCH_URL="http://127.0.0.1:9", timeout=6)
    run("MonitorFunction", {}, built / "MonitorFunction")
    asked = {"AWS_ENDPOINT_URL": "http://127.0.0.1:9", **KEYS}  # no server has this port
    with start(
        template.functions["CanaryFunction"],
        environment("CanaryFunction") | asked,
        lines.append,
        code=built / "CanaryFunction",
        packages=replay_packages,
    ) as canary:
        assert canary.invoke({}) == {"result": "fail"}
    with replaying(running.opensearch_url, lines.append) as replay:
        replay.invoke(json.loads((EVENTS / "replay" / "scheduled.json").read_text()))
    deadline = time.monotonic() + LOG_SECONDS
    while (
        not any('"DeadLettersFound"' in line for line in list(lines))
        and time.monotonic() < deadline
    ):
        time.sleep(0.02)
    return written(lines)


def broken(package: Path, module: str, function: str, folder: Path) -> Path:
    """Copy the built package, and make one of its functions raise an exception."""
    for each in package.iterdir():
        if each.name != "inference":
            (folder / each.name).symlink_to(each)
    (folder / "inference").mkdir()
    for each in (package / "inference").glob("*.py"):
        text = each.read_text(encoding="utf-8")
        if each.stem == module:
            text += (
                "\n\ndef _raise(*_arguments, **_named):\n    raise RuntimeError\n\n\n"
                f"{function} = _raise\n"
            )
        (folder / "inference" / each.name).write_text(text, encoding="utf-8")
    return folder


def looked_for(resources: Resources) -> Iterator[Metric]:
    """Yield the metrics in our own namespace that alarms and dashboard use."""
    for alarm in alarms(resources).values():
        yield from (metric for metric in watched(alarm) if metric.namespace == OWN)
    yield from (metric for metric in shown(dashboard(resources)) if metric.namespace == OWN)


def missing(metrics: Iterator[Metric], emitted: set[Written]) -> list[Metric]:
    """Return the metrics that no function writes.

    The dimensions in the template have a `Ref` to a function. On AWS, the `Ref` becomes the
    function's name. Here, a function's name is its logical id.
    """
    there = {(each.name, each.dimensions) for each in emitted}
    return [
        each
        for each in metrics
        if (each.name, tuple((n, v.strip("${}")) for n, v in each.dimensions)) not in there
    ]


def test_every_metric_of_alarms_and_dashboard_is_written(emitted: set[Written]) -> None:
    resources = deployed(SHAPES["own"])
    assert len(set(looked_for(resources))) > 10
    assert missing(looked_for(resources), emitted) == []


def test_every_written_metric_is_used_or_documented(emitted: set[Written]) -> None:
    known = {metric.name for metric in looked_for(deployed(SHAPES["own"]))}
    shipping = (ROOT / "docs" / "shipping.md").read_text(encoding="utf-8")
    assert [
        each for each in emitted if each.name not in known and f"`{each.name}`" not in shipping
    ] == []


@pytest.mark.parametrize(
    ("name", "unit"),
    [
        ("IndexDelay", "Milliseconds"),
        ("MemoryUtilization", "Percent"),
        ("PredictionFailures", "Count"),
    ],
)
def test_a_metric_is_written_in_the_unit_that_its_alarm_assumes(
    name: str, unit: str, emitted: set[Written]
) -> None:
    assert {each.unit for each in emitted if each.name == name} == {unit}


@pytest.mark.parametrize("side", ["template", "code"])
def test_different_names_of_a_metric_in_code_and_template_are_noticed(
    side: str, emitted: set[Written]
) -> None:
    metrics = list(looked_for(deployed(SHAPES["own"])))
    for name in {metric.name for metric in metrics}:
        if side == "template":
            changed = [
                each._replace(name=f"{name}s") if each.name == name else each for each in metrics
            ]
            assert missing(iter(changed), emitted)
        else:
            renamed = {
                each._replace(name=f"{name}s") if each.name == name else each for each in emitted
            }
            assert missing(iter(metrics), renamed)


def test_a_dimension_that_is_missing_in_the_code_or_in_the_template_is_noticed(
    emitted: set[Written],
) -> None:
    metrics = list(looked_for(deployed(SHAPES["own"])))
    assert len(
        missing((each._replace(dimensions=each.dimensions[:1]) for each in metrics), emitted)
    ) == len(metrics)
    fewer = {each._replace(dimensions=each.dimensions[:1]) for each in emitted}
    assert missing(iter(metrics), fewer) == metrics
