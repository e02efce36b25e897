"""Sends one bulk request, and reads the verdict on each document from the answer."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from enum import Enum, auto
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

import msgspec
from isal import isal_zlib
from msgspec import Struct
from opensearchpy import RequestsHttpConnection
from opensearchpy.exceptions import ConnectionTimeout, TransportError
from requests import ConnectTimeout

from shipper.document import Document

# The size limit of a request's body before compression. On smaller instances, Amazon accepts at
# most 10 MiB, also counted before compression.
CHUNK_BYTES: Final = 5 * 1024 * 1024
GZIP: Final = 31  # zlib's window bits for the largest window and a gzip header
# isal has levels 0 to 3. Level 2 compresses as well as zlib's level 1, in a fifth of the time.
LEVEL: Final = 2
HEADERS: Final = {"content-type": "application/x-ndjson", "content-encoding": "gzip"}
# These parameters make the answer shorter. According to Amazon's documents, a domain ignores the
# parameters of a signed POST. The answer is then longer, but has the same meaning.
PARAMS: Final = {
    "filter_path": "items.*.status,items.*.error.type,"
    "items.*.error.reason,items.*.error.caused_by.reason"
}
# For these statuses the connection returns the answer instead of raising an exception.
ANY_STATUS: Final = range(300, 600)
ALL_CREATED: Final = '{"items":[%s]}'  # the short answer if all documents were created
CREATED: Final = '{"create":{"status":201}}'
# The time limit for connecting to one IP address. The server may have several addresses.
CONNECT_SECONDS: Final = 3.0
UNREADABLE: Final = "the server's answer cannot be read"

# The parts of the server's reasons that name a field or a limit. The reason itself is never shown,
# because it quotes the user's data. The data may look like a reason, so only the beginning of a
# reason is read.
FIELD: Final = re.compile(
    r"(?:failed to parse field|object mapping for|mapper"
    r"|Could not dynamically add mapping for field"
    r"|can't merge a non[ -][a-z]{1,10} mapping|(?P<twice>Duplicate Object property)"
    r"|object field starting or ending with a \[\.\] makes object resolution ambiguous:)"
    r""" [\["](?P<field>[^\]"]{1,512})[\]"]"""
)
TWICE: Final = "twice in one object"  # shown if an object holds a name more than once
LIMIT: Final = re.compile(
    r"(?:Limit|The [a-z ]{1,60} limit) of (?P<limit>(?:[a-z ]{1,40} )?\[\d+\])"
    r"|(?P<name>field name cannot (?:be|contain) [a-z ]{1,40})"
)

# Errors with status 400 that are not caused by a document, for instance a closed index, or a
# cluster that has its maximum number of shards. Somebody can remove the cause, so the documents are
# sent again later.
MENDABLE_TYPES: Final = {"index_closed_exception", "validation_exception"}
MENDABLE: Final = re.compile(
    r"Validation Failed: \d+: this action would add \[|no write index is defined for alias"
    r"|pipeline with id \[.{1,512}\] does not exist"
)
# The server's error if its setting rest.action.multi.allow_explicit_index is false.
EXPLICIT_INDEX: Final = "explicit index in bulk is not allowed"
# The server, or a proxy before it, does not accept the request now.
AWAY_STATUSES: Final = frozenset({408, 429, 502, 503, 504})
# The server cannot accept one of the documents now. 500 is not among these statuses: if a single
# document has the status 500, the cause is the document's content.
BUSY_ITEMS: Final = frozenset({429, 502, 503, 504})
REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
UNSIGNED: Final = (
    ": the domain requires signed requests, but only requests to its own address "
    "(NAME.REGION.es.amazonaws.com) are signed: "
    "set OPENSEARCH_URL to that address instead of a custom endpoint"
)
# The advice for each status, if the answer does not come from OpenSearch itself.
HINTS: Final = {
    401: ": the server does not accept the user and password, or requires signed requests: "
    "check the login of OPENSEARCH_URL",
    403: ": the domain refuses the request: "
    "check the domain's policy, the role's permission es:ESHttpPost, and the sender's clock",
    404: ": there is no OpenSearch at this address: check host and path of OPENSEARCH_URL",
}


class Fate(Enum):
    """The result of sending a document in one request."""

    INDEXED = auto()
    # The document is already in the index, from an earlier delivery, or from an earlier request
    # whose answer was lost.
    DUPLICATE = auto()
    # The server cannot accept the document now. It is sent again.
    BUSY = auto()
    # There was no answer in time. The server may still be working on the request, so the document
    # must not be sent again at once.
    UNANSWERED = auto()
    # The server will never accept the document in this form.
    REFUSED = auto()
    # The server refused the request as a whole. The request is split.
    TOO_MUCH = auto()
    # The server refused the request because its actions name an index.
    NAMED = auto()
    # Trying again at once is useless, but somebody may remove the cause, such as a missing
    # permission.
    FAILED = auto()


class Verdict(NamedTuple):
    """A document's fate, with its reason.

    `reason` is a text for people: the status and the server's error type. `error` is the value of
    the field `@rescued`, if the document is later sent with fewer fields.
    """

    fate: Fate
    reason: str = ""
    error: dict[str, str] | None = None

    @property
    def status(self) -> str:
        """The HTTP status of the error; empty if there is no error."""
        return (self.error or {}).get("status", "")


INDEXED: Final = Verdict(Fate.INDEXED)
DUPLICATE: Final = Verdict(Fate.DUPLICATE)


class _Cause(Struct):
    reason: str | None = None


class _Error(Struct):
    type: str | None = None
    reason: str | None = None
    caused_by: _Cause | None = None


class _Result(Struct):
    status: int
    error: _Error | None = None


class _Item(Struct):
    create: _Result


class _Answer(Struct):
    items: list[_Item]


class _Problem(Struct):
    error: _Error | None = None


_answer: Final = msgspec.json.Decoder(_Answer).decode
_problem: Final = msgspec.json.Decoder(_Problem).decode


def chunks(documents: Iterable[Document], limit: int = CHUNK_BYTES) -> Iterator[list[Document]]:
    """Split documents into chunks whose bulk bodies have at most `limit` bytes.

    A document that is larger than `limit` gets a chunk of its own.
    """
    chunk: list[Document] = []
    size = 0
    for document in documents:
        size += len(document.lines)
        if size > limit and chunk:
            yield chunk
            chunk, size = [], len(document.lines)
        chunk.append(document)
    if chunk:
        yield chunk


def body(chunk: Sequence[Document]) -> bytes:
    """Return the request's body before compression."""
    return b"".join([document.lines for document in chunk])


def body_without_index(chunk: Sequence[Document]) -> bytes:
    """Return the body for a request whose path names the index."""
    return b"".join(
        [
            document.lines.replace(b'"_index":"%b",' % document.index_name.encode(), b"", 1)
            for document in chunk
        ]
    )


def send(
    content: bytes, count: int, connection: RequestsHttpConnection, timeout: float, index: str = ""
) -> list[Verdict] | Verdict:
    """Send a body of `count` documents.

    Returns a verdict for each document, or one verdict for the request as a whole. The request
    takes at most `timeout` seconds. If `index` is given, the path names the index, and the
    documents' actions must not name one.
    """
    packed = isal_zlib.compress(content, LEVEL, GZIP)
    connecting = min(CONNECT_SECONDS, timeout / 8)
    # A single number would be the limit of each step: connecting to each of the server's IP
    # addresses, and waiting for the answer. All steps together could take many times as long.
    times: Any = (connecting, timeout - connecting)
    path = f"/{index}/_bulk" if index else "/_bulk"
    try:
        status, headers, text = connection.perform_request(
            "POST",
            path,
            PARAMS,
            packed,
            times,
            allow_redirects=False,
            ignore=ANY_STATUS,
            headers=dict(HEADERS),
        )
    except ConnectionTimeout as problem:
        connected = not isinstance(problem.info, ConnectTimeout)
        return Verdict(Fate.UNANSWERED if connected else Fate.BUSY, "no answer in time")
    except TransportError as problem:
        return Verdict(Fate.BUSY, f"no connection ({type(problem).__name__})")
    return (
        judge_request(status, text, count, headers.get("location", ""))
        if status >= 300
        else judge_items(text, count)
    )


def judge_items(text: str, count: int) -> list[Verdict] | Verdict:
    """Return the verdicts in the answer to a request that the server accepted."""
    if text == ALL_CREATED % ",".join([CREATED] * count):  # the usual case, which needs no parsing
        return INDEXED
    try:
        items = _answer(text).items
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        items = []
    if len(items) != count:
        return Verdict(Fate.BUSY, UNREADABLE)
    return [judge(item.create.status, item.create.error) for item in items]


def judge_request(status: int, text: str, count: int, location: str = "") -> Verdict:
    """Return the verdict on a request that the server answered with an error.

    The answer need not be JSON: it may come from a proxy.
    """
    try:
        error = _problem(text).error
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        error = None
    reason, shown = _why(status, error)
    if status == 400 and error and error.reason == EXPLICIT_INDEX:
        return Verdict(Fate.NAMED, reason, shown)
    # The request is too large, or the server cannot parse one of its actions.
    if status == 413 or (status == 400 and error):
        return Verdict(Fate.TOO_MUCH if count > 1 else Fate.REFUSED, reason, shown)
    if status in AWAY_STATUSES or status >= 500 or _is_block(status, error):
        return Verdict(Fate.BUSY, reason, shown)
    return Verdict(Fate.FAILED, reason + hint(status, error, text, location), shown)


def judge(status: int, error: _Error | None) -> Verdict:
    """Return the verdict on one document."""
    if 200 <= status < 300:
        return INDEXED
    if status == 409:
        return DUPLICATE
    reason, shown = _why(status, error)
    if status in BUSY_ITEMS or _is_block(status, error):
        return Verdict(Fate.BUSY, reason, shown)
    if error and (error.type in MENDABLE_TYPES or MENDABLE.match(error.reason or "")):
        return Verdict(Fate.FAILED, reason + hint(status, error, "", ""), shown)
    return Verdict(
        Fate.REFUSED if status in {400, 413} or status >= 500 else Fate.FAILED, reason, shown
    )


def hint(status: int, error: _Error | None, text: str, location: str) -> str:
    """Return advice to add to the reason of an error that somebody can correct.

    The advice is empty if the error itself is clear.
    """
    if error and (error.reason or "").startswith("pipeline with id ["):
        return (
            ": the index setting index.default_pipeline or index.final_pipeline "
            "names an ingest pipeline that does not exist"
        )
    host = urlsplit(location).netloc.rpartition("@")[2]
    if status in REDIRECTS and (".amazoncognito." in host or "login" in location):
        return (
            ": the domain redirects to a sign-in page; "
            "sign requests with a role that it permits, or give a user and password"
        )
    if status in REDIRECTS:
        return (
            f": the server redirects to {host or 'another path'}: "
            "check scheme, host and path of OPENSEARCH_URL"
        )
    if error and error.type:
        return ""
    if status == 403 and "anonymous" in text:
        return UNSIGNED
    return HINTS.get(status, "")


def _is_block(status: int, error: _Error | None) -> bool:
    """Return whether the error is a write block on an index or on the cluster.

    OpenSearch sets such a block when a disk is full, and later removes it.
    """
    return status == 403 and error is not None and (error.type or "").endswith("block_exception")


def _why(status: int, error: _Error | None) -> tuple[str, dict[str, str]]:
    """Return `reason` and `error` of a `Verdict`.

    `error` holds the status, the server's error type, and the field or limit that the server named.
    """
    error = error or _Error()
    kind = error.type or "without a type"
    shown = {"status": str(status), "type": kind}
    for reason in (error.reason, error.caused_by and error.caused_by.reason):
        for pattern in (FIELD, LIMIT):
            match = pattern.match(reason or "")
            shown |= (
                {name: found for name, found in match.groupdict().items() if found} if match else {}
            )
    if shown.pop("twice", None):
        shown["name"] = TWICE
    return f"{status} {kind}", shown
