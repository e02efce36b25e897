"""Tests of feedback: right labels for predictions that were made earlier.

Labels can be sent in three ways: to POST /feedback, as log lines of a user's own function, and as a
CSV file. The monitor joins each label to its prediction, exactly once.

The built functions run under the real Lambda runtime, with a real OpenSearch.
"""

from __future__ import annotations

import csv
import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest
import requests

from local.cloudwatch import log_event, subscription_event
from local.filter_pattern import matches
from local.runtime import Runtime
from local.runtime import running as start
from local.stack import Stack
from local.template import Template
from monitor.__main__ import main
from monitor.settings import own_index
from tests.integration.monitored import forget
from tests.models import TESTED

STACK: Final = "Labelled-Stack"
GROUP: Final = "/aws/lambda/labelled"
NAMES: Final = "prediction_id=request.id"  # the user's own function logs the id as request.id
LABELS: Final = json.loads((TESTED / "card.json").read_text(encoding="utf-8"))["labels"][:2]
DAY_MS: Final = 86_400_000
BATCH: Final = 100  # labels in one request


class Predicted(NamedTuple):
    id: str
    label: str


class Functions:
    """The built functions. `predict`, `post` and `log` ship the lines that the functions write."""

    def __init__(
        self,
        *,
        inference: Runtime,
        shipper: Callable[[dict[str, Any]], Any],
        judge: Runtime,
        lines: list[str],
        pattern: str,
        url: str,
    ) -> None:
        self.inference, self.judge, self.url = inference, judge, url
        self._ship, self._lines, self._pattern = shipper, lines, pattern
        self._heartbeats = 0

    def predict(self, sentences: list[str]) -> list[Predicted]:
        answer = self._asked("/predict", {"sentences": sentences}, 200)
        return [
            Predicted(one["prediction_id"], one["prediction"]["label"])
            for one in answer["predictions"]
        ]

    def post(self, labels: list[dict[str, Any]]) -> None:
        """Send labels in the first way: to POST /feedback."""
        for at in range(0, len(labels), BATCH):
            part = labels[at : at + BATCH]
            assert self._asked("/feedback", {"feedback": part}, 202) == {"accepted": len(part)}

    def log(self, several: list[dict[str, Any]], at: int | None = None) -> None:
        """Write log lines of the user's own function, which is the second way to send labels.

        `at` is the time of the lines, in milliseconds since 1970.
        """
        now = time.time_ns() // 1_000_000 if at is None else at
        self.ship([json.dumps(one) for one in several], now)

    def ship(self, lines: list[str], at: int, ship: Callable[..., Any] | None = None) -> None:
        passed = [log_event(line, at) for line in lines if matches(self._pattern, line)]
        (ship or self._ship)(subscription_event(passed, GROUP))

    def run_judge(self) -> dict[str, Any]:
        """Run the monitor once. Returns its metrics of feedback."""
        requests.post(f"{self.url}/cwl-*/_refresh", timeout=30)
        before = len(self._lines)
        self.judge.invoke({})
        counted = self._until(before, lambda line: '"FeedbackJoined"' in line)
        return {
            name.removeprefix("Feedback"): value[0] if isinstance(value, list) else value
            for name, value in json.loads(counted).items()
            if name.startswith("Feedback")
        }

    def accuracy(self) -> dict[str, Any]:
        """Return the figures of a dashboard panel.

        `labels` counts the labels, and `share` is the share of right predictions among them.
        `right` has, for each source of labels, the number of labels and of right predictions.
        `days` has the number of labels for each day.
        """
        body = {
            "size": 0,
            "query": {"term": {"kind": "feedback"}},
            "aggs": {
                "correct": {"avg": {"field": "feedback.correct"}},
                "sources": {
                    "terms": {"field": "feedback.source", "missing": "none"},
                    "aggs": {"right": {"filter": {"term": {"feedback.correct": True}}}},
                },
                "days": {"date_histogram": {"field": "@timestamp", "fixed_interval": "1d"}},
            },
        }
        answer = requests.post(
            f"{self.url}/{own_index(STACK)}/_search?ignore_unavailable=true&track_total_hits=true",
            json=body,
            timeout=30,
        ).json()
        found = answer.get("aggregations", {})
        return {
            "labels": answer["hits"]["total"]["value"],
            "share": found["correct"]["value"],
            "right": {
                one["key"]: (one["doc_count"], one["right"]["doc_count"])
                for one in found["sources"]["buckets"]
            },
            "days": [one["doc_count"] for one in found["days"]["buckets"] if one["doc_count"]],
        }

    def _asked(self, path: str, body: dict[str, Any], status: int) -> Any:
        event = {
            "version": "2.0",
            "rawPath": path,
            "requestContext": {"requestId": "1"},
            "body": json.dumps(body),
            "isBase64Encoded": False,
        }
        before = len(self._lines)
        answer = self.inference.invoke(event)
        assert answer["statusCode"] == status, answer
        self._until(before, lambda line: '"_aws"' in line)  # the last line of a request
        lines = [line for line in self._lines[before:] if line.startswith("{")]
        self.ship(lines, time.time_ns() // 1_000_000)
        return json.loads(answer["body"])

    def _until(self, before: int, wanted: Callable[[str], bool]) -> str:
        deadline = time.monotonic() + 60  # a line may come after the answer
        while True:
            for line in self._lines[before:]:
                if wanted(line):
                    return line
            assert time.monotonic() < deadline
            time.sleep(0.02)


@pytest.fixture(scope="module")
def starting(
    running: Stack, template: Template, built: Path, runtime_packages: Path
) -> Iterator[Callable[..., Runtime]]:
    with ExitStack() as parts:

        def begin(name: str, lines: list[str], **settings: str) -> Runtime:
            given = {"OPENSEARCH_URL": running.opensearch_url, "STACK": STACK, **settings}
            return parts.enter_context(
                start(
                    template.functions[name],
                    given,
                    lines.append,
                    code=built / name,
                    packages=runtime_packages,
                )
            )

        yield begin


@pytest.fixture(scope="module")
def functions(
    running: Stack, template: Template, starting: Callable[..., Runtime]
) -> Iterator[Functions]:
    lines: list[str] = []
    inference = starting("InferenceFunction", lines, HASH_KEY="a secret")
    shipper = starting("ShipperFunction", [], RECORD_LOG_GROUPS=GROUP, FIELD_MAP=NAMES)
    judge = starting("MonitorFunction", lines)
    (_, pattern, _) = template.subscriptions[0]
    yield Functions(
        inference=inference,
        shipper=shipper.invoke,
        judge=judge,
        lines=lines,
        pattern=pattern,
        url=running.opensearch_url,
    )
    forget(running.opensearch_url, STACK)


def own_line(number: int, label: str, **more: Any) -> dict[str, Any]:
    """Return a prediction of the user's own function, which has its own name for the id."""
    prediction = {"label": label, "score": 0.9}
    return {
        "message": "prediction",
        "request": {"id": f"own-{number}"},
        "prediction": prediction,
    } | more


def test_a_thousand_labels_sent_in_three_ways_count_once_each(
    functions: Functions, tmp_path: Path
) -> None:
    now = time.time_ns() // 1_000_000
    first, second = LABELS
    other = {first: second, second: first}
    # 128 predictions by the built function now, and 872 by the user's own function three days ago
    ours = [each for part in range(2) for each in functions.predict([f"A boy sat {part}"] * 64)]
    own = [Predicted(f"own-{number}", LABELS[number % 2]) for number in range(872)]
    functions.log([own_line(at, one.label) for at, one in enumerate(own)], now - 3 * DAY_MS)

    # 128 labels are sent to POST /feedback. Every fourth prediction is wrong. 8 labels come twice.
    posted = [
        {
            "prediction_id": one.id,
            "label": other[one.label] if at % 4 == 0 else one.label,
            "source": "human",
        }
        for at, one in enumerate(ours)
    ]
    functions.post(posted)
    functions.post(posted[:8])
    # 472 labels are logged. Every third prediction is wrong. 42 labels come twice. 20 labels have
    # an identifier: they first say that the prediction is right, and later that it is wrong.
    logged = [
        {
            "message": "feedback",
            "request": {"id": one.id},
            "label": other[one.label] if at % 3 == 0 else one.label,
            "source": "code",
        }
        | ({"identifier": "review", "label": one.label} if at < 20 else {})
        for at, one in enumerate(own[:472])
    ]
    functions.log(logged, now - 1000)
    functions.log(logged[:42], now - 500)
    corrected = [
        line | {"label": other[one.label]} for line, one in zip(logged[:20], own[:20], strict=True)
    ]
    functions.log(corrected, now)
    assert functions.run_judge() == {"Joined": 600, "NotJoined": 0, "Waiting": 0}
    # 400 labels are in a CSV file. Every tenth prediction is wrong. 50 labels come twice.
    rows = [
        (one.id, other[one.label] if at % 10 == 0 else one.label, "audit")
        for at, one in enumerate(own[472:])
    ]
    file = tmp_path / "labels.csv"
    with file.open("w", newline="") as opened:
        csv.writer(opened).writerows([("prediction_id", "label", "source"), *rows, *rows[:50]])
    command = ["feedback", str(file), "--opensearch", functions.url, "--stack", STACK]
    assert main([*command, "--dry-run"]) == 0
    assert functions.accuracy()["labels"] == 600
    assert main(command) == 0

    wrong = {
        "human": len(range(0, 128, 4)),
        "code": 20 + len([at for at in range(20, 472) if at % 3 == 0]),
        "audit": 40,
    }
    labels = {"human": 128, "code": 472, "audit": 400}
    found = functions.accuracy()
    assert found["labels"] == 1000
    assert found["right"] == {
        source: (count, count - wrong[source]) for source, count in labels.items()
    }
    assert found["share"] == pytest.approx(1 - sum(wrong.values()) / 1000)
    assert found["days"][0] == 872  # a label counts on the day of its prediction
    # A second run of the monitor changes nothing. A second reading of the file changes nothing.
    assert functions.run_judge() == {"Joined": 0, "NotJoined": 0, "Waiting": 0}
    assert main(command) == 0
    assert functions.accuracy() == found


def test_a_label_waits_for_its_late_prediction_and_invalid_labels_are_not_joined(
    functions: Functions,
    starting: Callable[..., Runtime],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    label, wrong = LABELS
    before = functions.accuracy()["labels"]
    line = {"message": "feedback", "request": {"id": "own-late"}, "label": wrong}
    (ours,) = functions.predict(["A late boy sat"])
    functions.log(
        [
            line,
            line | {"request": {"id": ours.id}, "model": {"name": "another"}},
            line | {"request": {"id": ours.id}, "label": "none of its labels"},
            {"message": "feedback", "label": wrong},
            line | {"request": {"id": "own-test"}},
            line | {"request": {"id": "own-twice"}},
        ]
    )
    twice = own_line(0, label, request={"id": "own-twice"})
    functions.log([own_line(0, label, request={"id": "own-test"}, traffic="test"), twice, twice])
    # the same id and label in another stack
    another = starting("ShipperFunction", [], STACK="another", RECORD_LOG_GROUPS=GROUP)
    stranger = {"message": "feedback", "prediction_id": ours.id, "label": wrong}
    now = time.time_ns() // 1_000_000
    functions.ship([json.dumps(stranger)], now, another.invoke)
    assert functions.run_judge() == {"Joined": 0, "NotJoined": 4, "Waiting": 2}
    assert functions.accuracy()["labels"] == before
    functions.log([own_line(0, label, request={"id": "own-late"})], now - 2 * DAY_MS)
    assert functions.run_judge() == {"Joined": 1, "NotJoined": 0, "Waiting": 1}
    assert functions.accuracy()["labels"] == before + 1

    # The first row replaces the label of the log line about own-late.
    file, rejected = tmp_path / "labels.csv", tmp_path / "rejected.csv"
    file.write_text(
        "prediction_id,label,identifier\n"
        f"own-late,{label},\nnobody,{label},\n,{label},\nown-twice,{label},\n"
        f"{ours.id},none of its labels,\n",
        encoding="utf-8",
    )
    command = ["feedback", str(file), "--opensearch", functions.url, "--stack", STACK]
    assert main([*command, "--rejected", str(rejected)]) == 1
    said = capsys.readouterr()
    assert "5 rows are read. New labels: 0. Labels that replace an earlier label: 1." in said.out
    assert "row 2: nobody: no live prediction of the stack has this id" in said.out
    assert "deleted at the end of its retention" in said.out
    assert "4 of 5 rows did not join" in said.err
    with rejected.open(newline="") as opened:
        reasons = [row["reason"] for row in csv.DictReader(opened)]
    assert [reason[:25] for reason in reasons] == [
        "no live prediction of the",
        "prediction_id or label is",
        "several predictions have ",
        "the model does not have t",
    ]
    # The monitor reads the log line about own-late again. The CSV row is newer, so its label stays.
    functions.run_judge()
    body = {"query": {"term": {"prediction_id": "own-late"}}}
    answer = requests.post(f"{functions.url}/{own_index(STACK)}/_search", json=body, timeout=30)
    (hit,) = answer.json()["hits"]["hits"]
    assert hit["_source"]["feedback"]["label"] == label
