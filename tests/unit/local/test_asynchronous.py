from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from local.asynchronous import AWS_DELAYS, Asynchronous, key
from local.runtime import FunctionFailed
from local.template import Function
from shipper.dead_letters import PREFIX

EVENT = {"awslogs": {"data": "H4sI"}}


class World:
    """A function whose first `failures` invocations fail."""

    def __init__(self, failures: int) -> None:
        self.failures = failures
        self.events: list[Any] = []
        self.pauses: list[float] = []
        self.letters: dict[str, bytes] = {}

    def invoke(self, event: Any) -> object:
        self.events.append(event)
        if len(self.events) > self.failures:
            return {"indexed": 1}
        raise FunctionFailed("NotDelivered", f"failure {len(self.events)}")

    def asynchronous(self, retries: int = 2, dead_letters: str | None = "Bucket") -> Asynchronous:
        function = Function("Store", Path("store"), "store.main", 128, 5, retries, dead_letters)
        return Asynchronous(
            function, self.invoke, self.letters.__setitem__, sleep=self.pauses.append
        )


@pytest.mark.parametrize(
    ("failures", "pauses"),
    [(0, []), (1, [60]), (2, [60, 120])],
    ids=["works", "works the second time", "works the third time"],
)
def test_an_event_is_tried_until_the_function_succeeds(failures: int, pauses: list[float]) -> None:
    world = World(failures)
    world.asynchronous()(EVENT)
    assert world.events == [EVENT] * (failures + 1)
    assert world.pauses == pauses
    assert world.letters == {}


@pytest.mark.parametrize(("retries", "pauses"), [(0, []), (1, [60]), (2, [60, 120])])
def test_an_event_becomes_a_dead_letter_after_the_last_try(
    retries: int, pauses: list[float]
) -> None:
    world = World(failures=9)
    with pytest.raises(FunctionFailed, match=f"NotDelivered: failure {retries + 1}"):
        world.asynchronous(retries)(EVENT)
    assert world.pauses == pauses
    [letter] = map(json.loads, world.letters.values())
    assert letter["requestPayload"] == EVENT
    assert letter["requestContext"]["approximateInvokeCount"] == retries + 1 == len(world.events)


def test_a_dead_letter_has_the_form_that_lambda_gives_it() -> None:
    world = World(failures=3)
    with pytest.raises(FunctionFailed):
        world.asynchronous()(EVENT)
    [letter] = map(json.loads, world.letters.values())
    assert list(letter) == [
        "version",
        "timestamp",
        "requestContext",
        "requestPayload",
        "responseContext",
        "responsePayload",
    ]
    assert letter["version"] == "1.0"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", letter["timestamp"])
    context = letter["requestContext"]
    assert set(context) == {"requestId", "functionArn", "condition", "approximateInvokeCount"}
    assert context["functionArn"].endswith(":function:Store:$LATEST")
    assert context["condition"] == "RetriesExhausted"
    assert letter["responseContext"] == {
        "statusCode": 200,
        "executedVersion": "$LATEST",
        "functionError": "Unhandled",
    }
    assert letter["responsePayload"] == {"errorType": "NotDelivered", "errorMessage": "failure 3"}


def test_the_key_of_a_dead_letter_is_like_on_aws_and_has_the_replay_prefix() -> None:
    found = key("Store", datetime(2026, 1, 2, 3, 4, 5, 6, UTC))
    assert re.fullmatch(
        r"aws/lambda/async/Store/2026/01/02/2026-01-02T03\.04\.05-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}",
        found,
    )
    assert found.startswith(PREFIX)
    assert found != key("Store", datetime(2026, 1, 2, 3, 4, 5, 6, UTC))


def test_a_function_without_a_bucket_loses_the_event() -> None:
    world = World(failures=9)
    with pytest.raises(FunctionFailed):
        world.asynchronous(dead_letters=None)(EVENT)
    assert (len(world.events), world.letters) == (3, {})


def test_the_delays_are_those_of_aws_unless_others_are_given() -> None:
    assert AWS_DELAYS == (60, 120)
    world = World(failures=2)
    function = Function("Store", Path("store"), "store.main", 128, 5)
    Asynchronous(function, world.invoke, world.letters.__setitem__, (1, 2), world.pauses.append)(
        EVENT
    )
    assert world.pauses == [1, 2]


def test_only_an_error_of_the_function_is_retried() -> None:
    """An error in the local stack itself must not be hidden by a retry."""
    world, function = World(0), Function("Store", Path("store"), "store.main", 128, 5, 2, "Bucket")

    def broken(event: Any) -> object:
        world.events.append(event)
        raise KeyError("url")

    with pytest.raises(KeyError):
        Asynchronous(function, broken, world.letters.__setitem__, sleep=world.pauses.append)(EVENT)
    assert (len(world.events), world.pauses, world.letters) == (1, [], {})
