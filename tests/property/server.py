"""A test server that imitates OpenSearch's _bulk on a real socket, and misbehaves at random."""

from __future__ import annotations

import gzip
import json
import random
import socket
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from enum import Enum, auto
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final, NamedTuple

ENVELOPE: Final = {
    "@id",
    "@timestamp",
    "@delay_ms",
    "@position",
    "@message",
    "@owner",
    "@log_group",
    "@log_stream",
    "@kind",
    "@rescued",
}
HOLD_SECONDS: Final = 0.2  # longer than the shipper waits in these tests
CREATED: Final = 201
CONFLICT: Final = 409
UNAVAILABLE: Final = 503


class Fault(Enum):
    """The faults that concern a whole request."""

    CLOSED = auto()  # the connection is closed before the request is read
    LATE = auto()  # documents are stored at once, but the answer comes too late
    LATER = auto()  # documents are stored only when the client has given up
    CUT = auto()  # documents are stored, but there is no answer
    CUT_SHORT = auto()  # some documents are stored, and there is no answer
    TORN = auto()  # documents are stored, but only a part of the answer is sent
    UNREADABLE = auto()  # documents are stored, but the answer is 200 with nonsense
    REFUSED = auto()  # no document is stored, and the answer is an error


class Reply(NamedTuple):
    """An answer, which is sent after `hold` seconds.

    The connection is cut after `sent` bytes of the content. If `sent` is None, the whole content is
    sent.
    """

    status: int
    kind: str
    content: bytes
    hold: float = 0.0
    sent: int | None = None


# A document's key (its index and its id), and its fields. The fields are None if no parser accepts
# them.
Document = tuple[tuple[str, str], dict[str, Any] | None]
ERRORS: Final = (
    Reply(429, "text/plain", b"429 Too Many Requests /_bulk"),
    Reply(
        429,
        "application/json",
        b'{"error":{"type":"rejected_execution_exception","reason":"full"},"status":429}',
    ),
    Reply(502, "text/html", b"<html>Bad Gateway</html>"),
    Reply(
        503,
        "application/json",
        b'{"error":{"type":"cluster_block_exception","reason":"no master"},"status":503}',
    ),
    Reply(503, "application/json", b'"Service Unavailable"'),
    Reply(504, "text/plain", b""),
    Reply(400, "text/plain", b"Bad Request"),
    Reply(
        403,
        "application/json",
        b'{"error":{"type":"security_exception","reason":"no permissions"},"status":403}',
    ),
    Reply(404, "application/json", b'{"error":"no handler","status":404}'),
)
NONSENSE: Final = (
    b"", b"OK", b"{", b"{}", b"[]", b"null", b'{"items":[]}',
    b'{"items":[{"create":{"status":201}}]}x', b'{"items":[{"create":{}}]}',
    b'{"items":{"create":{"status":201}}}', b"<html>fine</html>", b"\xff\xfe", b"[" * 100_000,
    b'{"items":[{"index":{"status":201}}]}',
)  # fmt: skip
BUSY_ITEMS: Final = (
    (429, "opensearch_rejected_execution_exception"),
    (429, "cluster_block_exception"),
    (503, "unavailable_shards_exception"),
    (403, "cluster_block_exception"),
    (403, "security_exception"),
    (404, "index_not_found_exception"),
)


@dataclass(frozen=True)
class Behaviour:
    """The behaviour of the server.

    `troubled` is the share of requests with one of `faults`, and `busy` is the share of documents
    that are refused for now. `limit` is the size of the largest uncompressed body. `seed` makes the
    random choices repeatable.

    Three sets contain ids of documents. If an id is in `refused`, the server never accepts the
    document's fields. If it is in `strict`, the server never accepts the field `@rescued` of
    the document. If it is in `unparsable`, the document's fields make the whole request fail.
    """

    seed: int = 0
    troubled: float = 0.0
    busy: float = 0.0
    faults: tuple[Fault, ...] = tuple(Fault)
    limit: int = 10_000_000
    refused: frozenset[str] = frozenset()
    strict: frozenset[str] = frozenset()
    unparsable: frozenset[str] = frozenset()


class Doubled(ValueError):
    """A JSON object has the same name twice."""


@dataclass
class World:
    """One index, and the history of its requests.

    `ease` makes temporary faults rarer, and `heal` ends them. Permanent refusals stay.

    - `stored` counts the documents that were added to the index.
    - `lessened` counts the stored documents that probably lack fields, because their ids
      are in `never`, or because they have the field `@rescued`.
    - `told` has a count of documents for each status. Only answers that were sent in full and in
      time are counted.
    - `closed` counts the connections that were closed before the request was read.
    - `untold` counts the requests that were read, but not answered in full and in time.
    - `never` holds the ids of documents that were permanently refused when they had all their
      fields.
    - `failed_alone` holds the ids of documents that got the status 503 in a request without other
      documents. The shipper then sends such a document without its fields. If the server accepts
      this shorter form, the shipper does not try to send the fields again.
    - `wrong` describes mistakes of the client, and errors of this server.
    """

    behaviour: Behaviour
    index: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    stored: int = 0
    lessened: int = 0
    told: Counter[int] = field(default_factory=Counter)
    closed: int = 0
    untold: int = 0
    never: set[str] = field(default_factory=set)
    failed_alone: set[str] = field(default_factory=set)
    wrong: list[str] = field(default_factory=list)
    healed: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self._chance = random.Random(self.behaviour.seed)  # noqa: S311

    def ease(self) -> None:
        self.behaviour = replace(
            self.behaviour, troubled=self.behaviour.troubled / 2, busy=self.behaviour.busy / 4
        )

    def heal(self) -> None:
        self.healed.set()

    def before(self) -> Fault | None:
        """Choose and count the fault of the next request."""
        with self._lock:
            if self.healed.is_set() or self._chance.random() >= self.behaviour.troubled:
                return None
            fault = self._chance.choice(self.behaviour.faults)
            self.closed += fault is Fault.CLOSED
            self.untold += fault not in {Fault.CLOSED, Fault.REFUSED}
            return fault

    def answer(self, content: bytes, fault: Fault | None) -> Reply:
        """Store the accepted documents, and return the answer to the client."""
        if fault is Fault.LATER:
            self.healed.wait(HOLD_SECONDS)
        with self._lock:
            if fault is Fault.REFUSED:
                return self._chance.choice(ERRORS)
            documents = self._documents(content)
            refusal = self._refusal(content, documents)
            if refusal:
                return refusal
            if fault is Fault.CUT_SHORT:
                documents = documents[: self._chance.randrange(len(documents) + 1)]
            items = [self._create(key, source) for key, source in documents]
            if len(items) == 1 and items[0]["create"]["status"] >= UNAVAILABLE:
                self.failed_alone.add(documents[0][0][1])
            if fault is None:
                self.told.update(item["create"]["status"] for item in items)
            return self._spoiled(
                Reply(
                    200,
                    "application/json",
                    json.dumps({"items": items}, separators=(",", ":")).encode(),
                ),
                fault,
            )

    def _spoiled(self, reply: Reply, fault: Fault | None) -> Reply:
        """Return the answer that the client gets because of the fault."""
        match fault:
            case Fault.CUT | Fault.CUT_SHORT:
                return reply._replace(sent=0)
            case Fault.TORN:
                return reply._replace(sent=self._chance.randrange(1, len(reply.content)))
            case Fault.UNREADABLE:
                return reply._replace(content=self._chance.choice(NONSENSE))
            case Fault.LATE | Fault.LATER:
                return reply._replace(hold=HOLD_SECONDS)
        return reply

    def _documents(self, content: bytes) -> list[Document]:
        lines = content.split(b"\n")
        if lines.pop() or not lines or len(lines) % 2:
            self.wrong.append(f"not a bulk body: {content[:200]!r}")
            return []
        return [
            self._read(action, source)
            for action, source in zip(lines[::2], lines[1::2], strict=True)
        ]

    def _read(self, action: bytes, source: bytes) -> Document:
        """Return a document's key and its fields. The fields are None if they cannot be parsed.

        Mistakes of the client are added to `wrong`. A duplicate name is no mistake.
        """
        try:
            [(kind, target)] = json.loads(action).items()
            key = target["_index"], target["_id"]
            if kind != "create" or not 0 < len(key[1].encode()) <= 512:
                self.wrong.append(f"not an action: {action[:200]!r}")
        except (ValueError, KeyError, AttributeError):
            self.wrong.append(f"not an action: {action[:200]!r}")
            return ("", ""), None
        try:
            return key, json.loads(source, object_pairs_hook=_single, parse_constant=_refuse)
        except Doubled:
            return key, None
        except ValueError:
            self.wrong.append(f"not JSON: {source[:200]!r}")
            return key, None

    def _refusal(self, content: bytes, documents: list[Document]) -> Reply | None:
        """Return the answer to a request that is too large or has an unparsable document."""
        spoiled = [
            key
            for key, source in documents
            if key[1] in self.behaviour.unparsable and _has_fields(source)
        ]
        too_large = len(content) > self.behaviour.limit
        if len(documents) == 1 and (too_large or spoiled) and _has_fields(documents[0][1]):
            self.never.add(documents[0][0][1])
        if too_large:
            return Reply(
                413,
                "application/json",
                self._chance.choice([b"", b'{"Message":"Request size exceeded 10485760 bytes"}']),
            )
        reason = (
            b'{"error":{"type":"illegal_argument_exception",'
            b'"reason":"Malformed action/metadata line [1]"},"status":400}'
        )
        return Reply(400, "application/json", reason) if spoiled else None

    def _create(self, key: tuple[str, str], source: dict[str, Any] | None) -> dict[str, Any]:
        identifier = key[1]
        if not self.healed.is_set() and self._chance.random() < self.behaviour.busy:
            status, kind = self._chance.choice(BUSY_ITEMS)
            return _item(status, kind, "not now")
        if source is None:
            self.never.add(identifier)
            return _item(
                400,
                "mapper_parsing_exception",
                "failed to parse",
                'Duplicate Object property "marker"\n at [Source: REDACTED]',
            )
        if identifier in self.behaviour.refused and "marker" in source:
            self.never.add(identifier)
            reason = (
                "failed to parse field [marker] of type [long] in document with id "
                f"'{identifier}'. Preview of field's value: 'secret'"
            )
            return _item(400, "mapper_parsing_exception", reason)
        if identifier in self.behaviour.strict and "@rescued" in source:
            return _item(
                400,
                "mapper_parsing_exception",
                "object mapping for [@rescued] tried to parse field [@rescued] as object",
            )
        if key in self.index:
            return _item(CONFLICT, "version_conflict_engine_exception", "document already exists")
        self.index[key] = source
        self.stored += 1
        self.lessened += identifier in self.never or "@rescued" in source
        return {"create": {"status": CREATED}}


def _has_fields(source: dict[str, Any] | None) -> bool:
    return source is None or bool(source.keys() - ENVELOPE)


def _item(status: int, kind: str, reason: str, cause: str | None = None) -> dict[str, Any]:
    error: dict[str, Any] = {"type": kind, "reason": reason} | (
        {"caused_by": {"reason": cause}} if cause else {}
    )
    return {"create": {"status": status, "error": error}}


def _single(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise Doubled
    return found


def _refuse(constant: str) -> None:
    raise ValueError(constant)


class Server(ThreadingHTTPServer):
    """Serves one world after the other. A request belongs to the world in which it began."""

    daemon_threads = True
    request_queue_size = 100

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.world = World(Behaviour())
        self.url = f"http://127.0.0.1:{self.server_port}"

    # the base class chose the names of the arguments
    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002
        """Ignore a lost connection. Any other exception is an error of this server."""
        problem = sys.exception()
        if not isinstance(problem, ConnectionError):
            self.world.wrong.append(f"the server failed: {problem!r}")


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # otherwise each answer takes 40 ms
    server: Server

    def do_POST(self) -> None:
        world = self.server.world
        # The shipper asks for earlier documents. There are none.
        if self.path.partition("?")[0].endswith("/_count"):
            self.rfile.read(int(self.headers["content-length"]))
            self._reply(Reply(200, "application/json", b'{"count":0}'))
            return
        fault = world.before()
        if fault is Fault.CLOSED:
            self._cut()
            return
        raw = self.rfile.read(int(self.headers["content-length"]))
        if (
            self.path.partition("?")[0] != "/_bulk"
            or self.headers["content-type"] != "application/x-ndjson"
        ):
            world.wrong.append(f"not a bulk request: {self.path} {self.headers['content-type']}")
        content = gzip.decompress(raw) if self.headers.get("content-encoding") == "gzip" else raw
        reply = world.answer(content, fault)
        if reply.hold:
            world.healed.wait(reply.hold)
        self._reply(reply)

    def _reply(self, reply: Reply) -> None:
        if reply.sent == 0:
            self._cut()
            return
        self.send_response(reply.status)
        self.send_header("content-type", reply.kind)
        self.send_header("content-length", str(len(reply.content)))
        self.end_headers()
        self.wfile.write(reply.content[: reply.sent])
        if reply.sent:
            self.wfile.flush()
            self._cut()

    def _cut(self) -> None:
        self.close_connection = True
        with suppress(OSError):  # the client may have closed the connection already
            self.connection.shutdown(socket.SHUT_RDWR)

    # the base class chose the names of the arguments
    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002
        pass


@contextmanager
def serving() -> Iterator[Server]:
    with Server() as server:
        # A daemon thread does not keep the process alive after a failure.
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()
