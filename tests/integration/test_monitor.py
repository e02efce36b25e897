"""Tests the built monitor under the real Lambda runtime.

The monitor reads predictions from OpenSearch, and compares them with an accepted baseline. The
shipper delivers the monitor's drift lines to OpenSearch.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
from opensearchpy import RequestsHttpConnection

from local.cloudwatch import Subscription
from local.runtime import Runtime
from local.runtime import running as start
from local.stack import Stack
from local.template import Template
from monitor.baselines import baseline
from monitor.baselines.window_length import Plan
from monitor.judgement.judge_stream import Accepted
from monitor.settings import own_index
from monitor.summaries.store import Kind, Store
from monitor.summaries.summary import SLOT, Stream
from monitor.summaries.windows import HOUR, cut
from tests.integration.monitored import forget, put_predictions, subscribed
from tests.integration.test_monitor_read import nested
from tests.unit.monitor.made_windows import records, slots

STACK = "Judged-Stack"
STREAM = Stream(STACK, "/aws/lambda/judged", "a-model")
EACH = 30  # predictions in a slot, which lasts 15 minutes
DRIFT = {"prediction.label": "spam", "input.sig.s3": 90}


class Judge:
    """The running monitor, and every line that it wrote."""

    def __init__(self, runtime: Runtime, lines: list[str], subscription: Subscription) -> None:
        self._runtime = runtime
        self._lines = lines
        self._subscription = subscription

    def run(self) -> list[dict[str, Any]]:
        """Run the monitor once, and return its JSON lines, except the metrics."""
        before = len(self._lines)
        self._runtime.invoke({})
        deadline = time.monotonic() + 30  # the last line may come later than the answer
        while not any('"heartbeat"' in line for line in self._lines[before:]):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert self._subscription.drain(20)
        written = [json.loads(line) for line in self._lines[before:] if line.startswith("{")]
        return [line for line in written if "_aws" not in line]


@pytest.fixture(scope="module")
def store(running: Stack) -> Store:
    url = urlsplit(running.opensearch_url)
    return Store(
        RequestsHttpConnection(host=url.hostname or "", port=url.port), own_index(STACK), STACK
    )


@pytest.fixture(scope="module")
def judge(
    running: Stack, template: Template, built: Path, runtime_packages: Path, store: Store
) -> Iterator[Judge]:
    """Run the built monitor. The shipper gets the lines that pass the subscription filter."""
    lines: list[str] = []
    with ExitStack() as parts:
        subscription = parts.enter_context(
            subscribed("MonitorLogGroup", "MonitorRecords", running.shipper.invoke)
        )

        def write(line: str) -> None:
            lines.append(line)
            subscription.put(line)

        given = {"OPENSEARCH_URL": running.opensearch_url, "STACK": STACK}
        runtime = parts.enter_context(
            start(
                template.functions["MonitorFunction"],
                given,
                write,
                code=built / "MonitorFunction",
                packages=runtime_packages,
            )
        )
        yield Judge(runtime, lines, subscription)
    forget(running.opensearch_url, STACK)


def predicted(url: str, begin: int, end: int, chance: np.random.Generator, **given: Any) -> None:
    """Put predictions of the stream into OpenSearch.

    `begin` and `end` are times in seconds since 1970.
    """
    envelope = {
        "@stack": STACK,
        "@log_group": STREAM.log_group,
        "model": {"name": STREAM.model, "version": "1"},
    }
    put_predictions(
        url,
        [
            nested(row) | envelope | {"@timestamp": slot * 1000 + int(chance.integers(SLOT * 1000))}
            for slot in range(begin, end, SLOT)
            for row in records(EACH, chance, **given)
        ],
    )


def accept(store: Store, now: int) -> None:
    """Accept a week of summaries as the baseline."""
    week = slots(7 * 96, EACH, np.random.default_rng(1), start=now - 8 * 24 * HOUR)
    plan = Plan(rows=100, longest=8 * HOUR, windows=168, deff=1.0, armed=True, days=7)
    fitted = baseline.fit(
        [
            replace(part, stream=STREAM, profile="")
            for part in cut(week, rows=plan.rows, at_most=plan.longest).full
        ]
    )
    accepted = Accepted.of(1, fitted, plan)
    content = baseline.to_document(accepted.baseline) | {"plan": accepted.plan()}
    store.create(Kind.BASELINE, STREAM, 1, content)
    store.create(Kind.DECISION, STREAM, 1, {"baseline": 1, "action": "accept"})


def test_one_run_writes_a_drift_line_that_can_be_found(
    running: Stack, judge: Judge, store: Store
) -> None:
    first = judge.run()
    # This stack has no predictions, so there is nothing to judge.
    assert [line["message"] for line in first] == ["heartbeat"]
    assert first[0]["streams"] == 0
    now = int(time.time()) // SLOT * SLOT
    chance = np.random.default_rng(2)
    accept(store, now)
    predicted(running.opensearch_url, now - 10 * HOUR, now - 5 * HOUR, chance)
    predicted(running.opensearch_url, now - 5 * HOUR, now - SLOT, chance, **DRIFT)
    written = judge.run()
    verdicts = [line["monitor"] for line in written if line["message"] == "verdict"]
    assert [one["word"] for one in verdicts][:4] == ["ok"] * 4
    assert "notice" in [one["word"] for one in verdicts]
    assert written[-1]["message"] == "heartbeat"
    assert written[-1]["verdicts"] == {"notice": 1}
    found = searched(running, {"term": {"@kind": "drift"}}, {"term": {"monitor.unusual": True}})
    assert {hit["monitor"]["signal"] for hit in found} >= {"means", "label"}
    assert searched(
        running, {"term": {"monitor.word": "notice"}}, {"term": {"monitor.begins": True}}
    )
    again = judge.run()
    assert [line["message"] for line in again] == ["heartbeat"]  # a second run finds nothing new
    assert again[0]["slots"] == 0


def test_a_slot_that_got_more_predictions_is_read_again(
    running: Stack, judge: Judge, store: Store
) -> None:
    slot = int(time.time()) // SLOT * SLOT - 6 * HOUR
    before = store.counts(STREAM, slot, slot + SLOT)[slot]
    predicted(running.opensearch_url, slot, slot + SLOT, np.random.default_rng(5))
    assert judge.run()[-1]["slots"] == 1
    assert store.counts(STREAM, slot, slot + SLOT) == {slot: before + EACH}


def test_an_unreachable_server_is_reported_in_one_log_line(
    template: Template, built: Path, runtime_packages: Path
) -> None:
    lines: list[str] = []
    given = {"OPENSEARCH_URL": "http://127.0.0.1:9", "STACK": STACK}
    function = template.functions["MonitorFunction"]
    with start(
        function, given, lines.append, code=built / "MonitorFunction", packages=runtime_packages
    ) as runtime:
        assert runtime.invoke({}) == {"streams": 0}
    (said,) = [json.loads(line) for line in lines if line.startswith("{")]
    assert (said["level"], said["message"]) == ("ERROR", "not_judged")
    assert "cannot be reached" in said["reason"]
    assert "Traceback" not in "".join(lines)


def searched(running: Stack, *filters: dict[str, Any]) -> list[dict[str, Any]]:
    """Wait until documents match the filters, and return these documents."""
    query = {"query": {"bool": {"filter": list(filters)}}, "size": 100}
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        if found := running.search(query):
            return [hit["_source"] for hit in found]
        time.sleep(0.2)
    return []
