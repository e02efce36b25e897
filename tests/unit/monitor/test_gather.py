"""The ledger of feedback: which slots are read again. test_feedback_ledger.py has the rest."""

from __future__ import annotations

import json
from typing import Any, cast

from monitor.gather import gather
from monitor.store import Found
from monitor.summary import SLOT

NOW = 1_795_000_500 // SLOT * SLOT


class Server:
    """A store and a connection in memory: malformed lines of feedback, all of one slot."""

    def __init__(self) -> None:
        self.lines = 0
        self.read = 0
        self.known: Found | None = None

    def perform_request(
        self, _method: str, _url: str, *_: Any, body: bytes, **__: Any
    ) -> tuple[int, None, str]:
        bucket = {"key": NOW * 1000, "doc_count": self.lines}
        hit = {"_source": {"@timestamp": "2026-11-16T00:00:00Z"}, "sort": [1, 2, "3"]}
        answer: dict[str, Any] = {"_shards": {"failed": 0}, "timed_out": False}
        if "aggregations" in json.loads(body):
            answer["aggregations"] = {"slots": {"buckets": [bucket]}}
        else:
            self.read += self.lines
            answer["hits"] = {"hits": [hit] * self.lines}
        return 200, None, json.dumps(answer)

    def ledger(self) -> Found | None:
        return self.known

    def put_ledger(self, content: dict[str, Any], _version: object) -> None:
        self.known = Found(content, (1, 1))

    def put_newer(self, several: list[Any]) -> list[str]:
        assert not several
        return []


def test_a_line_is_read_that_comes_after_others_were_deleted() -> None:
    server = Server()

    def lines_read(lines: int) -> int:
        server.lines, server.read = lines, 0
        gather(cast("Any", server), cast("Any", server), "a-stack", "cwl-*", NOW + SLOT)
        return server.read

    assert [lines_read(9), lines_read(9)] == [9, 0]
    # somebody removed false feedback, and a right label is delivered late
    assert [lines_read(4), lines_read(5), lines_read(5)] == [4, 5, 0]
