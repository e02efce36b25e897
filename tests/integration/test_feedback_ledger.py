"""Tests how the monitor gathers feedback, which gives predictions their right labels.

The monitor reads the feedback slot by slot, and each slot in pages. A slot is 15 minutes. A run
ends at a limit of lines or of time. Later runs read the rest, and late feedback. A label joins a
prediction if the monitor finds the prediction to which the label belongs.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import urlsplit

import pytest
import requests
from opensearchpy import RequestsHttpConnection

from local.stack import Stack
from monitor.accuracy import gather_feedback as gathering
from monitor.accuracy import join_labels as joining
from monitor.accuracy.gather_feedback import LATE, gather
from monitor.accuracy.join_labels import Given, Reason, join
from monitor.accuracy.joined_record import Joined, Judgement, read_joined
from monitor.settings import own_index
from monitor.summaries.store import Kind, Store
from monitor.summaries.summary import SLOT, Stream
from monitor.summaries.windows import DAY, HOUR
from tests.integration.monitored import forget

STACK: Final = "gathered"
STREAM: Final = Stream(STACK, "/aws/lambda/gathered", "a-model")
INDEX: Final = "cwl-*"
# The beginning of a slot and of an hour, a day ago.
THEN: Final = (int(time.time()) - DAY) // HOUR * HOUR


class Server:
    """The real OpenSearch, with the documents of one stack."""

    def __init__(self, url: str) -> None:
        where = urlsplit(url)
        self.url = url
        self.connection = RequestsHttpConnection(host=where.hostname or "", port=where.port)
        self.store = Store(self.connection, own_index(STACK), STACK)

    def predictions(self, *ids: str, at: int = THEN, **more: Any) -> None:
        prediction = {"prediction": {"label": "good"}} | more
        self._put([{"prediction_id": one} | prediction for one in ids], at)

    def feedback(self, *ids: str, at: int = THEN, label: str = "good") -> None:
        documents = [
            {"@kind": "feedback", "prediction_id": one, "feedback": {"label": label}} for one in ids
        ]
        self._put(documents, at)

    def gather(self, now: float) -> tuple[int, int, int, int]:
        """Return four counts: labels joined, labels not joined, labels waiting, lines not read."""
        found = gather(self.connection, self.store, STACK, INDEX, now)
        return found.joined, found.not_joined, found.waiting, found.behind

    def join(self, *several: Given | None) -> joining.Outcomes:
        return join(self.connection, self.store, STACK, INDEX, several)

    def joined(self) -> list[Joined]:
        return list(read_joined(self.store, STREAM, 0, THEN + 2 * DAY))

    def _put(self, documents: list[dict[str, Any]], at: int) -> None:
        moment = datetime.fromtimestamp(at, UTC)
        envelope = {
            "@stack": STACK,
            "@log_group": STREAM.log_group,
            "@timestamp": f"{moment:%Y-%m-%dT%H:%M:%S}.000Z",
            "model": {"name": STREAM.model, "version": "1"},
        }
        lines = [
            json.dumps(part)
            for place, one in enumerate(documents)
            for part in (
                {"create": {"_index": f"cwl-{moment:%Y.%m.%d}"}},
                {"@kind": "prediction", "@position": place, "@id": str(place)} | envelope | one,
            )
        ]
        answer = requests.post(
            f"{self.url}/_bulk?refresh=true",
            data=("\n".join(lines) + "\n").encode(),
            headers={"content-type": "application/x-ndjson"},
            timeout=60,
        )
        assert not answer.json()["errors"]


@pytest.fixture
def server(running: Stack) -> Iterator[Server]:
    yield Server(running.opensearch_url)
    forget(running.opensearch_url, STACK)


def test_a_flood_of_feedback_in_one_slot_delays_no_other_feedback(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gathering, "PAGE", 5)
    monkeypatch.setattr(gathering, "MOST", 10)
    flood = [f"flood-{number}" for number in range(28)]
    server.feedback(*flood, at=THEN)
    server.feedback("calm", at=THEN + SLOT)
    server.predictions(*flood[:25], "calm")
    # In the first run of each hour, the monitor looks again for unknown ids.
    now = THEN + 3 * HOUR - SLOT
    assert server.gather(now) == (11, 0, 0, 18)
    assert [one.judgement.prediction_id for one in server.joined()].count("calm") == 1
    assert server.gather(now) == (10, 0, 0, 8)
    assert server.gather(now) == (5, 0, 3, 0)
    assert server.gather(now) == (0, 0, 3, 0)
    server.predictions(*flood[25:])
    assert server.gather(now) == (0, 0, 3, 0)
    # the slot is read again from its beginning, in runs of at most 10 labels
    assert [server.gather(now + SLOT)[:3] for _ in range(3)] == [(0, 0, 0), (0, 0, 0), (3, 0, 0)]


def test_a_run_that_has_no_time_left_reads_one_page_and_the_next_run_continues(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gathering, "PAGE", 5)
    monkeypatch.setattr(gathering, "SECONDS", 0)
    ids = [f"slow-{number}" for number in range(8)]
    server.predictions(*ids)
    server.feedback(*ids)
    now = THEN + HOUR
    assert [server.gather(now) for _ in range(3)] == [(5, 0, 0, 3), (3, 0, 0, 0), (0, 0, 0, 0)]


def test_an_unknown_id_is_reported_once_after_a_week_and_no_label_counts_twice(
    server: Server,
) -> None:
    server.predictions("known")
    server.feedback("known", "nobody")
    server.feedback("", "known", at=THEN + SLOT, label="good")
    now = THEN + HOUR
    assert server.gather(now) == (1, 1, 1, 0)
    assert server.gather(now) == (0, 0, 1, 0)
    # This label is delivered later, but it is older than the label `good`, and does not replace it.
    server.feedback("known", label="bad")
    assert server.gather(now) == (0, 0, 1, 0)
    assert [one.judgement.label for one in server.joined()] == ["good"]
    assert server.gather(THEN + LATE + SLOT) == (0, 1, 0, 0)
    assert server.gather(THEN + LATE + SLOT) == (0, 0, 0, 0)


def test_no_label_joins_a_prediction_that_was_deleted(server: Server) -> None:
    server.predictions("gone")
    server.feedback("gone", at=THEN + DAY)
    day = datetime.fromtimestamp(THEN, UTC)
    query = {"query": {"term": {"@stack": STACK}}}
    requests.post(
        f"{server.url}/cwl-{day:%Y.%m.%d}/_delete_by_query?refresh=true", json=query, timeout=30
    )
    assert server.gather(THEN + DAY + HOUR) == (0, 0, 1, 0)
    assert server.joined() == []


def given(prediction_id: str, **more: Any) -> Given:
    return Given(Judgement(prediction_id, "good", THEN * 1000), **more)


@pytest.mark.parametrize(
    ("fields", "label", "reason"),
    [
        (
            {"record_version": 2, "prediction": {"label": "a b", "probability": {"a_b": 1}}},
            "a b",
            None,
        ),
        (
            {
                "record_version": 2,
                "prediction": {"label": "a", "probability": {"a": 0.9, "b": 0.1}},
            },
            "c",
            Reason.LABEL,
        ),
        # another function may list only its best labels
        ({"prediction": {"label": "a", "probability": {"a": 0.9, "b": 0.1}}}, "c", None),
        ({"prediction": {"label": "a"}}, "c", None),
        ({"prediction": {"label": ["a", "b"]}}, "a", Reason.UNLIKE),
        ({"prediction": {"label": "1"}, "model": {"name": "another"}}, "1", Reason.OTHER),
        ({"traffic": "canary", "prediction": {"label": "a"}}, "a", Reason.UNKNOWN),
    ],
)
def test_a_label_joins_a_prediction_only_if_label_and_model_fit_the_prediction(
    server: Server, fields: dict[str, Any], label: str, reason: Reason | None
) -> None:
    server.predictions("one", **fields)
    judgement = Judgement("one", label, THEN * 1000)
    found = server.join(Given(judgement, model=STREAM.model))
    assert (found.new, list(found.reasons.values())) == ((0, [reason]) if reason else (1, []))


def test_an_id_that_many_predictions_share_does_not_prevent_the_join_of_other_ids(
    server: Server,
) -> None:
    server.predictions(*["shared"] * 9, "alone")
    found = server.join(given("shared"), given("alone"), given("nobody"), None)
    assert found.new == 1
    assert found.reasons == {0: Reason.AMBIGUOUS, 2: Reason.UNKNOWN, 3: Reason.MALFORMED}


def test_an_index_of_an_earlier_version_gets_the_fields_of_feedback(server: Server) -> None:
    old = {"mappings": {"dynamic": False, "properties": {"kind": {"type": "keyword"}}}}
    requests.put(f"{server.url}/{own_index(STACK)}", json=old, timeout=30)
    server.predictions("one")
    assert server.join(given("one")).new == 1
    body = {"size": 0, "aggs": {"share": {"avg": {"field": "feedback.correct"}}}}
    answer = requests.post(f"{server.url}/{own_index(STACK)}/_search", json=body, timeout=30)
    assert answer.json()["aggregations"]["share"]["value"] == 1


def test_a_joined_record_expires_400_days_after_its_prediction(server: Server) -> None:
    server.predictions("one")
    server.join(given("one"))
    server.store.expire(THEN + 399 * DAY)
    requests.post(f"{server.url}/{own_index(STACK)}/_refresh", timeout=30)
    assert len(server.joined()) == 1
    server.store.expire(THEN + 401 * DAY)
    requests.post(f"{server.url}/{own_index(STACK)}/_refresh", timeout=30)
    assert server.joined() == []
    assert server.store.documents(Kind.FEEDBACK) == []
