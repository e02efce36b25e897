"""Tests that a single log line cannot block the index.

Some lines would keep OpenSearch busy for a long time. The tests send such bad lines, among good
lines, to a real server.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
import requests
from opensearchpy import RequestsHttpConnection

from local.cloudwatch import log_event, subscription_event
from local.stack import Stack
from shipper.back_off import RetryBudget
from shipper.client import connect
from shipper.dead_letters import Bucket, LetterFate, letters, replay_all
from shipper.decode import decode
from shipper.document import Rules
from shipper.outcome import Outcome
from shipper.ship import ship

NOON = 1_000_000_000_000  # 2001-09-09; no other test has documents of this day
INDEX = "cwl-log-2001.09.09"
ESCAPED = "\\u002e"  # a dot
SIZES = {"1 kB": 1_000, "4 kB": 4_000, "16 kB": 16_000, "64 kB": 64_000, "1 MB": 1_000_000}


def dots(size: int) -> str:
    return json.dumps({".".join("a" * (size // 2)): 1})


def escaped_dots(size: int) -> str:
    return f'{{"{ESCAPED.join("a" * (size // 7))}":1}}'


def nesting(size: int) -> str:
    return '{"n":' * (size // 7) + "1" + "}" * (size // 7)


def names(size: int) -> str:
    return json.dumps({f"n{size}x{number}": 1 for number in range(size // 12)})


def mixed(size: int) -> str:
    return json.dumps(
        {
            "m": [
                {
                    "k": {
                        ".".join("b" * (size // 4)): {
                            f"x{number}": 1 for number in range(size // 40)
                        }
                    }
                }
            ],
            "v": 1e300,
        }
    )


SHAPES = {
    "dots": dots,
    "escaped dots": escaped_dots,
    "nesting": nesting,
    "names": names,
    "mixed": mixed,
}


@pytest.fixture
def connection(running: Stack) -> Iterator[RequestsHttpConnection]:
    requests.delete(f"{running.opensearch_url}/{INDEX}", timeout=30)
    with closing(connect(running.opensearch_url, {})) as found:
        yield found
    requests.delete(f"{running.opensearch_url}/{INDEX}", timeout=30)


def delivered(connection: RequestsHttpConnection, event: Any, seconds: float = 60.0) -> Outcome:
    return ship(
        decode(event, 1 << 28), Rules(), connection, RetryBudget(time.monotonic() + seconds)
    )


def events(*lines: str, start: int = 0) -> list[dict[str, Any]]:
    return [log_event(line, NOON + start + number) for number, line in enumerate(lines)]


@pytest.mark.parametrize("shape", SHAPES)
def test_good_lines_are_indexed_quickly_although_bad_lines_are_among_them(
    running: Stack, connection: RequestsHttpConnection, shape: str
) -> None:
    """Send 1,000 good lines and one bad line of each size.

    Afterwards the write pool must be free, so that the next good line is indexed at once.
    """
    lines = [json.dumps({"marker": "good", "n": number}) for number in range(1000)]
    for number, size in enumerate(SIZES.values()):
        lines.insert(number * 150, SHAPES[shape](size))
    start = time.monotonic()
    outcome = delivered(connection, subscription_event(events(*lines), "group"))
    took = time.monotonic() - start
    # A rescued line is indexed without some of its fields. Not every bad line needs this: 1 kB of
    # names is only 83 fields, and a line that is nested too deeply for JSON parsers is shipped as
    # text.
    assert outcome.failed == 0
    assert outcome.indexed + outcome.rescued == 1000 + len(SIZES)
    assert outcome.rescued >= 3
    assert took < 10, "without limits, 4 kB of dots take 20 s"
    pools = (
        requests.get(f"{running.opensearch_url}/_nodes/stats/thread_pool", timeout=10)
        .json()["nodes"]
        .values()
    )
    assert sum(node["thread_pool"]["write"]["active"] for node in pools) == 0
    start = time.monotonic()
    assert (
        delivered(connection, subscription_event(events("next", start=5000), "group")).indexed == 1
    )
    assert time.monotonic() - start < 1


def test_a_replay_delivers_dead_letters_with_good_lines_and_with_bad_lines(
    connection: RequestsHttpConnection, s3: Any
) -> None:
    bucket = Bucket("one-line", s3)
    s3.create_bucket(Bucket=bucket.name)
    for number in range(20):
        for name, line in (("good", f'{{"marker": {number}}}'), ("bad", dots(1_000 + number))):
            event = subscription_event(events(line, start=number + 100 * (name == "bad")), "group")
            key = f"aws/lambda/async/{name}/{number}"
            s3.put_object(
                Bucket=bucket.name, Key=key, Body=json.dumps({"requestPayload": event}).encode()
            )
    results = list(
        replay_all(letters(bucket), bucket, lambda event: delivered(connection, event), 1e9)
    )
    assert [result.fate for result in results] == [LetterFate.REPLAYED] * 40
    assert sum(result.outcome.indexed for result in results) == 20
    assert sum(result.outcome.rescued for result in results) == 20


def test_a_field_of_a_conflicting_type_is_left_out_and_other_fields_are_found(
    running: Stack, connection: RequestsHttpConnection
) -> None:
    """Loggers for Go, ECS and LLMs use some of our field names, but with other types of values."""
    lines = [
        {"error": "connection refused", "user_id": "u1"},
        {"service.name": "checkout", "user_id": "u2"},
        {"model": "gpt-x", "input": "text", "user_id": "u3"},
        {"model": "a", "input": "b", "error": "c", "prediction": "d", "user_id": "u4"},
    ]
    outcome = delivered(
        connection, subscription_event(events(*map(json.dumps, lines), '{"a":1,"a":2}'), "group")
    )
    assert (outcome.indexed, outcome.rescued, outcome.failed) == (0, 5, 0)
    requests.post(f"{running.opensearch_url}/{INDEX}/_refresh", timeout=10).raise_for_status()

    def found(query: str) -> list[Any]:
        answer = requests.get(
            f"{running.opensearch_url}/{INDEX}/_search",
            params={"q": query, "sort": "@timestamp"},
            timeout=10,
        ).json()
        return [hit["_source"]["@rescued"].get("field") for hit in answer["hits"]["hits"]]

    assert found("user_id:u1") == ["error"]
    assert found("user_id:u2") == ["service.name"]
    assert sorted(found("user_id:u3")[0]) == ["input", "model"]
    # The index refuses four fields of this line. After the fourth refusal, all fields are left out.
    assert found("user_id:u4") == []
    assert found("a:2") == ["a"]
    assert len(found("@rescued.type:*")) == 5
