from __future__ import annotations

import gzip
from itertools import pairwise
from urllib.parse import parse_qs, urlsplit

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from opensearchpy import OpenSearch

from local.trouble import free_port
from shipper.client import client
from shipper.deliver import CHUNK_BYTES, NotDelivered, action, chunks, deliver
from shipper.document import Document
from tests.unit.conftest import CLOSE, Answer, Bulk

INDEX = "cwl-2026.11.23"
TEXT = "The boy is sitting on a bench"


def made(*ids: str, size: int = 0) -> list[Document]:
    return [Document(each, INDEX, orjson.dumps({"text": TEXT, "n": each, "filling": "x" * size})) for each in ids]


def found(bulk: Bulk) -> list[str]:
    return [identifier for _, identifier in bulk.documents]


def test_documents_arrive_as_they_are(bulk: Bulk, opensearch: OpenSearch) -> None:
    documents = [*made("1", "2"), Document("1", "cwl-2026.11.24", b'{"text":"\xc3\xa4"}')]
    assert deliver(documents, opensearch).or_raise() == {"indexed": 3, "duplicate": 0}
    assert bulk.documents == {(document.index, document.id): document.source for document in documents}


def test_request_is_gzipped_ndjson(bulk: Bulk, opensearch: OpenSearch) -> None:
    deliver(made("1", "2"), opensearch)
    [request] = bulk.requests
    assert request.method == "POST"
    assert request.target.partition("?")[0] == "/_bulk"
    assert parse_qs(urlsplit(request.target).query)["filter_path"] == ["errors,items.*.status,items.*.error.type"]  # no reasons: they quote
    assert request.headers["content-type"] == "application/x-ndjson"
    assert request.headers["content-encoding"] == "gzip"
    lines = gzip.decompress(request.raw).split(b"\n")
    assert len(lines) == 5
    assert lines[-1] == b""
    assert orjson.loads(lines[0]) == {"create": {"_index": INDEX, "_id": "1"}}


def test_nothing_is_no_request(bulk: Bulk, opensearch: OpenSearch) -> None:
    assert deliver([], opensearch).or_raise() == {"indexed": 0, "duplicate": 0}
    assert bulk.requests == []


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, "mapper_parsing_exception"),
        (429, "opensearch_rejected_execution_exception"),
        (503, "unavailable_shards_exception"),
        (404, "index_not_found_exception"),
    ],
)
def test_good_documents_are_in_although_others_fail(bulk: Bulk, opensearch: OpenSearch, status: int, kind: str) -> None:
    bulk.refuse = {"2": (status, kind), "4": (status, kind)}
    outcome = deliver(made("1", "2", "3", "4", "5"), opensearch)
    assert found(bulk) == ["1", "3", "5"]
    assert (outcome.indexed, outcome.duplicate, outcome.failed) == (3, 0, 2)
    with pytest.raises(NotDelivered) as problem:
        outcome.or_raise()
    assert str(problem.value) == f"2 of 5 documents not delivered: 2 x {status} {kind}"


def test_reasons_are_counted_apart(bulk: Bulk, opensearch: OpenSearch) -> None:
    bulk.refuse = {"1": (400, "mapper_parsing_exception"), "2": (429, "rejected"), "3": (429, "rejected")}
    with pytest.raises(NotDelivered) as problem:
        deliver(made("1", "2", "3", "4"), opensearch).or_raise()
    assert str(problem.value) == "3 of 4 documents not delivered: 2 x 429 rejected, 1 x 400 mapper_parsing_exception"


def test_second_delivery_changes_nothing(bulk: Bulk, opensearch: OpenSearch) -> None:
    documents = made("1", "2", "3")
    deliver(documents[:2], opensearch)
    assert deliver(documents, opensearch).or_raise() == {"indexed": 1, "duplicate": 2}
    before = dict(bulk.documents)
    assert deliver(documents, opensearch).or_raise() == {"indexed": 0, "duplicate": 3}
    assert bulk.documents == before


def test_second_delivery_brings_what_failed(bulk: Bulk, opensearch: OpenSearch) -> None:
    bulk.refuse = {"2": (429, "rejected")}
    deliver(made("1", "2", "3"), opensearch)
    bulk.refuse = {}
    assert deliver(made("1", "2", "3"), opensearch).or_raise() == {"indexed": 1, "duplicate": 2}
    assert sorted(found(bulk)) == ["1", "2", "3"]


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        pytest.param(Answer(413, "application/json", b'{"Message":"Request size exceeded 10485760 bytes"}'), "2 x 413", id="413"),
        pytest.param(Answer(429, "text/plain", b"429 Too Many Requests /_bulk"), "2 x 429", id="429 in words"),
        pytest.param(Answer(503, "text/html", b"<html>Service Unavailable</html>"), "2 x 503", id="503 in HTML"),
        pytest.param(
            Answer(503, "application/json", b'"Service Unavailable"'),
            "2 x the server's answer cannot be read",
            id="503 in JSON that is no object",
        ),
        pytest.param(Answer(502, "application/json", b""), "2 x 502", id="502 empty"),
        pytest.param(
            Answer(403, "application/json", b'{"error":{"type":"security_exception","reason":"no permissions"},"status":403}'),
            "2 x 403 security_exception",
            id="403 with a type",
        ),
        pytest.param(
            Answer(400, "application/json", orjson.dumps({"error": {"type": "parse_exception", "reason": f"near [{TEXT}]"}})),
            "2 x 400 parse_exception",
            id="400 whose reason holds the text",
        ),
        pytest.param(Answer(400, "text/plain", f"cannot read: {TEXT}".encode()), "2 x 400", id="400 in words that hold the text"),
        pytest.param(CLOSE, "2 x ConnectionError", id="connection closed"),
        pytest.param(Answer(200, "application/json", b"{"), "2 x ", id="broken JSON"),
        pytest.param(Answer(200, "text/html", f"<p>{TEXT}".encode()), "2 x ", id="HTML"),
        pytest.param(Answer(200, "text/plain", TEXT.encode()), "2 x ", id="words"),
        pytest.param(Answer(200, "application/json", b"[]"), "2 x ", id="JSON array"),
        pytest.param(Answer(200, "application/json", b""), "2 x ", id="nothing"),
        pytest.param(
            Answer(200, "application/json", b'{"errors":false,"items":[]}'), "2 x the server's answer cannot be read", id="no items"
        ),
        pytest.param(Answer(200, "application/json", b"{}"), "2 x the server's answer cannot be read", id="empty object"),
    ],
)
def test_failed_request_fails_all_its_documents(bulk: Bulk, opensearch: OpenSearch, answer: Answer, reason: str) -> None:
    bulk.answers.append(answer)
    outcome = deliver(made("1", "2"), opensearch)
    assert (outcome.indexed, outcome.duplicate, outcome.failed) == (0, 0, 2)
    with pytest.raises(NotDelivered) as problem:
        outcome.or_raise()
    assert str(problem.value).startswith(f"2 of 2 documents not delivered: {reason}")
    assert TEXT not in str(problem.value)
    assert len(bulk.requests) == 1


def test_answer_that_lacks_items_fails_its_whole_chunk(bulk: Bulk, opensearch: OpenSearch) -> None:
    bulk.answers.append(Answer(200, "application/json", b'{"errors":false,"items":[{"create":{"status":201}}]}'))
    outcome = deliver(made("1", "2", "3"), opensearch)
    assert (outcome.indexed, outcome.duplicate, outcome.failed) == (0, 0, 3)


def test_server_that_is_not_there() -> None:
    absent = client(f"http://127.0.0.1:{free_port()}", "us-east-1")
    with pytest.raises(NotDelivered, match="1 of 1 documents not delivered: 1 x ConnectionError"):
        deliver(made("1"), absent).or_raise()
    absent.close()


@pytest.mark.parametrize(
    "answer", [Answer(413, "text/plain", b"too large"), Answer(200, "application/json", b"{"), CLOSE], ids=["413", "no JSON", "closed"]
)
def test_failed_chunk_does_not_stop_the_next(bulk: Bulk, opensearch: OpenSearch, answer: Answer) -> None:
    bulk.answers.append(answer)
    outcome = deliver(made("1", "2", "3", size=CHUNK_BYTES * 2 // 3), opensearch)
    assert found(bulk) == ["2", "3"]
    assert (outcome.indexed, outcome.failed) == (2, 1)


def size(chunk: list[Document]) -> int:
    return sum(len(action(document)) + 1 + len(document.source) + 1 for document in chunk)


@given(lengths=st.lists(st.integers(0, 600), max_size=20), limit=st.integers(1, 1500))
def test_chunks_lose_nothing_and_stay_within_the_limit(lengths: list[int], limit: int) -> None:
    documents = [Document(str(number), INDEX, b"x" * length) for number, length in enumerate(lengths)]
    found = list(chunks(documents, limit))
    assert [document for chunk in found for document in chunk] == documents
    assert all(chunk and (size(chunk) <= limit or len(chunk) == 1) for chunk in found)
    assert all(size([*chunk, after[0]]) > limit for chunk, after in pairwise(found))  # as few as possible


def test_chunk_at_the_limit() -> None:
    documents = made("1", "2")
    assert list(chunks(documents, size(documents))) == [documents]
    assert list(chunks(documents, size(documents) - 1)) == [documents[:1], documents[1:]]


def test_large_document_goes_alone() -> None:
    small, (large,) = made("1", "2"), made("3", size=1000)
    assert list(chunks([small[0], large, small[1]], 500)) == [[small[0]], [large], [small[1]]]


def test_no_request_is_larger_than_the_limit(bulk: Bulk, opensearch: OpenSearch) -> None:
    assert deliver(made("1", "2", "3", "4", size=CHUNK_BYTES // 3), opensearch).or_raise()["indexed"] == 4
    assert [len(gzip.decompress(request.raw)) <= CHUNK_BYTES for request in bulk.requests] == [True, True]
