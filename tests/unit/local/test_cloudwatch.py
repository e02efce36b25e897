from __future__ import annotations

import json
import threading
import time
from typing import Any

import pytest

from local import cloudwatch, template
from local.cloudwatch import Subscription, log_event
from local.filter_pattern import matches
from shipper import decode as shipper

[(_, PATTERN, _)] = template.read().subscriptions
WANTED = '{"message": "prediction"}'


class Shipped:
    """A subscriber that records its batches. Its first `failures` invocations fail."""

    def __init__(self, failures: int = 0) -> None:
        self.batches: list[list[str]] = []
        self.ids: list[str] = []
        self._failures = failures

    def __call__(self, event: dict[str, Any]) -> None:
        if self._failures:
            self._failures -= 1
            raise RuntimeError("the subscriber failed")
        payload = shipper.decode(event, 10_000_000)
        assert payload.log_group == "group"
        self.batches.append([shipper.line(event)[0] for event in payload.events])
        self.ids += [line.id for line in payload.events]

    @property
    def lines(self) -> list[str]:
        return [line for batch in self.batches for line in batch]


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cloudwatch, "BATCH_SECONDS", 0.01)


@pytest.mark.parametrize(
    ("pattern", "line", "wanted"),
    [
        pytest.param(PATTERN, '{"message": "prediction", "n": 1}', True, id="template: prediction"),
        pytest.param(
            PATTERN, '{"message": "prediction_error"}', True, id="template: prediction_error"
        ),
        pytest.param(
            PATTERN,
            ' {"message":"prediction"}\n',
            True,
            id="template: white space around the object",
        ),
        pytest.param(PATTERN, '{"message": "predictions"}', False, id="template: a longer word"),
        pytest.param(
            PATTERN, '{"message": "PREDICTION"}', False, id="template: a word in capitals"
        ),
        pytest.param(
            PATTERN,
            '{"record": {"message": "prediction"}}',
            False,
            id="template: the field in an inner object",
        ),
        pytest.param(
            PATTERN, '{"message": ["prediction"]}', False, id="template: a list in the field"
        ),
        pytest.param(PATTERN, '{"message": null}', False, id="template: null in the field"),
        pytest.param(
            PATTERN, '{"_aws": {}, "Predictions": [1.0]}', False, id="template: a line of metrics"
        ),
        pytest.param(PATTERN, "{}", False, id="template: empty object"),
        pytest.param(
            PATTERN,
            "REPORT RequestId: 8f5ad1e0 Duration: 5 ms",
            False,
            id="template: a line of Lambda itself",
        ),
        pytest.param(
            PATTERN, 'INFO {"message": "prediction"}', False, id="template: text before the object"
        ),
        pytest.param(
            PATTERN, '{"message": "prediction"', False, id="template: an object without its end"
        ),
        pytest.param(
            PATTERN, '[{"message": "prediction"}]', False, id="template: an array around the object"
        ),
        pytest.param(PATTERN, '"prediction"', False, id="template: a string instead of an object"),
        pytest.param(PATTERN, "null", False, id="template: null instead of an object"),
        pytest.param(PATTERN, "", False, id="template: empty line"),
        pytest.param(
            PATTERN, "[" * 100_000, False, id="template: nested too deeply for the parser"
        ),
        pytest.param(
            "{ ($.a = 1) && ($.b = 2) }", '{"a": 1, "b": 2}', True, id="and: both conditions hold"
        ),
        pytest.param(
            "{ ($.a = 1) && ($.b = 2) }",
            '{"a": 1, "b": 3}',
            False,
            id="and: only the left condition holds",
        ),
        pytest.param(
            "{ ($.a = 1) && ($.b = 2) }", '{"b": 2}', False, id="and: the left field is missing"
        ),
        pytest.param(
            "{ ($.a = 1) || ($.b = 2) }", '{"b": 2}', True, id="or: the left field is missing"
        ),
        pytest.param(
            "{ ($.a = 1) || ($.b = 2) }", '{"a": 1}', True, id="or: the right field is missing"
        ),
        pytest.param(
            "{ ($.a = 1) || ($.b = 2) }",
            '{"a": 2, "b": 1}',
            False,
            id="or: neither condition holds",
        ),
        pytest.param(
            "{ (($.a = 1) || ($.b = 1)) && ($.c = 1) }",
            '{"a": 1, "c": 0}',
            False,
            id="parentheses are evaluated first",
        ),
        pytest.param("{ $.n > 1 }", '{"n": 1.5}', True, id="greater"),
        pytest.param("{ $.n > 1 }", '{"n": 1}', False, id="not greater"),
        pytest.param("{ $.n >= 1 }", '{"n": 1}', True, id="greater or equal"),
        pytest.param("{ $.n < 1 }", '{"n": 0.5}', True, id="less"),
        pytest.param("{ $.n <= 0.5 }", '{"n": 0.6}', False, id="not less or equal"),
        pytest.param("{ $.n = 1 }", '{"n": 1.0}', True, id="equal number"),
        pytest.param(
            "{ $.n = 1 }", '{"n": "1"}', False, id="a number as text is not equal to the number"
        ),
        pytest.param("{ $.n > 1 }", '{"n": "2"}', False, id="a text is not compared as a number"),
        pytest.param("{ $.n > 1 }", "{}", False, id="greater: the field is missing"),
        pytest.param('{ $.a.b = "x" }', '{"a": {"b": "x"}}', True, id="a field in an inner object"),
        pytest.param(
            '{ $.a.b = "x" }', '{"a": {}}', False, id="a missing field in an inner object"
        ),
        pytest.param('{ $.a.b = "x" }', '{"c": 1}', False, id="the outer field is missing"),
        pytest.param('{ $.a.b = "x" }', '{"a": "b"}', False, id="the outer field is a text"),
        pytest.param('{ $.a[1] = "x" }', '{"a": ["y", "x"]}', True, id="an element of an array"),
        pytest.param('{ $.a[1] = "x" }', '{"a": ["x"]}', False, id="a missing element of an array"),
        pytest.param(
            '{ $.a[0] = "x" }', '{"a": {"b": "x"}}', False, id="an object in place of the array"
        ),
        pytest.param('{ $[0] = "x" }', '["x"]', False, id="the line is an array"),
        pytest.param('{ $.a != "x" }', '{"a": "y"}', True, id="unequal"),
        pytest.param('{ $.a != "x" }', '{"a": "x"}', False, id="not unequal"),
    ],
)
def test_a_filter_pattern_matches_the_expected_lines(pattern: str, line: str, wanted: bool) -> None:
    assert matches(pattern, line) is wanted


def test_an_id_has_56_digits_and_grows_with_time() -> None:
    ids = [log_event("line", 1795435200123)["id"] for _ in range(1000)]
    assert len(set(ids)) == 1000
    assert all(len(each) == 56 and each.isascii() and each.isdecimal() for each in ids)
    assert max(ids) < log_event("line", 1795435200124)["id"]


def test_an_added_line_gets_the_current_time() -> None:
    events: list[dict[str, Any]] = []
    subscription = Subscription("group", PATTERN, events.append)
    before = time.time_ns() // 1_000_000
    subscription.put(WANTED)
    after = time.time_ns() // 1_000_000
    subscription.stop()
    subscription.run()
    [event] = events
    [line] = shipper.decode(event, 1000).events
    assert before <= line.timestamp <= after
    assert shipper.line(line)[0] == WANTED


def test_each_line_that_matches_the_pattern_is_shipped_once() -> None:
    shipped = Shipped()
    subscription = Subscription("group", PATTERN, shipped)
    lines = [
        json.dumps({"message": "prediction" if number % 3 else "other", "n": number})
        for number in range(120)
    ]

    def put(part: list[str]) -> None:
        for line in part:
            subscription.put(line)

    with subscription.running(5):
        writers = [threading.Thread(target=put, args=(lines[start::4],)) for start in range(4)]
        for writer in writers:
            writer.start()
        for writer in writers:
            writer.join()
        assert subscription.drain(5)
        assert sorted(shipped.lines) == sorted(line for line in lines if "prediction" in line)
    counts = subscription.counts
    assert (counts.seen, counts.passed, counts.dropped) == (120, 80, 40)
    assert len(set(shipped.ids)) == 80


def test_batches_have_a_limited_size_and_keep_the_order_of_lines(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(cloudwatch, "BATCH_EVENTS", 5)
    shipped = Shipped()
    subscription = Subscription("group", PATTERN, shipped)
    lines = [json.dumps({"message": "prediction", "n": number}) for number in range(12)]
    for line in lines:
        subscription.put(line)
    subscription.stop()
    subscription.run()  # ends after the last batch, because `stop` was called
    assert [len(batch) for batch in shipped.batches] == [5, 5, 2]
    assert shipped.lines == lines


def test_the_thread_ends_after_the_last_line_was_shipped() -> None:
    shipped = Shipped()
    subscription = Subscription("group", PATTERN, shipped)
    threads = threading.active_count()
    with subscription.running(5):
        subscription.put(WANTED)
        assert threading.active_count() == threads + 1
    assert threading.active_count() == threads
    assert shipped.lines == [WANTED]


def test_drain_waits_for_the_subscriber() -> None:
    begun, release = threading.Event(), threading.Event()

    def ship(_event: dict[str, Any]) -> None:
        begun.set()
        assert release.wait(5)

    subscription = Subscription("group", PATTERN, ship)
    with subscription.running(5):
        assert subscription.drain(5)  # nothing was put
        subscription.put(WANTED)
        assert not subscription.drain(0)
        assert begun.wait(5)
        assert not subscription.drain(0.05)
        release.set()
        assert subscription.drain(5)


def test_drain_does_not_wait_for_dropped_lines() -> None:
    subscription = Subscription("group", PATTERN, Shipped())
    subscription.put("plain words")
    assert subscription.drain(0)
    assert subscription.counts.dropped == 1


def test_drain_returns_after_a_failure_of_the_subscriber() -> None:
    subscription = Subscription("group", PATTERN, Shipped(failures=1))
    with subscription.running(5):
        subscription.put(WANTED)
        assert subscription.drain(5)
    assert subscription.failures == ["1 lines: the subscriber failed"]


def test_lines_after_a_failure_are_shipped() -> None:
    shipped = Shipped(failures=1)
    subscription = Subscription("group", PATTERN, shipped)
    with subscription.running(5):
        subscription.put(WANTED)
        assert subscription.drain(5)
        subscription.put('{"message": "prediction", "n": 2}')
        assert subscription.drain(1)
    assert shipped.lines == ['{"message": "prediction", "n": 2}']
