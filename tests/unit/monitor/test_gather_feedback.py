"""Tests the order in which feedback is read, with a server in memory.

tests/integration/test_feedback_ledger.py tests the rest with an OpenSearch.
"""

from __future__ import annotations

import json
from typing import Any, cast

import pytest

from monitor.accuracy import gather_feedback as gathering
from monitor.accuracy.gather_feedback import gather
from monitor.summaries.store import Found
from monitor.summaries.summary import SLOT
from monitor.summaries.windows import DAY, HOUR

THEN = 1_795_000_500 // HOUR * HOUR
MOMENT = "2026-11-18T00:00:00Z"


class Server:
    """A store and a connection in memory.

    `lines` maps the start of each slot to the prediction ids that the slot's feedback names.
    """

    def __init__(self) -> None:
        self.lines: dict[int, list[str]] = {}
        self.predictions: set[str] = set()
        self.joined: set[str] = set()
        self.read = 0
        self.known: Found | None = None

    def run(self, now: float) -> int:
        """Gather once, and return how many lines were read."""
        self.read = 0
        gather(cast("Any", self), cast("Any", self), "a-stack", "cwl-*", now)
        return self.read

    def perform_request(
        self, _method: str, _url: str, *_: Any, body: bytes, **__: Any
    ) -> tuple[int, None, str]:
        asked = json.loads(body)
        answer: dict[str, Any] = {"_shards": {"failed": 0}, "timed_out": False}
        if "aggregations" in asked:
            buckets = [{"key": at * 1000, "doc_count": len(ids)} for at, ids in self.lines.items()]
            answer["aggregations"] = {"slots": {"buckets": buckets}}
        else:
            answer["hits"] = {"hits": self._hits(asked)}
        return 200, None, json.dumps(answer)

    def _hits(self, asked: dict[str, Any]) -> list[dict[str, Any]]:
        kind, _, third, *_ = asked["query"]["bool"]["filter"]
        common = {"@timestamp": MOMENT}
        if kind == {"term": {"@kind": "prediction"}}:
            found = self.predictions & set(third["terms"]["prediction_id"])
            said = {"prediction": {"label": "good"}}
            return [{"_source": common | said | {"prediction_id": one}} for one in found]
        ids = self.lines[third["range"]["@timestamp"]["gte"] // 1000]
        (start,) = asked.get("search_after", [0])
        page = ids[start : start + asked["size"]]
        self.read += len(page)
        said = {"feedback": {"label": "good"}}
        return [
            {"_source": common | said | {"prediction_id": one}, "sort": [start + at + 1]}
            for at, one in enumerate(page)
        ]

    def ledger(self) -> Found | None:
        return self.known

    def put_ledger(self, content: dict[str, Any], _version: object) -> None:
        self.known = Found(json.loads(json.dumps(content)), (1, 1))

    def put_newer(self, several: list[tuple[str, int, dict[str, Any]]]) -> list[str]:
        ids = [document["prediction_id"] for _, _, document in several]
        said = ["updated" if one in self.joined else "created" for one in ids]
        self.joined.update(ids)
        return said


def test_a_late_line_is_read_after_other_lines_were_deleted() -> None:
    server = Server()
    server.predictions = set("abcdefghi")

    def lines_read(ids: str) -> int:
        server.lines = {THEN: list(ids)}
        return server.run(THEN + SLOT)

    assert [lines_read("abcdefghi"), lines_read("abcdefghi")] == [9, 0]
    # Five of nine lines are deleted, then a late line is delivered.
    assert [lines_read("abcd"), lines_read("abcde"), lines_read("abcde")] == [4, 5, 0]


def test_many_unknown_ids_do_not_delay_other_ids(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(gathering, "PAGE", 5)
    monkeypatch.setattr(gathering, "MOST", 10)
    server = Server()
    # Together, these slots have more lines than one run reads. Each of them has fewer lines than
    # the slot of `right`, and a run begins with the slots that have the fewest unread lines.
    for at in range(6):
        server.lines[THEN + at * SLOT] = [f"false-{at}-{number}" for number in range(4)]
    right = {f"right-{number}" for number in range(5)}
    server.lines[THEN + 6 * SLOT] = sorted(right)
    now = THEN + 7 * SLOT
    while now < THEN + DAY:
        server.run(now)
        now += SLOT
    assert not server.joined
    server.predictions = right  # delivered late
    for _ in range(8):
        assert server.run(now) <= 12  # the last page is read to its end
        now += SLOT
    assert server.joined == right
    # If no line is new, each unknown id is looked for once an hour.
    server.lines = {THEN: server.lines[THEN]}
    server.run(now)
    assert sorted(server.run(now + at * SLOT) for at in range(1, 5)) == [0, 0, 0, 4]
