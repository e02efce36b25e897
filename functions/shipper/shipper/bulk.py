"""One bulk request, and what the answer says of each document in it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from enum import Enum, auto
from typing import Any, Final, NamedTuple

import msgspec
from isal import isal_zlib
from msgspec import Struct
from opensearchpy import RequestsHttpConnection
from opensearchpy.exceptions import ConnectionTimeout, TransportError

from shipper.document import Document

CHUNK_BYTES: Final = 5 * 1024 * 1024  # inflated: what Amazon limits (10 MiB on its smaller instances)
GZIP: Final = 31  # window bits: the largest window, a gzip header
LEVEL: Final = 2  # of isal's 0 to 3: as small as zlib's 1, at a fifth of its time
HEADERS: Final = {"content-type": "application/x-ndjson", "content-encoding": "gzip"}
# A shorter answer. Amazon's documents say that it ignores parameters of a signed POST; the answer is then longer, and says the same.
PARAMS: Final = {"filter_path": "items.*.status,items.*.error.type,items.*.error.reason,items.*.error.caused_by.reason"}
ANY_STATUS: Final = range(300, 600)  # that the connection answers rather than raises
ALL_CREATED: Final = '{"items":[%s]}'  # with these params
CREATED: Final = '{"create":{"status":201}}'
CONNECT_SECONDS: Final = 3.0  # for one address of the server; it may have several
UNREADABLE: Final = "the server's answer cannot be read"

# The parts of the server's reasons that name a field or a limit. Never the reason itself: it quotes the user's data, which may look like
# a reason too; so only what a reason begins with counts.
FIELD: Final = re.compile(
    r"(?:failed to parse field|object mapping for|mapper|Could not dynamically add mapping for field|Duplicate Object property"
    r"""|object field starting or ending with a \[\.\] makes object resolution ambiguous:) [\["](?P<field>[^\]"]{1,512})[\]"]"""
)
LIMIT: Final = re.compile(
    r"(?:Limit|The [a-z ]{1,60} limit) of (?P<limit>(?:[a-z ]{1,40} )?\[\d+\])|(?P<name>field name cannot (?:be|contain) [a-z ]{1,40})"
)

# 400 for what is not the document's fault: a closed index, a cluster that is full of shards. Somebody can mend it, so nothing is given up.
MENDABLE_TYPES: Final = {"index_closed_exception", "validation_exception"}
MENDABLE: Final = re.compile(r"Validation Failed: \d+: this action would add \[|no write index is defined for alias")


class Fate(Enum):
    """What became of a document in one request."""

    INDEXED = auto()
    DUPLICATE = auto()  # an earlier delivery did it, or an earlier request whose answer was lost
    BUSY = auto()  # the server cannot take it now: to be sent again
    REFUSED = auto()  # the server will never take it in this form
    TOO_MUCH = auto()  # the request as a whole: it must be split
    FAILED = auto()  # no reason to try again now, though someone may mend it: no permission, no such index


class Verdict(NamedTuple):
    """A document's fate, why (for people: status and the server's error type), and the error as a rescued document shows it."""

    fate: Fate
    reason: str = ""
    error: dict[str, str] | None = None


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
    """Documents in runs whose bulk bodies stay within `limit` bytes; a larger document goes alone."""
    chunk: list[Document] = []
    size = 0
    for document in documents:
        size += len(document[0])
        if size > limit and chunk:
            yield chunk
            chunk, size = [], len(document[0])
        chunk.append(document)
    if chunk:
        yield chunk


def body(chunk: Sequence[Document]) -> bytes:
    """The request's body before compression."""
    return b"".join([document[0] for document in chunk])


def send(content: bytes, count: int, connection: RequestsHttpConnection, timeout: float) -> list[Verdict] | Verdict:
    """One request with a body of `count` documents: a verdict for each of them, or one for the request as a whole."""
    packed = isal_zlib.compress(content, LEVEL, GZIP)
    connecting = min(CONNECT_SECONDS, timeout / 8)
    times: Any = (connecting, timeout - connecting)  # a single number would be the time for each address, and once more for the answer
    try:
        status, _, text = connection.perform_request(
            "POST", "/_bulk", PARAMS, packed, times, allow_redirects=False, ignore=ANY_STATUS, headers=dict(HEADERS)
        )
    except ConnectionTimeout:
        return Verdict(Fate.BUSY, "no answer in time")
    except TransportError as problem:
        return Verdict(Fate.BUSY, f"no connection ({type(problem).__name__})")
    return judge_request(status, text, count) if status >= 300 else judge_items(text, count)


def judge_items(text: str, count: int) -> list[Verdict] | Verdict:
    """The verdicts in the answer to a request that was taken."""
    if text == ALL_CREATED % ",".join([CREATED] * count):  # nearly always, and read in no time
        return INDEXED
    try:
        items = _answer(text).items
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        items = []
    if len(items) != count:
        return Verdict(Fate.BUSY, UNREADABLE)
    return [judge(item.create.status, item.create.error) for item in items]


def judge_request(status: int, text: str, count: int) -> Verdict:
    """The verdict on a request that was answered with an error; not every server answers in JSON."""
    try:
        error = _problem(text).error
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        error = None
    if status == 413 or (status == 400 and error):  # too large, or one action in it cannot be parsed
        kind = Fate.TOO_MUCH if count > 1 else Fate.REFUSED
        return Verdict(kind, *_why(status, error))
    verdict = judge(status, error)
    return verdict if verdict.fate is Fate.BUSY else Verdict(Fate.FAILED, *_why(status, error))


def judge(status: int, error: _Error | None) -> Verdict:
    """The verdict on one document."""
    if 200 <= status < 300:
        return INDEXED
    if status == 409:
        return DUPLICATE
    if status == 429 or status >= 500 or (status == 403 and error and (error.type or "").endswith("block_exception")):
        return Verdict(Fate.BUSY, *_why(status, error))
    mendable = error and (error.type in MENDABLE_TYPES or MENDABLE.match(error.reason or ""))
    return Verdict(Fate.REFUSED if status in {400, 413} and not mendable else Fate.FAILED, *_why(status, error))


def _why(status: int, error: _Error | None) -> tuple[str, dict[str, str]]:
    """The error for people, and as a rescued document shows it: status, the server's type, the field or the limit that it names."""
    error = error or _Error()
    kind = error.type or "without a type"
    shown = {"status": str(status), "type": kind}
    for reason in (error.reason, error.caused_by and error.caused_by.reason):
        for pattern in (FIELD, LIMIT):
            match = pattern.match(reason or "")
            shown |= {name: found for name, found in match.groupdict().items() if found} if match else {}
    return f"{status} {kind}", shown
