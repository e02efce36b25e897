"""Tests the handler of the canary with local servers in place of Lambda and CodeDeploy.

The canary sends golden sentences (sentences with known answers) or your own questions to a
function.
"""

from __future__ import annotations

import importlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import botocore.config
import pytest
from jsonschema import Draft202012Validator

from monitor.canary.ask_function import Reply
from monitor.canary.canary_run import Verdict
from monitor.canary.golden_sentences import shipped_model
from monitor.canary.own_questions import Question, check, read
from tests.models import SHIPPED
from tests.unit.conftest import forget_handler
from tests.unit.monitor.aws_services import Answer, Services, services
from tests.unit.monitor.deployed import NAME, Function
from tests.unit.monitor.test_judge_answers import stuck
from tools.root import ROOT

EVENTS = ROOT / "events"
SCHEMA = Draft202012Validator(json.loads((EVENTS / "canary.schema.json").read_text()))
SCHEDULED = json.loads((EVENTS / "canary" / "scheduled.json").read_text())
BEFORE_TRAFFIC = json.loads((EVENTS / "canary" / "before-traffic.json").read_text())
YOURS = "arn:aws:lambda:eu-west-1:123456789012:function:yours:prod"

Invoke = Callable[[str, Any], Answer]


@dataclass(frozen=True)
class Context:
    function_name: str = "canary"
    memory_limit_in_mb: str = "512"
    invoked_function_arn: str = "arn:aws:lambda:us-east-1:000000000000:function:canary"
    aws_request_id: str = "8f5ad1e0-0c2b-4d6b-9a57-2f3b7a1c4d5e"

    def get_remaining_time_in_millis(self) -> int:
        return 240_000


class Canary:
    """The handler's module, the local services, and the output of a run."""

    def __init__(self, module: ModuleType, there: Services, capsys: Any) -> None:
        self.module = module
        self.there = there
        self._capsys = capsys

    def run(self, event: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the fields of the line's `monitor`, and the metrics."""
        self.module.handler(event, Context())
        lines = [json.loads(line) for line in self._capsys.readouterr().out.splitlines()]
        (record,) = [line for line in lines if "_aws" not in line]
        SCHEMA.validate(record)
        metrics = [line for line in lines if "_aws" in line]
        names = ("CanaryRuns", "CanaryFailures")
        counted = {name: line[name] for line in metrics for name in names if name in line}
        return record["monitor"], counted


@pytest.fixture
def start(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> Iterator[Callable[..., Any]]:
    forget_handler("monitor.canary_handler", "canary")
    running = []

    def started(invoke: Invoke, **environment: str) -> Canary:
        context = services(invoke)
        there = context.__enter__()
        running.append(context)
        given = {
            "CANARY_FUNCTION": "predict:live",
            "DEPLOYED_VERSION": f"{NAME}:7",
            "AWS_ENDPOINT_URL": there.url,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_DEFAULT_REGION": "eu-west-1",
            **environment,
        }
        for name, value in given.items():
            monkeypatch.setenv(name, value)
        return Canary(importlib.import_module("monitor.canary_handler"), there, capsys)

    yield started
    for context in running:
        context.__exit__(None, None, None)
    forget_handler("monitor.canary_handler", "canary")


def of(function: Function) -> Invoke:
    def invoke(name: str, event: Any) -> Answer:
        reply = function.ask(name, event)
        return Answer(json.dumps(reply.content).encode(), reply.version)

    return invoke


@pytest.fixture(scope="module")
def built() -> Function:
    return Function({"7": SHIPPED}, lambda: "7")


def test_a_scheduled_run_writes_a_line_and_metrics(start: Any, built: Function) -> None:
    canary = start(of(built))
    found, counted = canary.run(SCHEDULED)
    assert (found["canary"]["result"], found["canary"]["trigger"]) == ("pass", "schedule")
    assert found["canary"]["function"] == "predict:live"
    assert counted == {"CanaryRuns": [1], "CanaryFailures": [0]}
    assert canary.there.statuses == []


@pytest.mark.parametrize(
    ("spoil", "status", "result"), [(lambda a: a, "Succeeded", "pass"), (stuck, "Failed", "fail")]
)
def test_codedeploy_gets_the_result_for_the_new_version(
    spoil: Any, status: str, result: str, start: Any, built: Function
) -> None:
    """The new version is asked, but the alias points to the old version. No metric is written."""
    function = replace(built, live=lambda: "6", spoil=spoil)
    function.asked.clear()
    canary = start(of(function))
    found, counted = canary.run(BEFORE_TRAFFIC)
    assert (found["canary"]["result"], found["canary"]["trigger"]) == (result, "deployment")
    assert {version for version, _ in function.asked} == {"7"}
    assert canary.there.statuses == [
        {
            "deploymentId": BEFORE_TRAFFIC["DeploymentId"],
            "lifecycleEventHookExecutionId": BEFORE_TRAFFIC["LifecycleEventHookExecutionId"],
            "status": status,
        }
    ]
    assert counted == {}


def test_codedeploy_gets_a_failure_if_the_run_raises_an_exception(
    start: Any, built: Function, monkeypatch: pytest.MonkeyPatch
) -> None:
    canary = start(of(built))

    def raises(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(canary.module.canary_run, "check", raises)
    with pytest.raises(MemoryError):
        canary.run(BEFORE_TRAFFIC)
    assert [told["status"] for told in canary.there.statuses] == ["Failed"]


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (
            Answer(b'{"Message":"gone"}', status=404, error="ResourceNotFoundException"),
            "there is no such function, version or alias, so deploy the stack again",
        ),
        (
            Answer(b"{}", status=403, error="AccessDeniedException"),
            "the canary's role has no permission to invoke it",
        ),
        (
            Answer(b"{}", status=429, error="TooManyRequestsException"),
            "it is throttled, so raise its concurrency",
        ),
        (
            Answer(b'{"errorType": "Sandbox.Timedout"}', function_error="Unhandled"),
            "ended with an error (Sandbox.Timedout): look at its log",
        ),
        (Answer(b"[]", function_error="Unhandled"), "ended with an error (): look at its log"),
        (Answer(b"no JSON"), "answered without JSON"),
        (Answer(b'{"predictions": []}'), "0 of 40 golden sentences were answered"),
    ],
)
def test_a_missing_answer_is_reported_in_a_sentence_and_counts_as_a_failure(
    answer: Answer, words: str, start: Any
) -> None:
    found, counted = start(lambda *_: answer).run(SCHEDULED)
    assert found["canary"]["result"] == "fail"
    assert words in found["sentence"]
    assert (found["model"], found["version"]) == (shipped_model().card["name"], "")
    assert counted == {"CanaryRuns": [1], "CanaryFailures": [1]}


def test_a_function_that_does_not_answer_in_time_is_reported_in_a_sentence(
    start: Any, monkeypatch: pytest.MonkeyPatch, built: Function
) -> None:
    config = botocore.config.Config(read_timeout=0.3, retries={"total_max_attempts": 1})
    monkeypatch.setattr(botocore.config, "Config", lambda **_: config)
    ended = threading.Event()

    def slow(*_: object) -> Answer:
        ended.wait(10)
        return Answer(b"{}")

    found, _ = start(slow).run(SCHEDULED)
    ended.set()
    assert "predict:live did not answer within 30 seconds" in found["sentence"]


def test_two_simultaneous_runs_write_a_line_each(start: Any, built: Function, capsys: Any) -> None:
    canary = start(of(built))
    threads = [
        threading.Thread(target=canary.module.handler, args=(SCHEDULED, Context()))
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    results = [line["monitor"]["canary"]["result"] for line in lines if "_aws" not in line]
    assert results == ["pass", "pass"]


def test_a_package_without_golden_sentences_counts_as_a_failure(
    start: Any, built: Function, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    canary = start(of(built))
    shipped = canary.module.shipped_model
    monkeypatch.setattr(canary.module, "shipped_model", lambda: shipped((tmp_path,)))
    found, counted = canary.run(SCHEDULED)
    assert "holds no golden sentences: build it anew" in found["sentence"]
    assert counted["CanaryFailures"] == [1]


def yours(name: str, event: Any) -> Answer:
    assert name == YOURS
    label = "spam" if "money" in event["body"] else "ham"
    body = json.dumps({"scores": [{"label": label, "score": 0.91}]})
    return Answer(json.dumps({"statusCode": 200, "body": body}).encode())


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (['{"event": {"body": "money"}, "expect": {"scores.0.label": "spam"}}'], ""),
        (['{"event": {"body": "money"}, "expect": {"scores.0.score": 0.90}}', ""], ""),
        (
            ['{"event": {"body": "hello"}, "expect": {"scores.0.label": "spam"}}'],
            "question 1: scores.0.label is ham instead of spam",
        ),
        (
            ['{"event": {"body": "hello"}, "expect": {"scores.0.score": 0.8, "scores.7": "x"}}'],
            "question 1: scores.0.score is 0.91 instead of 0.8, and 1 more",
        ),
        (["{}"], "line 1 is not a question: write each question in one line, such as"),
        ([""], "the file has 0 questions, but 1 to 100 are valid"),
        (None, "the package contains no questions: build it with make build CANARY=file"),
    ],
)
def test_a_function_of_your_own_is_asked_the_questions_of_the_file(
    lines: list[str] | None,
    words: str,
    start: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    canary = start(yours, CANARY_FUNCTION=YOURS, DEPLOYED_VERSION="")
    path = tmp_path / "questions.jsonl"
    if lines is not None:
        path.write_text("\n".join(lines), encoding="utf-8")
    read = canary.module.own_questions.read
    monkeypatch.setattr(canary.module.own_questions, "read", lambda: read(path))
    found, counted = canary.run(SCHEDULED)
    assert (found["canary"]["result"], counted["CanaryFailures"]) == (
        ("fail", [1]) if words else ("pass", [0])
    )
    assert words in found["sentence"]


def test_a_run_with_many_slow_answers_ends_in_time() -> None:
    asked = []

    def ask(_function: str, event: Any) -> Reply:
        asked.append(event)
        time.sleep(0.02)
        return Reply({"label": "ham"}, "1")

    several = [Question(place, {"label": "ham"}) for place in range(100)]
    result = check(ask, YOURS, several, time.monotonic() + 0.1)
    assert result.verdict == Verdict.FAIL
    assert 1 <= len(asked) < 10
    assert result.faults == (
        f"only {len(asked)} of 100 questions were answered in time: ask fewer",
    )


def test_the_sample_of_questions_can_be_read() -> None:
    assert len(read(EVENTS / "canary" / "questions.jsonl")) == 2


def test_the_handler_does_not_start_without_a_function_to_ask(start: Any) -> None:
    with pytest.raises(ValueError, match="CANARY_FUNCTION must be set"):
        start(yours, CANARY_FUNCTION="")
