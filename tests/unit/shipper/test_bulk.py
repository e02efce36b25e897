"""Tests one request through a real socket, and the verdicts on its documents.

The texts of the errors are those of OpenSearch 3.8.
"""

from __future__ import annotations

import gzip
import json
import socket
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from itertools import pairwise
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opensearchpy import RequestsHttpConnection

from shipper import bulk as module
from shipper.bulk import ALL_CREATED, CHUNK_BYTES, CREATED, Fate, Verdict, body, chunks, send
from shipper.client import connect
from shipper.document import Document
from tests.unit.conftest import (
    CLOSE,
    INDEX,
    LOST,
    TEXT,
    UNPARSED,
    Answer,
    Bulk,
    Refusal,
    as_json,
    made,
    problem,
)

SECONDS = 10.0
SECRET = "quokka"
PIPELINE = (
    ": the index setting index.default_pipeline or index.final_pipeline "
    "names an ingest pipeline that does not exist"
)
NO_TYPE = "without a type"
PREVIEW = (
    "failed to parse field [n] of type [float] in document with id '1'. Preview of field's value: "
)


def filled(length: int, identifier: str = "1") -> Document:
    """Make a document of exactly `length` bytes."""
    source = b'{"create":{"_index":"cwl-log-2026.11.23","_id":"%b"}}\n{"a":"%b"}\n'
    bare = len(source % (identifier.encode(), b""))
    return Document(source % (identifier.encode(), b"x" * (length - bare)), 2)


def sent(
    documents: list[Document], connection: RequestsHttpConnection, timeout: float = SECONDS
) -> list[Verdict] | Verdict:
    return send(body(documents), len(documents), connection, timeout)


def ok(count: int) -> str:
    return json.dumps({"items": [{"create": {"status": 201}}] * count})


# --- chunks


@given(lengths=st.lists(st.integers(60, 600), max_size=20), limit=st.integers(1, 1500))
def test_chunks_contain_all_documents_and_stay_within_the_limit(
    lengths: list[int], limit: int
) -> None:
    documents = [filled(length, str(number)) for number, length in enumerate(lengths)]
    found = list(chunks(documents, limit))
    assert [document for chunk in found for document in chunk] == documents
    assert all(chunk and (len(body(chunk)) <= limit or len(chunk) == 1) for chunk in found)
    # There are as few chunks as possible.
    assert all(len(body([*chunk, after[0]])) > limit for chunk, after in pairwise(found))


@pytest.mark.parametrize(
    ("lengths", "limit", "runs"),
    [
        pytest.param([100, 100], 200, [[100, 100]], id="exactly the limit"),
        pytest.param([100, 100], 199, [[100], [100]], id="one byte over the limit"),
        pytest.param([100, 100, 101], 200, [[100, 100], [101]], id="the limit, then more"),
        pytest.param(
            [100, 500, 100], 200, [[100], [500], [100]], id="a large document is alone in its chunk"
        ),
        pytest.param([500], 200, [[500]], id="only a large document"),
        pytest.param([100] * 5, 250, [[100, 100], [100, 100], [100]], id="three chunks"),
        pytest.param([], 200, [], id="nothing"),
    ],
)
def test_the_limit_of_a_chunk_counts_bytes_before_compression(
    lengths: list[int], limit: int, runs: list[list[int]]
) -> None:
    found = chunks([filled(length) for length in lengths], limit)
    assert [[len(document.lines) for document in chunk] for chunk in found] == runs


def test_a_chunk_is_at_most_half_of_the_smallest_limit_of_amazon() -> None:
    assert CHUNK_BYTES == 10 * 1024 * 1024 // 2
    assert [len(chunk) for chunk in chunks([filled(CHUNK_BYTES // 2)] * 3)] == [2, 1]


# --- requests


def test_actions_and_documents_alternate_in_the_body() -> None:
    content = body(made("1", "2", text='words\nand "quotes" \u2028 ä 👍'))
    assert content.endswith(b"\n")
    lines = [json.loads(line) for line in content.split(b"\n")[:-1]]
    assert lines[::2] == [
        {"create": {"_index": INDEX, "_id": identifier}} for identifier in ("1", "2")
    ]
    assert [line["@id"] for line in lines[1::2]] == ["1", "2"]


def test_a_request_is_compressed_and_asks_for_a_short_answer(
    bulk: Bulk, connection: RequestsHttpConnection
) -> None:
    documents = made("1", "2")
    sent(documents, connection)
    (request,) = bulk.requests
    target = urlsplit(request.target)
    assert (request.method, target.path) == ("POST", "/_bulk")
    assert parse_qs(target.query) == {
        "filter_path": [
            "items.*.status,items.*.error.type,items.*.error.reason,items.*.error.caused_by.reason"
        ]
    }
    assert request.headers["content-type"] == "application/x-ndjson"
    assert request.headers["content-encoding"] == "gzip"
    assert gzip.decompress(request.raw) == body(documents)
    assert len(request.raw) < len(body(documents))


@pytest.mark.parametrize("count", [1, 2, 50])
def test_the_usual_answer_is_recognised_byte_by_byte(
    bulk: Bulk, connection: RequestsHttpConnection, count: int
) -> None:
    documents = made(*map(str, range(count)))
    assert sent(documents, connection) is module.INDEXED
    # The second time, the documents are duplicates.
    assert bulk._answer(bulk.requests[0]).body != ALL_CREATED.encode()
    bulk.documents.clear()
    assert bulk._answer(bulk.requests[0]).body.decode() == ALL_CREATED % ",".join([CREATED] * count)
    assert bulk.documents == {
        (INDEX, identifier): document.source
        for identifier, document in zip(bulk.ids, documents, strict=True)
    }


@pytest.mark.parametrize(
    "spaces", [": ", " :"], ids=["space after the colon", "space before the colon"]
)
def test_an_answer_with_other_spaces_is_understood(
    bulk: Bulk, connection: RequestsHttpConnection, spaces: str
) -> None:
    bulk.answers.append(Answer(200, "application/json", ok(2).replace(": ", spaces).encode()))
    assert sent(made("1", "2"), connection) == [module.INDEXED] * 2


# --- a document's verdict

ITEMS = [
    pytest.param(None, Fate.INDEXED, "", None, id="accepted"),
    pytest.param(
        Refusal(
            409,
            "version_conflict_engine_exception",
            "[1]: version conflict, document already exists",
        ),
        *(Fate.DUPLICATE, "", None),
        id="already in the index",
    ),
    pytest.param(
        Refusal(
            429,
            "opensearch_rejected_execution_exception",
            "rejected execution of coordinating operation",
        ),
        *(Fate.BUSY, "429 opensearch_rejected_execution_exception", {}),
        id="too many requests",
    ),
    pytest.param(
        Refusal(
            429,
            "cluster_block_exception",
            "index [cwl-2026.11.23] blocked by: [TOO_MANY_REQUESTS/12/disk usage exceeded "
            "flood-stage watermark, index has read-only-allow-delete block];",
        ),
        *(Fate.BUSY, "429 cluster_block_exception", {}),
        id="the disk is full",
    ),
    pytest.param(
        Refusal(
            403,
            "cluster_block_exception",
            "index [cwl-2026.11.23] blocked by: [FORBIDDEN/8/index write (api)];",
        ),
        *(Fate.BUSY, "403 cluster_block_exception", {}),
        id="a write block",
    ),
    pytest.param(
        Refusal(
            403,
            "index_create_block_exception",
            "blocked by: [FORBIDDEN/10/cluster create-index blocked (api)];",
        ),
        *(Fate.BUSY, "403 index_create_block_exception", {}),
        id="new indices are blocked",
    ),
    pytest.param(
        Refusal(
            403,
            "security_exception",
            "no permissions for [indices:data/write/bulk[s]] and User [name=x]",
        ),
        *(Fate.FAILED, "403 security_exception", {}),
        id="no permission",
    ),
    pytest.param(
        Refusal(400, "index_closed_exception", "closed"),
        *(Fate.FAILED, "400 index_closed_exception", {}),
        id="a closed index, which can be opened",
    ),
    pytest.param(
        Refusal(
            400,
            "illegal_argument_exception",
            "Validation Failed: 1: this action would add [2] total shards, "
            "but this cluster currently has [9]/[9] maximum shards open;",
        ),
        *(Fate.FAILED, "400 illegal_argument_exception", {}),
        id="a cluster full of shards, which can be mended",
    ),
    pytest.param(
        Refusal(
            400,
            "illegal_argument_exception",
            "no write index is defined for alias [cwl-2026.11.23]. "
            "The write index may be explicitly disabled using is_write_index=false",
        ),
        *(Fate.FAILED, "400 illegal_argument_exception", {}),
        id="an alias without a write index, which can be mended",
    ),
    pytest.param(
        Refusal(404, "index_not_found_exception", "no such index [cwl-2026.11.23]"),
        *(Fate.FAILED, "404 index_not_found_exception", {}),
        id="no such index",
    ),
    pytest.param(
        Refusal(
            500,
            "stream_constraints_exception",
            "Document nesting depth (1001) exceeds the maximum allowed",
        ),
        *(Fate.REFUSED, "500 stream_constraints_exception", {}),
        id="status 500: the document makes the server fail",
    ),
    pytest.param(
        Refusal(400, "illegal_argument_exception", "pipeline with id [none] does not exist"),
        *(Fate.FAILED, f"400 illegal_argument_exception{PIPELINE}", {}),
        id="no such ingest pipeline",
    ),
    pytest.param(
        Refusal(
            400,
            "illegal_argument_exception",
            "can't merge a non object mapping [a.b] with an object mapping",
        ),
        *(Fate.REFUSED, "400 illegal_argument_exception", {"field": "a.b"}),
        id="an object and a value in one field",
    ),
    *(
        pytest.param(
            Refusal(
                status,
                "unavailable_shards_exception",
                "[cwl-2026.11.23][0] primary shard is not active",
            ),
            *(Fate.BUSY, f"{status} unavailable_shards_exception", {}),
            id=str(status),
        )
        for status in (502, 503, 504)
    ),
    pytest.param(
        Refusal(
            400, "mapper_parsing_exception", f"{PREVIEW}'{SECRET}'", f'For input string: "{SECRET}"'
        ),
        *(Fate.REFUSED, "400 mapper_parsing_exception", {"field": "n"}),
        id="a value of another type",
    ),
    pytest.param(
        Refusal(
            400,
            "mapper_parsing_exception",
            "object mapping for [a.b] tried to parse field [b] as object, "
            "but found a concrete value",
        ),
        *(Fate.REFUSED, "400 mapper_parsing_exception", {"field": "a.b"}),
        id="a value in a field of objects",
    ),
    pytest.param(
        Refusal(
            400,
            "mapper_parsing_exception",
            "Could not dynamically add mapping for field [a.b]. "
            "Existing mapping for [a] must be of type object but found [long].",
        ),
        *(Fate.REFUSED, "400 mapper_parsing_exception", {"field": "a.b"}),
        id="an object in a field of values",
    ),
    pytest.param(
        Refusal(
            400,
            "illegal_argument_exception",
            "mapper [a] cannot be changed from type [long] to [text]",
        ),
        *(Fate.REFUSED, "400 illegal_argument_exception", {"field": "a"}),
        id="two types for one field in one batch",
    ),
    pytest.param(
        Refusal(
            400, "illegal_argument_exception", "Limit of total fields [1000] has been exceeded"
        ),
        *(Fate.REFUSED, "400 illegal_argument_exception", {"limit": "total fields [1000]"}),
        id="too many fields",
    ),
    pytest.param(
        Refusal(
            400,
            "mapper_parsing_exception",
            "failed to parse",
            'Duplicate Object property "x"\n at [Source: REDACTED; byte offset: #10]',
        ),
        *(
            Fate.REFUSED,
            "400 mapper_parsing_exception",
            {"field": "x", "name": "twice in one object"},
        ),
        id="a name twice",
    ),
    pytest.param(
        Refusal(
            400,
            "mapper_parsing_exception",
            "failed to parse",
            "The depth of the field has exceeded the allowed limit of [20]. "
            "This limit can be set by changing the "
            "[index.mapping.depth.limit] index level setting.",
        ),
        *(Fate.REFUSED, "400 mapper_parsing_exception", {"limit": "[20]"}),
        id="too deep for the mapping",
    ),
    pytest.param(
        Refusal(
            400,
            "mapper_parsing_exception",
            "The number of nested documents has exceeded the allowed limit of [10000]. This limit "
            "can be set by changing the [index.mapping.nested_objects.limit] index level setting.",
        ),
        *(Fate.REFUSED, "400 mapper_parsing_exception", {"limit": "[10000]"}),
        id="too many nested documents",
    ),
    pytest.param(
        Refusal(
            400,
            "mapper_parsing_exception",
            "failed to parse",
            "Document nesting depth (1001) exceeds the maximum allowed "
            "(1000, from `StreamReadConstraints.getMaxNestingDepth()`)",
        ),
        *(Fate.REFUSED, "400 mapper_parsing_exception", {}),
        id="too deep for the parser",
    ),
    pytest.param(
        Refusal(
            400,
            "mapper_parsing_exception",
            "failed to parse",
            "object field starting or ending with a [.] makes object resolution ambiguous: [a..b]",
        ),
        *(Fate.REFUSED, "400 mapper_parsing_exception", {"field": "a..b"}),
        id="a name with two dots in a row",
    ),
    pytest.param(
        Refusal(
            400,
            "mapper_parsing_exception",
            "failed to parse",
            "field name cannot be an empty string",
        ),
        *(
            Fate.REFUSED,
            "400 mapper_parsing_exception",
            {"name": "field name cannot be an empty string"},
        ),
        id="an empty name",
    ),
    pytest.param(
        Refusal(
            400,
            "strict_dynamic_mapping_exception",
            "mapping set to strict, dynamic introduction of [a] within [_doc] is not allowed",
        ),
        *(Fate.REFUSED, "400 strict_dynamic_mapping_exception", {}),
        id="a strict mapping",
    ),
    pytest.param(
        Refusal(413, "too_large", "", None), Fate.REFUSED, "413 too_large", {}, id="too large"
    ),
    pytest.param(
        Refusal(302, "moved", "", None), Fate.FAILED, "302 moved", {}, id="an unknown status"
    ),
]


@pytest.mark.parametrize(("refusal", "fate", "reason", "shown"), ITEMS)
def test_each_document_has_its_own_verdict(
    *,
    bulk: Bulk,
    connection: RequestsHttpConnection,
    refusal: Refusal | None,
    fate: Fate,
    reason: str,
    shown: dict[str, str] | None,
) -> None:
    if refusal:
        bulk.refuse["2"] = refusal
    answer = sent(made("1", "2", "3"), connection)
    verdicts = answer if isinstance(answer, list) else [answer] * 3
    error = (
        None
        if shown is None or refusal is None
        else {"status": str(refusal.status), "type": refusal.kind, **shown}
    )
    assert verdicts == [module.INDEXED, Verdict(fate, reason, error), module.INDEXED]
    assert SECRET not in str(verdicts)


# The server quotes data, and data may look like the server's own words. `QUOTED` has such data.
# `QUOTING` has the reasons in which OpenSearch 3.8 quotes the value of a field.
QUOTED = [
    pytest.param(f"mapper [{SECRET}]", id="a mapper"),
    pytest.param(f"failed to parse field [{SECRET}]", id="a field"),
    pytest.param(f'Duplicate Object property "{SECRET}"', id="a name twice"),
    pytest.param(f"Limit of {SECRET} [7]", id="a limit"),
    pytest.param(f"the allowed limit of {SECRET} [7]", id="a limit in the middle of a sentence"),
    pytest.param(f"ambiguous: [{SECRET}]", id="dots"),
    pytest.param(f"field name cannot {SECRET}", id="a name"),
]
QUOTING = [
    pytest.param(PREVIEW + "'{}'", 'For input string: "{}"', "n", id="number"),
    pytest.param(
        PREVIEW + "'{}'",
        "failed to parse date field [{}] with format [strict_date_optional_time||epoch_millis]",
        "n",
        id="date",
    ),
    pytest.param(
        PREVIEW + "'{}'",
        "Failed to parse value [{}] as only [true] or [false] are allowed.",
        "n",
        id="boolean",
    ),
    pytest.param(PREVIEW + "'{}'", "'{}' is not an IP string literal.", "n", id="address"),
    pytest.param(
        "failed to parse field [n] of type [geo_point]",
        "unsupported symbol [a] in geohash [{}]",
        "n",
        id="place",
    ),
    pytest.param(
        "failed to parse",
        "Unrecognized token '{}': was expecting (JSON String, Number, Array, Object)",
        None,
        id="no JSON",
    ),
]


@pytest.mark.parametrize("value", QUOTED)
@pytest.mark.parametrize(("reason", "cause", "field"), QUOTING)
def test_nothing_that_the_server_quotes_is_shown(
    *,
    bulk: Bulk,
    connection: RequestsHttpConnection,
    value: str,
    reason: str,
    cause: str,
    field: str | None,
) -> None:
    bulk.refuse["1"] = Refusal(
        400, "mapper_parsing_exception", reason.format(value), cause.format(value)
    )
    shown = {"status": "400", "type": "mapper_parsing_exception"} | (
        {"field": field} if field else {}
    )
    assert sent(made("1"), connection) == [
        Verdict(Fate.REFUSED, "400 mapper_parsing_exception", shown)
    ]


@pytest.mark.parametrize(
    "error",
    [
        pytest.param({"type": None, "reason": None, "caused_by": None}, id="nulls"),
        pytest.param({}, id="empty"),
        pytest.param({"caused_by": {}}, id="no reason anywhere"),
        pytest.param(
            {"caused_by": {"caused_by": {"reason": "x"}}, "root_cause": []},
            id="parts that are not read",
        ),
    ],
)
def test_an_error_without_type_or_reason_is_a_refusal(
    bulk: Bulk, connection: RequestsHttpConnection, error: dict[str, Any]
) -> None:
    bulk.answers.append(as_json(200, {"items": [{"create": {"status": 400, "error": error}}]}))
    assert sent(made("1"), connection) == [
        Verdict(Fate.REFUSED, f"400 {NO_TYPE}", {"status": "400", "type": NO_TYPE})
    ]


# --- the verdict on a whole request

HTML = Answer(0, "text/html", f"<html><h1>{TEXT}</h1>".encode())
WORDS = Answer(0, "text/plain", f"429 Too Many Requests /_bulk {TEXT}".encode())
VALIDATION = problem(
    "action_request_validation_exception",
    f"Validation Failed: 1: id [{TEXT}] is too long, must be no longer than 512",
)


def whole(status: int, like: Answer, **headers: str) -> Answer:
    return Answer(status, like.content_type, like.body, tuple(headers.items()))


WHOLE = [
    pytest.param(
        whole(429, WORDS),
        Fate.BUSY,
        f"429 {NO_TYPE}",
        id="429 as plain text, as Amazon's domains send it",
    ),
    pytest.param(
        as_json(429, problem("circuit_breaking_exception", "[parent] Data too large", 429)),
        *(Fate.BUSY, "429 circuit_breaking_exception"),
        id="429 in JSON",
    ),
    pytest.param(
        as_json(
            403,
            problem(
                "cluster_block_exception",
                "blocked by: [FORBIDDEN/10/cluster create-index blocked (api)];",
                403,
            ),
        ),
        *(Fate.BUSY, "403 cluster_block_exception"),
        id="403 for a block",
    ),
    pytest.param(
        as_json(403, problem("security_exception", "no permissions", 403)),
        Fate.FAILED,
        "403 security_exception",
        id="403 for a role without permission",
    ),
    pytest.param(
        as_json(
            403, {"Message": f"User: anonymous is not authorized to perform: es:ESHttpPost {TEXT}"}
        ),
        *(Fate.FAILED, f"403 {NO_TYPE}"),
        id="403 as Amazon's domains send it",
    ),
    pytest.param(whole(401, WORDS), Fate.FAILED, f"401 {NO_TYPE}", id="401"),
    pytest.param(whole(404, HTML), Fate.FAILED, f"404 {NO_TYPE}", id="404"),
    pytest.param(
        as_json(404, {"error": "no handler", "status": 404}),
        Fate.FAILED,
        f"404 {NO_TYPE}",
        id="404 whose error is text",
    ),
    pytest.param(
        as_json(405, {"error": "Incorrect HTTP method", "status": 405}),
        Fate.FAILED,
        f"405 {NO_TYPE}",
        id="405",
    ),
    pytest.param(
        as_json(406, {"error": "Content-Type header", "status": 406}),
        Fate.FAILED,
        f"406 {NO_TYPE}",
        id="406",
    ),
    pytest.param(whole(409, WORDS), Fate.FAILED, f"409 {NO_TYPE}", id="409 for a whole request"),
    pytest.param(
        whole(400, HTML),
        Fate.FAILED,
        f"400 {NO_TYPE}",
        id="400 without JSON: plain http to a port of https",
    ),
    pytest.param(
        as_json(400, {"message": "Bad Request"}),
        Fate.FAILED,
        f"400 {NO_TYPE}",
        id="400 from another program",
    ),
    pytest.param(
        as_json(400, ["error"]), Fate.FAILED, f"400 {NO_TYPE}", id="400 that is a JSON array"
    ),
    pytest.param(
        as_json(400, "error"), Fate.FAILED, f"400 {NO_TYPE}", id="400 that is a JSON string"
    ),
    pytest.param(
        as_json(400, {"error": None}), Fate.FAILED, f"400 {NO_TYPE}", id="400 whose error is null"
    ),
    pytest.param(
        as_json(400, VALIDATION),
        Fate.TOO_MUCH,
        "400 action_request_validation_exception",
        id="400 for one action",
    ),
    pytest.param(
        as_json(400, problem("illegal_argument_exception", "Malformed action/metadata line [1]")),
        *(Fate.TOO_MUCH, "400 illegal_argument_exception"),
        id="400 for a malformed line",
    ),
    pytest.param(
        as_json(413, {"Message": "Request size exceeded 10485760 bytes"}),
        Fate.TOO_MUCH,
        f"413 {NO_TYPE}",
        id="413 from Amazon",
    ),
    pytest.param(
        Answer(413, "text/plain", b""), Fate.TOO_MUCH, f"413 {NO_TYPE}", id="413 without a body"
    ),
    pytest.param(whole(500, HTML), Fate.BUSY, f"500 {NO_TYPE}", id="500 in HTML"),
    pytest.param(
        Answer(502, "application/json", b""), Fate.BUSY, f"502 {NO_TYPE}", id="502 without a body"
    ),
    pytest.param(whole(503, HTML), Fate.BUSY, f"503 {NO_TYPE}", id="503 in HTML"),
    pytest.param(
        as_json(503, problem("cluster_manager_not_discovered_exception", "", 503)),
        *(Fate.BUSY, "503 cluster_manager_not_discovered_exception"),
        id="503 in JSON",
    ),
    pytest.param(
        as_json(503, "Service Unavailable"),
        Fate.BUSY,
        f"503 {NO_TYPE}",
        id="503 that is a JSON string",
    ),
    pytest.param(whole(504, HTML), Fate.BUSY, f"504 {NO_TYPE}", id="504"),
    pytest.param(
        Answer(503, "application/json", b'{"error":' * 5000),
        Fate.BUSY,
        f"503 {NO_TYPE}",
        id="503 nested deeper than can be read",
    ),
    *(
        pytest.param(
            whole(status, HTML, location="/_dashboards/login"),
            Fate.FAILED,
            f"{status} {NO_TYPE}",
            id=f"redirect {status}",
        )
        for status in (301, 302, 303, 307, 308)
    ),
]


@pytest.mark.parametrize(("answer", "fate", "reason"), WHOLE)
def test_an_error_of_the_whole_request_is_one_verdict(
    bulk: Bulk, connection: RequestsHttpConnection, answer: Answer, fate: Fate, reason: str
) -> None:
    bulk.answers.append(answer)
    verdict = sent(made("1", "2"), connection)
    assert isinstance(verdict, Verdict)
    assert (verdict.fate, verdict.reason.partition(": ")[0]) == (fate, reason)
    assert TEXT not in str(verdict)
    # A redirect is not followed. It would send the lines to another server, or lose them.
    assert len(bulk.requests) == 1
    assert bulk.documents == {}


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        pytest.param(Answer(413, "text/plain", b""), f"413 {NO_TYPE}", id="413"),
        pytest.param(as_json(400, VALIDATION), "400 action_request_validation_exception", id="400"),
    ],
)
def test_a_request_of_one_document_is_refused_and_not_split(
    bulk: Bulk, connection: RequestsHttpConnection, answer: Answer, reason: str
) -> None:
    bulk.answers.append(answer)
    verdict = sent(made("1"), connection)
    status, kind = reason.split(" ", 1)
    assert verdict == Verdict(Fate.REFUSED, reason, {"status": status, "type": kind})


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(whole(200, HTML), id="HTML"),
        pytest.param(whole(200, WORDS), id="words"),
        pytest.param(Answer(200, "application/json", b""), id="nothing"),
        pytest.param(Answer(204, "application/json", b""), id="no content"),
        pytest.param(Answer(200, "application/json", ok(2)[:-3].encode()), id="JSON cut short"),
        pytest.param(Answer(200, "application/json", ok(1).encode()), id="fewer items"),
        pytest.param(Answer(200, "application/json", ok(3).encode()), id="more items"),
        pytest.param(as_json(200, {"items": []}), id="no items"),
        pytest.param(as_json(200, {}), id="an empty object"),
        pytest.param(as_json(200, []), id="an array"),
        pytest.param(as_json(200, None), id="null"),
        pytest.param(
            as_json(200, {"items": [{"index": {"status": 201}}] * 2}), id="items of another action"
        ),
        pytest.param(
            as_json(200, {"items": [{"create": {"status": "201"}}] * 2}), id="a status that is text"
        ),
        pytest.param(as_json(200, {"items": [{"create": {}}] * 2}), id="no status"),
        pytest.param(
            as_json(200, {"items": [{"create": {"status": 400, "error": TEXT}}] * 2}),
            id="an error that is text",
        ),
        pytest.param(as_json(200, {"items": [201, 201]}), id="items that are numbers"),
        pytest.param(
            Answer(200, "application/json", b'{"items":[' + b"[" * 5000),
            id="nested deeper than can be read",
        ),
        pytest.param(
            Answer(
                200, "application/json", b'{"items":[{"create":{"status":201,"x":"\xed\xa0\x80"}}]}'
            ),
            id="no UTF-8",
        ),
    ],
)
def test_an_unreadable_answer_counts_as_busy(
    bulk: Bulk, connection: RequestsHttpConnection, answer: Answer
) -> None:
    bulk.answers.append(answer)
    assert sent(made("1", "2"), connection) == Verdict(
        Fate.BUSY, "the server's answer cannot be read"
    )


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        pytest.param(CLOSE, "no connection (ConnectionError)", id="closed without an answer"),
        pytest.param(
            LOST, "no connection (ConnectionError)", id="closed after the documents were indexed"
        ),
        pytest.param(
            Answer(
                200, "application/json", b"{}", (("content-length", "100"), ("connection", "close"))
            ),
            "no connection (ConnectionError)",
            id="closed midway",
        ),
        pytest.param(
            Answer(200, "text/plain", b"{}", (("content-encoding", "gzip"),)),
            "no connection (ConnectionError)",
            id="no gzip",
        ),
        pytest.param(
            Answer(200, "application/json", ok(2).encode(), delay=60),
            "no answer in time",
            id="no answer",
        ),
    ],
)
def test_a_request_without_an_answer_counts_as_busy_or_unanswered(
    bulk: Bulk, connection: RequestsHttpConnection, answer: Answer, reason: str
) -> None:
    bulk.answers.append(answer)
    fate = Fate.UNANSWERED if answer.delay else Fate.BUSY
    assert sent(made("1", "2"), connection, timeout=0.5 if answer.delay else SECONDS) == Verdict(
        fate, reason
    )
    assert bulk.ids == (["1", "2"] if answer.lost else [])


def test_a_connection_is_used_again_after_an_error(
    bulk: Bulk, connection: RequestsHttpConnection
) -> None:
    bulk.answers.extend(
        [CLOSE, whole(503, HTML), Answer(200, "application/json", ok(1).encode(), delay=60)]
    )
    found = [
        sent(made("1"), connection, timeout) is module.INDEXED
        for timeout in (SECONDS, SECONDS, 0.5, SECONDS)
    ]
    assert found == [False, False, False, True]


@contextmanager
def port(*, listening: bool) -> Iterator[int]:
    """Yield a port to which nobody can connect: it refuses connections, or its queue is full."""
    with closing(socket.socket()) as taken, closing(socket.socket()) as first:
        taken.bind(("127.0.0.1", 0))
        if listening:
            taken.listen(0)
            first.connect(taken.getsockname())
        yield taken.getsockname()[1]


def test_a_port_without_a_server_counts_as_a_busy_server(bulk: Bulk) -> None:
    with (
        port(listening=False) as number,
        closing(connect(f"http://127.0.0.1:{number}", {})) as absent,
    ):
        assert sent(made("1"), absent) == Verdict(Fate.BUSY, "no connection (ConnectionError)")
    assert bulk.requests == []


def test_the_timeout_limits_the_time_for_all_addresses_of_a_server_together(
    bulk: Bulk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A domain has many IP addresses, which are tried one after the other until the timeout."""
    with (
        port(listening=True) as number,
        closing(connect(f"http://127.0.0.1:{number}", {})) as absent,
    ):
        one = socket.getaddrinfo("127.0.0.1", number, type=socket.SOCK_STREAM)
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: one * 6)
        start = time.monotonic()
        assert sent(made("1"), absent, timeout=1.0) == Verdict(Fate.BUSY, "no answer in time")
        assert 0.5 < time.monotonic() - start < 5  # not 1 s for each of 6 addresses
    assert bulk.requests == []


def test_a_host_name_that_does_not_exist_counts_as_a_busy_server(bulk: Bulk) -> None:
    with closing(connect("http://opensearch.invalid", {})) as absent:
        verdict = sent(made("1"), absent)
    assert isinstance(verdict, Verdict)
    assert verdict.fate is Fate.BUSY
    assert bulk.requests == []


def test_the_verdicts_have_the_order_of_the_documents(
    bulk: Bulk, connection: RequestsHttpConnection
) -> None:
    bulk.refuse = {"1": Refusal(429, "rejected"), "4": UNPARSED}
    bulk.documents[INDEX, "3"] = b"{}"
    verdicts = sent(made("1", "2", "3", "4"), connection)
    assert isinstance(verdicts, list)
    assert [verdict.fate for verdict in verdicts] == [
        Fate.BUSY,
        Fate.INDEXED,
        Fate.DUPLICATE,
        Fate.REFUSED,
    ]
