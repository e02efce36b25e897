"""Documents into OpenSearch by the bulk interface, and what became of each one."""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import orjson
from opensearchpy.exceptions import OpenSearchException, TransportError

from shipper.document import Document

if TYPE_CHECKING:
    from opensearchpy import OpenSearch

CHUNK_BYTES: Final = 5 * 1024 * 1024  # inflated: what Amazon limits (10 MiB on its smaller instances)
HEADERS: Final = {"content-type": "application/x-ndjson", "content-encoding": "gzip"}
PARAMS: Final = {"filter_path": "errors,items.*.status,items.*.error.type"}
DUPLICATE: Final = 409


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
            tally(item["create"], outcome)
        if len(items) != len(chunk):
            outcome.reasons["the server's answer lacks items"] += len(chunk) - len(items)
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


def bulk(chunk: list[Document], client: OpenSearch) -> list[dict[str, Any]]:
    """One bulk request; an item an answer. Raises opensearch-py's exceptions when the request as a whole fails."""
    lines = [line for document in chunk for line in (action(document), document.source)]
    body = zlib.compress(b"\n".join(lines) + b"\n", level=1, wbits=16 + zlib.MAX_WBITS)
    answer = client.transport.perform_request("POST", "/_bulk", params=PARAMS, headers=HEADERS, body=body)
    if not isinstance(answer, dict):
        raise TransportError("N/A", "the server's answer is no JSON object", None)
    items: list[dict[str, Any]] = answer.get("items", [])
    return items


def tally(item: dict[str, Any], outcome: Outcome) -> None:
    """Count one item of the bulk answer."""
    status = item["status"]
    if 200 <= status < 300:
        outcome.indexed += 1
    elif status == DUPLICATE:
        outcome.duplicate += 1
    else:
        outcome.reasons[f"{status} {item.get('error', {}).get('type', 'without a type')}"] += 1


def reason(problem: OpenSearchException) -> str:
    """Why a whole request failed, without its body: status and the server's error type, or the connection's trouble."""
    if isinstance(problem, TransportError):
        return f"{problem.status_code} {problem.error}".split(" for url", maxsplit=1)[0][:200]
    return type(problem).__name__
