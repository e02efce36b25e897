"""Tests the choice of the index for lines that are not records.

Records are the trusted lines of predictions, feedback, monitor and canary. Other lines have an
index of their own. But the function that the AWS console generates puts all lines into the index of
the records (the common index), without a field `@kind`. So the shipper
first counts the log group's documents without `@kind`, on the day of a line and on the day before.
If there are any, all lines that the group wrote on the day of the line go to the common index too.
"""

from __future__ import annotations

import json
import threading
from collections import deque
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from msgspec import Raw
from msgspec.structs import replace
from opensearchpy import RequestsHttpConnection

from shipper.client import connect
from shipper.common_index import CommonDays, NotAnswered
from shipper.decode import LogEvent, Payload
from shipper.document import DAY, Rules
from shipper.provenance import RECORD_FILTER
from shipper.read import Kind
from shipper.ship import ship
from tests.unit.conftest import Clock

RECORD = rb'"{\"prediction\":{\"label\":\"a\"}}"'
TODAY = 20_780  # days since 1970
Answers = deque[tuple[int, bytes]]


@pytest.fixture
def counting() -> Iterator[tuple[RequestsHttpConnection, Answers, list[tuple[str, Any]]]]:
    """Run a server. Yields a connection, the answers to `_count`, and the requests to `_count`."""
    answers: Answers = deque()
    asked: list[tuple[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            if self.path.endswith("/_count"):
                asked.append((self.path, json.loads(body)))
                status, content = answers.popleft()
            else:
                status, content = 200, b'{"items":[{"create":{"status":201}}]}'
            self.send_response(status)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        # the base class defines the name `format`
        def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        connection = connect(f"http://127.0.0.1:{server.server_port}", {})
        yield connection, answers, asked
        connection.close()
        server.shutdown()


def payload(*days: int, filters: tuple[str, ...] = (), line: bytes = b'"words"') -> Payload:
    events = [LogEvent(str(number), day * DAY + 5, Raw(line)) for number, day in enumerate(days)]
    return Payload("DATA_MESSAGE", "123456789012", "group", "stream", events, list(filters))


def test_a_day_is_for_the_common_index_if_its_documents_lack_the_field_kind(counting: Any) -> None:
    connection, answers, asked = counting
    answers.extend([(200, b'{"count":0,"_shards":{"failed":0}}'), (200, b'{"count":7}')])
    days = CommonDays(connection, "dev-", "group", Clock().budget(5))
    assert [day in days for day in (TODAY, TODAY + 1)] == [False, True]
    assert [path for path, _ in asked] == ["/dev-*/_count"] * 2
    times, _ = asked[0][1]["query"]["bool"]["filter"]
    assert times["range"]["@timestamp"]["lt"] - times["range"]["@timestamp"]["gte"] == 2 * DAY
    for again in (days, CommonDays(connection, "dev-", "group", Clock().budget(5))):
        assert [day in again for day in (TODAY, TODAY + 1)] == [False, True]
    assert len(asked) == 2  # the answers are remembered


@pytest.mark.parametrize(
    ("rules", "line", "times"),
    [
        pytest.param(
            Rules(record_groups=frozenset({"group"})),
            b'"words"',
            0,
            id="a log group of records",
        ),
        pytest.param(Rules(), RECORD, 0, id="a record"),
        pytest.param(
            Rules(),
            b'"words"',
            1,
            id="a log line, which another function may have shipped before",
        ),
    ],
)
def test_documents_are_counted_only_for_lines_that_are_not_records(
    counting: Any, rules: Rules, line: bytes, times: int
) -> None:
    connection, answers, asked = counting
    answers.append((200, b'{"count":0,"_shards":{"failed":0}}'))
    given = payload(TODAY, filters=(RECORD_FILTER,), line=line)
    assert ship(given, rules, connection, Clock().budget(100)).indexed == 1
    assert len(asked) == times


@pytest.mark.parametrize(
    ("given", "exclude"),
    [
        pytest.param(payload(), set(), id="no events"),
        pytest.param(payload(TODAY, TODAY + 1), {Kind.TEXT}, id="all excluded"),
    ],
)
def test_nothing_is_counted_if_no_line_becomes_a_document(
    counting: Any, given: Payload, exclude: set[Kind]
) -> None:
    connection, _, asked = counting
    outcome = ship(given, Rules(exclude=frozenset(exclude)), connection, Clock().budget(5))
    assert (outcome.excluded, outcome.failed, outcome.requests) == (len(given.events), 0, 0)
    assert asked == []


def test_documents_are_counted_only_for_days_with_lines(counting: Any) -> None:
    connection, answers, asked = counting
    answers.append((200, b'{"count":0}'))
    excluded, kept = payload(TODAY, TODAY + 1).events
    given = replace(
        payload(),
        events=[replace(excluded, message=Raw(b'"START RequestId: 8f5ad1e0-1 Version: 1"')), kept],
    )
    outcome = ship(given, Rules(exclude=frozenset({Kind.PLATFORM})), connection, Clock().budget(5))
    assert (outcome.excluded, outcome.indexed, len(asked)) == (1, 1, 1)


@pytest.mark.parametrize(
    "answer",
    [
        (403, b'{"error":{}}'),
        (401, b"Unauthorized"),
        (404, b""),
        (200, b"<html>"),
        (200, b"{}"),
        (302, b""),
    ],
)
def test_lines_go_to_their_own_index_if_the_server_refuses_to_count(
    counting: Any, answer: tuple[int, bytes]
) -> None:
    connection, answers, _ = counting
    answers.append(answer)
    assert TODAY not in CommonDays(connection, "cwl-", "group", Clock().budget(5))


def test_a_busy_server_is_asked_again_until_the_deadline(counting: Any) -> None:
    connection, answers, asked = counting
    answers.extend([(429, b""), (503, b"busy"), (200, b'{"count":0}')])
    assert ship(payload(TODAY), Rules(), connection, Clock().budget(100)).indexed == 1
    assert len(asked) == 3
    answers.extend([(503, b"")] * 50)
    outcome = ship(payload(TODAY + 1), Rules(), connection, Clock().budget(5))
    assert (dict(outcome.reasons), outcome.available) == (
        {"503 while documents were counted": 1},
        False,
    )
    gone = connect("http://127.0.0.1:9", {})
    with pytest.raises(NotAnswered, match="no connection"):
        assert TODAY in CommonDays(gone, "cwl-", "group", Clock().budget(5))
    gone.close()
