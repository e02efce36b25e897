"""Tests the running stack from outside: sends requests, and looks for documents."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
from rich.console import Console

from installer.evaluate_panel import request, rows
from installer.saved_objects import saved_objects
from local import opensearch
from local.__main__ import run
from local.runtime import FunctionFailed
from local.runtime import running as start
from local.stack import RETRY_SECONDS, Stack
from local.template import Template
from tools.errors import UserError
from tools.root import ROOT

SAMPLES = ROOT / "events" / "shipper"
JSON = {"content-type": "application/json"}


def post(
    running: Stack, body: bytes | str, headers: dict[str, str] | None = None, path: str = "/predict"
) -> requests.Response:
    return requests.post(running.api_url + path, data=body, headers=headers or JSON, timeout=60)


def found(
    running: Stack, query: dict[str, Any], count: int, seconds: float = 60
) -> list[dict[str, Any]]:
    """Wait until `count` documents are found, but at most `seconds`. Return the documents."""
    deadline = time.monotonic() + seconds
    hits: list[dict[str, Any]] = []
    while len(hits) < count and time.monotonic() < deadline:
        time.sleep(0.1)
        hits = running.search({"size": 100, "query": query})
    return [hit["_source"] for hit in hits]


def test_a_prediction_is_a_document_within_five_seconds(running: Stack) -> None:
    body = json.dumps({"sentence": "The boy is sitting on a zyzzyva bench"})
    # These two invocations start the functions: the five seconds do not include a cold start.
    running.inference.invoke({"describe": True})
    running.shipper.invoke(json.loads((SAMPLES / "control-message.json").read_text()))

    answer = requests.post(
        f"{running.api_url}/predict",
        data=body,
        timeout=60,
        headers={"content-type": "application/x-www-form-urlencoded"},
    )

    assert answer.status_code == 200
    (document,) = found(running, {"query_string": {"query": "zyzzyva"}}, 1, seconds=5)
    assert document["prediction_id"] == answer.json()["prediction_id"]
    assert document["prediction"]["label"] == answer.json()["prediction"]["label"]
    assert document["prediction"]["score"] == answer.json()["prediction"]["score"]
    assert document["text"] == "The boy is sitting on a zyzzyva bench"
    assert json.loads(document["@message"])["prediction_id"] == document["prediction_id"]
    assert document["@timestamp"].endswith("Z")


def test_a_batch_makes_one_document_for_each_sentence(running: Stack) -> None:
    answer = post(
        running, json.dumps({"sentences": ["First of three", "Second of three", "Third of three"]})
    )
    ids = [one["prediction_id"] for one in answer.json()["predictions"]]
    assert len(set(ids)) == 3
    assert {
        document["prediction_id"]
        for document in found(running, {"terms": {"prediction_id": ids}}, 3)
    } == set(ids)


@pytest.mark.parametrize(
    ("body", "headers", "status", "field"),
    [
        (b"", JSON, 400, "body"),
        (b"{", JSON, 400, "body"),
        (b"[]", JSON, 400, "body"),
        (b"{}", JSON, 422, "sentence"),
        (b'{"sentence": ""}', JSON, 422, "sentence"),
        (b'{"sentence": " \\n "}', JSON, 422, "sentence"),
        (b'{"sentence": 5}', JSON, 422, "sentence"),
        (b'{"sentence": null}', JSON, 422, "sentence"),
        (b'{"sentences": ["Good.", 5]}', JSON, 422, "sentences[1]"),
        (json.dumps({"sentence": "x" * 10_001}).encode(), JSON, 413, "sentence"),
        (json.dumps({"sentences": ["Good."] * 65}).encode(), JSON, 413, "sentences"),
        (b'{"sentence": "\xff"}', {"content-type": "application/octet-stream"}, 400, "body"),
        (b'{"sentence": "\xff"}', JSON, 400, "body"),
        (b'{"sentence": "\\ud800"}', JSON, 422, "sentence"),
    ],
    ids=[
        "no body",
        "not JSON",
        "no object",
        "no sentence",
        "empty",
        "blank",
        "number",
        "null",
        "bad item",
        "long",
        "many",
        "bytes that are not UTF-8",
        "JSON that is not UTF-8",
        "surrogate",
    ],
)
def test_bad_input_gets_problem_details_and_leaves_a_record(
    running: Stack, body: bytes, headers: dict[str, str], status: int, field: str
) -> None:
    answer = post(running, body, headers)
    assert (answer.status_code, answer.headers["content-type"]) == (
        status,
        "application/problem+json",
    )
    problem = answer.json()
    assert (problem["status"], problem["field"]) == (status, field)
    assert problem["detail"]
    kind = problem["type"].rpartition(":")[2]
    query = {
        "bool": {
            "filter": [
                {"term": {"error.type": kind}},
                {"term": {"error.field": field}},
                {"term": {"error.status": status}},
            ]
        }
    }
    assert found(running, query, 1)


def test_invalid_base64_is_refused(running: Stack) -> None:
    event = json.loads((SAMPLES.parent / "inference" / "http-api-v2-base64.json").read_text()) | {
        "body": "%%%"
    }
    assert running.inference.invoke(event)["statusCode"] == 400


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/predict"), ("POST", "/"), ("POST", "/predict/"), ("DELETE", "/x")],
)
def test_the_gateway_itself_answers_404_to_another_method_or_path(
    running: Stack, method: str, path: str
) -> None:
    answer = requests.request(method, running.api_url + path, timeout=10)
    assert (answer.status_code, answer.json()) == (404, {"message": "Not Found"})


def test_a_node_does_not_start_if_another_node_has_its_port(running: Stack) -> None:
    """If two nodes start at the same time, both may find that the same port is free."""
    port = urlsplit(running.opensearch_url).port or 0
    with pytest.raises(UserError, match="OpenSearch did not start"), opensearch.node(port):
        pass


def test_run_says_why_the_server_accepts_no_documents(
    running: Stack, capsys: pytest.CaptureFixture[str]
) -> None:
    settings, begin = f"{running.opensearch_url}/_cluster/settings", time.monotonic()
    block = {"cluster.blocks.read_only_allow_delete": True}
    requests.put(settings, json={"persistent": block}, timeout=30).raise_for_status()
    try:
        code = run(running, Console(width=80))
    finally:
        requests.put(
            settings, json={"persistent": dict.fromkeys(block)}, timeout=30
        ).raise_for_status()
    assert code == 1
    assert time.monotonic() - begin < 25
    assert (
        "make run: OpenSearch accepts no documents: cluster read-only / allow delete (api)"
        in capsys.readouterr().err
    )
    assert running.subscription.drain(60)
    assert opensearch.refusals(running.opensearch_url) == []


def test_a_function_has_a_log_file(running: Stack) -> None:
    """The API's caller learns no details of a failure. They are in the function's log."""
    answer = post(running, '{"sentence": "Look it up"}').json()
    log = running.logs / "InferenceFunction.log"
    assert [line for line in log.read_text().splitlines() if answer["prediction_id"] in line]
    assert "REPORT RequestId" in log.read_text()


@pytest.mark.parametrize("origin", ["https://page.example", "null", "http://127.0.0.1:1"])
@pytest.mark.parametrize("path", ["predict", "_close"])
def test_a_page_of_another_origin_is_refused(running: Stack, path: str, origin: str) -> None:
    """A page of any origin can send a form with POST: browsers do not ask the server first.

    If such a request were accepted, it could close an index, or cause predictions that cost money.
    """
    index = f"{running.opensearch_url}/cwl-2026.01.03"
    requests.put(index, timeout=30).raise_for_status()
    url = f"{running.api_url}/predict" if path == "predict" else f"{index}/_close"
    form = {"content-type": "text/plain", "origin": origin}
    assert (
        requests.post(url, data='{"sentence": "Bought"}', headers=form, timeout=30).status_code
        == 403
    )
    assert requests.delete(index, timeout=30).ok


def test_if_texts_are_not_logged_a_document_has_a_rounded_score_and_a_hash(
    running: Stack, template: Template
) -> None:
    sentence, lines = "A sentence that must stay unlogged", list[str]()
    with start(
        template.functions["InferenceFunction"],
        {"HASH_KEY": "k", "LOG_TEXT": "false"},
        lines.append,
    ) as inference:
        answer = inference.invoke({"sentence": sentence})
    assert answer["text"] == sentence
    assert not [line for line in lines if "unlogged" in line]
    for line in lines:
        running.subscription.put(line)
    (document,) = found(running, {"term": {"prediction_id": answer["prediction_id"]}}, 1)
    assert "text" not in document
    assert document["prediction"]["score"] == round(20 * answer["prediction"]["score"]) / 20
    assert len(document["input"]["hash"]) == 16


def test_the_index_template_applies_to_every_index(running: Stack) -> None:
    post(running, '{"sentence": "Something to have an index for"}')
    assert found(running, {"exists": {"field": "prediction.score"}}, 1)
    mappings = requests.get(f"{running.opensearch_url}/cwl-*/_mapping", timeout=10).json()
    for index in mappings.values():
        properties = index["mappings"]["properties"]
        assert properties["prediction"]["properties"]["score"]["type"] == "float"
        assert (
            properties["prediction"]["properties"]["label"]["fields"]["keyword"]["type"]
            == "keyword"
        )
        assert properties["@timestamp"]["type"] == "date"
        assert properties["input"]["properties"]["script"]["type"] == "keyword"


def test_a_payload_that_fails_is_tried_three_times_and_becomes_a_dead_letter(
    running: Stack,
) -> None:
    event, before, begin = {"awslogs": {"data": "%%%"}}, set(running.dead_letters), time.monotonic()
    with pytest.raises(FunctionFailed, match="PayloadInvalid"):
        running.subscription.ship(event)
    assert time.monotonic() - begin > sum(RETRY_SECONDS)
    [key] = set(running.dead_letters) - before
    assert key.startswith("aws/lambda/async/ShipperFunction/")
    record = json.loads(running.dead_letters[key])
    assert record["requestPayload"] == event
    assert record["requestContext"]["approximateInvokeCount"] == 3
    assert record["responsePayload"]["errorType"] == "PayloadInvalid"


def counted(running: Stack) -> int:
    """Return the number of predictions that the panel of labels shows."""
    objects = saved_objects()
    (panel,) = (one for one in objects if one.id == "prediction-monitor-label-counts")
    now = datetime.now(UTC)
    return sum(
        count
        for *_, count in rows(
            panel, running.answer(request(panel, objects, (now - timedelta(hours=1), now)))
        )
    )


def test_labels_are_counted_for_live_traffic_only(running: Stack) -> None:
    running.subscription.drain(10)
    requests.post(f"{running.opensearch_url}/cwl-*/_refresh", timeout=10).raise_for_status()
    before = counted(running)
    ids = [
        post(running, json.dumps({"sentence": "Counted or not", "traffic": kind})).json()[
            "prediction_id"
        ]
        for kind in ("live", "test", "canary")
    ]
    assert len(found(running, {"terms": {"prediction_id": ids}}, 3)) == 3
    assert counted(running) == before + 1


def test_a_field_with_an_integer_as_its_first_value_keeps_later_fractions(running: Stack) -> None:
    index = f"{running.opensearch_url}/cwl-2026.01.02"
    for value in (1, 0.5):
        document = {"other": {"score": value}, "prediction": {"probability": {"third": value}}}
        requests.post(
            f"{index}/_doc", json=document, params={"refresh": "true"}, timeout=10
        ).raise_for_status()
    aggregations = {
        field: {"avg": {"field": field}}
        for field in ("other.score", "prediction.probability.third")
    }
    answer = requests.post(
        f"{index}/_search", json={"size": 0, "aggs": aggregations}, timeout=10
    ).json()
    assert {found["value"] for found in answer["aggregations"].values()} == {0.75}
    requests.delete(index, timeout=10).raise_for_status()
