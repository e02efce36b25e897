"""Tests of the canary, which sends sentences with known answers to the deployed model.

The built canary and built inference functions run under the real Lambda runtime. The APIs of Lambda
and CodeDeploy are imitated, according to AWS's documents (tests/unit/monitor/aws_services.py). The
shipper delivers the canary's line to the real OpenSearch.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import requests
from jsonschema import Draft202012Validator

from local.cloudwatch import Subscription
from local.runtime import FunctionFailed, Runtime
from local.runtime import running as start
from local.stack import Stack
from local.template import STACK, Template
from monitor.messages import locate_change
from monitor.summaries.summary import Stream
from tests.integration.conftest import KEYS, environment
from tests.integration.monitored import subscribed
from tests.models import SHIPPED
from tests.unit.monitor.aws_services import Answer, Services, services
from tests.unit.monitor.deployed import NAME, changed
from tests.unit.monitor.test_judge_answers import newer, restated, swapped
from tools.root import ROOT

EVENTS = ROOT / "events" / "canary"
SCHEDULED = json.loads((EVENTS / "scheduled.json").read_text())
BEFORE_TRAFFIC = json.loads((EVENTS / "before-traffic.json").read_text())
SCHEMA = Draft202012Validator(json.loads((ROOT / "events" / "canary.schema.json").read_text()))
LOG_SECONDS = 10
PASSES = int(os.environ.get("CANARY_PASSES", "3"))


class Lambda:
    """Imitates Lambda, with the inference function's versions and the alias `live`.

    `live` returns the number of the version to which the alias points. `asked` holds the numbers of
    the versions that were invoked.
    """

    def __init__(self) -> None:
        self.versions: dict[str, Runtime] = {}
        self.live: Callable[[], str] = lambda: "7"
        self.asked: list[str] = []

    def invoke(self, name: str, event: Any) -> Answer:
        qualifier = name.rpartition(":")[2]
        version = self.live() if qualifier == "live" else qualifier
        self.asked.append(version)
        if version not in self.versions:
            return Answer(b'{"Message": ""}', status=404, error="ResourceNotFoundException")
        try:
            content = self.versions[version].invoke(event)
        except FunctionFailed as failure:
            said = json.dumps({"errorType": failure.kind}).encode()
            return Answer(said, version, function_error="Unhandled")
        return Answer(json.dumps(content, ensure_ascii=False).encode(), version)


class Canary:
    """The running canary, and every line that it wrote."""

    def __init__(
        self, runtime: Runtime, there: Services, lines: list[str], subscription: Subscription
    ) -> None:
        self.runtime = runtime
        self.there = there
        self._lines = lines
        self._subscription = subscription

    def run(self, event: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        """Invoke the canary. Returns the record's field `monitor`, and the metrics by name."""
        before = len(self._lines)
        self.runtime.invoke(event)
        expected = 1 if "DeploymentId" in event else 2  # only scheduled runs write metrics
        deadline = time.monotonic() + LOG_SECONDS
        while len(written := self._written(before)) < expected and time.monotonic() < deadline:
            time.sleep(0.02)
        assert self._subscription.drain(20)
        (record,) = [line for line in written if "_aws" not in line]
        SCHEMA.validate(record)
        names = ("CanaryRuns", "CanaryFailures")
        return record["monitor"], {
            name: line[name] for line in written if "_aws" in line for name in names
        }

    def _written(self, before: int) -> list[dict[str, Any]]:
        """Return the JSON lines written since `before`. A line may come later than the answer."""
        return [json.loads(line) for line in self._lines[before:] if line.startswith("{")]


@pytest.fixture(scope="module")
def deployed(
    template: Template,
    built: Path,
    runtime_packages: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Lambda]:
    """Run three versions of the inference function.

    Version 7 is the built package. Version 8 is the same model, but its card has the labels in
    reverse order. Version 6 is an older model with golden sentences of its own.
    """
    folder = tmp_path_factory.mktemp("models")
    models = {
        "6": restated(changed(SHIPPED, folder / "older", newer)),
        "7": None,
        "8": changed(SHIPPED, folder / "swapped", swapped),
    }
    found = Lambda()
    with ExitStack() as parts:
        for version, model in models.items():
            settings = environment("InferenceFunction")
            if model is not None:
                settings["MODEL_FOLDER"] = str(model)
            found.versions[version] = parts.enter_context(
                start(
                    template.functions["InferenceFunction"],
                    settings,
                    lambda _line: None,
                    code=built / "InferenceFunction",
                    packages=runtime_packages,
                )
            )
        yield found


@pytest.fixture
def start_canary(
    template: Template, built: Path, replay_packages: Path, running: Stack, deployed: Lambda
) -> Iterator[Callable[..., Canary]]:
    """Return a function that starts the built canary for a deployed version.

    The shipper gets the canary's records.
    """
    with ExitStack() as parts:
        there = parts.enter_context(services(deployed.invoke))

        def started(newest: str, **given: str) -> Canary:
            lines: list[str] = []
            subscription = parts.enter_context(
                subscribed("CanaryLogGroup", "CanaryRecords", running.shipper.invoke)
            )

            def write(line: str) -> None:
                lines.append(line)
                subscription.put(line)

            settings = {
                "CANARY_FUNCTION": "predict:live",
                "DEPLOYED_VERSION": f"{NAME}:{newest}",
                "AWS_ENDPOINT_URL": there.url,
                **KEYS,
                **given,
            }
            runtime = parts.enter_context(
                start(
                    template.functions["CanaryFunction"],
                    settings,
                    write,
                    code=built / "CanaryFunction",
                    packages=replay_packages,
                )
            )
            return Canary(runtime, there, lines, subscription)

        yield started


def test_the_deployed_model_passes_and_the_line_of_the_canary_is_found(
    start_canary: Callable[..., Canary], deployed: Lambda, running: Stack
) -> None:
    canary = start_canary("7")
    deployed.live = lambda: "7"
    for _ in range(PASSES):
        found, counted = canary.run(SCHEDULED)
        assert found["canary"]["result"] == "pass", found
        assert counted == {"CanaryRuns": [1], "CanaryFailures": [0]}
    requests.post(f"{running.opensearch_url}/cwl-*/_refresh", timeout=30).raise_for_status()
    hits = requests.get(
        f"{running.opensearch_url}/cwl-*/_search",
        params={"q": "@kind:canary AND monitor.canary.result:pass AND monitor.canary.asked:40"},
        timeout=30,
    ).json()["hits"]
    assert hits["total"]["value"] == PASSES
    assert "@rescued" not in hits["hits"][0]["_source"]


def test_a_misconfigured_version_fails_before_it_gets_requests(
    start_canary: Callable[..., Canary], deployed: Lambda
) -> None:
    canary = start_canary("8")
    deployed.live = lambda: "7"
    deployed.asked.clear()
    found, counted = canary.run(BEFORE_TRAFFIC)
    assert "39 of 40 golden sentences have another label" in found["canary"]["faults"]
    assert canary.there.statuses == [
        {
            "deploymentId": "d-ABCDEFGHI",
            "lifecycleEventHookExecutionId": BEFORE_TRAFFIC["LifecycleEventHookExecutionId"],
            "status": "Failed",
        }
    ]
    assert set(deployed.asked) == {"8"}
    assert counted == {}  # version 7 still answers requests, so no alarm is needed


def test_a_good_version_lets_the_deployment_go_on(
    start_canary: Callable[..., Canary], deployed: Lambda
) -> None:
    canary = start_canary("7")
    deployed.live = lambda: "6"
    canary.run(BEFORE_TRAFFIC)
    assert [told["status"] for told in canary.there.statuses] == ["Succeeded"]


def test_a_gradual_rollout_is_no_failure(
    start_canary: Callable[..., Canary], deployed: Lambda
) -> None:
    canary = start_canary("7")
    turns = iter("66766777" * PASSES)  # the versions to which the alias points, one per request
    deployed.live = lambda: next(turns)
    seen = []
    for _ in range(8):
        found, counted = canary.run(SCHEDULED)
        assert (found["canary"]["result"], counted["CanaryFailures"]) == ("pass", [0]), found
        seen.append(found["canary"]["function_version"])
    assert seen == list("66766777")


@pytest.mark.parametrize(
    ("live", "words"),
    [
        ("9", "there is no such function, version or alias, so deploy the stack again"),
        ("8", "39 of 40 golden sentences have another label"),
    ],
)
def test_a_wrong_version_at_the_alias_counts_as_a_failure(
    live: str, words: str, start_canary: Callable[..., Canary], deployed: Lambda
) -> None:
    canary = start_canary("7")
    deployed.live = lambda: live
    found, counted = canary.run(SCHEDULED)
    assert words in found["sentence"]
    assert counted == {"CanaryRuns": [1], "CanaryFailures": [1]}


def test_a_message_names_the_last_scheduled_run_that_passed(
    start_canary: Callable[..., Canary], deployed: Lambda, running: Stack
) -> None:
    """The failed run before a deployment does not count: it asks a version that is not live."""
    deployed.live = lambda: "7"
    start_canary("7").run(SCHEDULED)
    found, _ = start_canary("8").run(BEFORE_TRAFFIC)
    assert found["canary"]["result"] == "fail"

    def search(body: Any) -> Any:
        url = f"{running.opensearch_url}/cwl-*/_search"
        answer = requests.post(url, json=body, timeout=30)
        answer.raise_for_status()
        return answer.json()["aggregations"]

    requests.post(f"{running.opensearch_url}/cwl-*/_refresh", timeout=30).raise_for_status()
    now = int(time.time())
    last = locate_change.canary(search, Stream(STACK, "/a/log/group", found["model"]), now)
    assert last is not None
    assert last.passed
    assert 0 <= now - last.at < 60


def test_a_canary_of_your_own_function_fails_if_it_has_no_questions(
    start_canary: Callable[..., Canary],
) -> None:
    canary = start_canary("", DEPLOYED_VERSION="", CANARY_FUNCTION=f"{NAME}:prod")
    found, counted = canary.run(SCHEDULED)
    assert "contains no questions: build it with make build CANARY=file" in found["sentence"]
    assert counted["CanaryFailures"] == [1]
