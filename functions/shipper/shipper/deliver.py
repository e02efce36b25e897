"""Documents into OpenSearch by the bulk interface, and what became of each one."""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import orjson
from opensearchpy import OpenSearch
from opensearchpy.exceptions import OpenSearchException, TransportError

from shipper.document import Document

CHUNK_BYTES: Final = 5 * 1024 * 1024  # inflated: what Amazon limits (10 MiB on its smaller instances)
HEADERS: Final = {"content-type": "application/x-ndjson", "content-encoding": "gzip"}
PARAMS: Final = {"filter_path": "errors,items.*.status,items.*.error.type"}
DUPLICATE: Final = 409
UNREADABLE: Final = "the server's answer cannot be read"


class NotDelivered(Exception):
    """Some documents are not in the index. Failing the invocation with it makes Lambda keep the payload."""


@dataclass(slots=True)
class Outcome:
    """Counts of what became of the documents; `reasons` counts the failures by status and the server's error type."""

    indexed: int = 0
    duplicate: int = 0
    reasons: Counter[str] = field(default_factory=Counter)

    @property
    def failed(self) -> int:
        """How many documents are not in the index."""
        return self.reasons.total()

    def or_raise(self) -> dict[str, int]:
        """The counts, or `NotDelivered` with the reasons."""
        if self.reasons:
            reasons = ", ".join(f"{count} x {reason}" for reason, count in self.reasons.most_common())
            raise NotDelivered(f"{self.failed} of {self.failed + self.indexed + self.duplicate} documents not delivered: {reasons}")
        return {"indexed": self.indexed, "duplicate": self.duplicate}


def deliver(documents: Iterable[Document], client: OpenSearch) -> Outcome:
    """Index each document once: `create` with its id, so that 409 means that an earlier delivery did it."""
    outcome = Outcome()
    for chunk in chunks(documents):
        try:
            items = bulk(chunk, client)
        except OpenSearchException as problem:
            outcome.reasons[reason(problem)] += len(chunk)
            continue
        for item in items:
            tally(item, outcome)
    return outcome


def chunks(documents: Iterable[Document], limit: int = CHUNK_BYTES) -> Iterator[list[Document]]:
    """Documents in runs whose bulk bodies stay within `limit` bytes; a larger document goes alone."""
    chunk: list[Document] = []
    size = 0
    for document in documents:
        line = len(document.source) + len(action(document)) + 2
        if chunk and size + line > limit:
            yield chunk
            chunk, size = [], 0
        chunk.append(document)
        size += line
    if chunk:
        yield chunk


def action(document: Document) -> bytes:
    """The bulk interface's line before a document."""
    return orjson.dumps({"create": {"_index": document.index, "_id": document.id}})


def bulk(chunk: list[Document], client: OpenSearch) -> list[Any]:
    """One bulk request; an item an answer. Raises opensearch-py's exceptions when the request as a whole fails."""
    lines = [line for document in chunk for line in (action(document), document.source)]
    body = zlib.compress(b"\n".join(lines) + b"\n", level=1, wbits=16 + zlib.MAX_WBITS)
    try:
        answer = client.transport.perform_request("POST", "/_bulk", params=PARAMS, headers=HEADERS, body=body)
    except AttributeError as problem:  # opensearch-py takes an error's JSON body for an object without looking
        raise TransportError("N/A", UNREADABLE, None) from problem
    items = answer.get("items") if isinstance(answer, dict) else None
    if not isinstance(items, list) or len(items) != len(chunk):
        raise TransportError("N/A", UNREADABLE, None)
    return items


def tally(item: Any, outcome: Outcome) -> None:
    """Count one item of the bulk answer."""
    result = item.get("create") if isinstance(item, dict) else None
    status = result.get("status") if isinstance(result, dict) else None
    if not isinstance(status, int):
        outcome.reasons[UNREADABLE] += 1
    elif 200 <= status < 300:
        outcome.indexed += 1
    elif status == DUPLICATE:
        outcome.duplicate += 1
    else:
        outcome.reasons[f"{status} {error_type(result)}"] += 1


def reason(problem: OpenSearchException) -> str:
    """Why a whole request failed: status and the server's error type, or the kind of trouble; never a word of its body."""
    if isinstance(problem, TransportError) and isinstance(problem.status_code, int):
        return f"{problem.status_code} {error_type(problem.info)}"
    if isinstance(problem, TransportError) and problem.error == UNREADABLE:
        return UNREADABLE
    return type(problem).__name__


def error_type(answer: Any) -> str:
    """The server's name for the error in an item or in a whole answer."""
    error = answer.get("error") if isinstance(answer, dict) else None
    name = error.get("type") if isinstance(error, dict) else None
    return name if isinstance(name, str) else "without a type"
