from __future__ import annotations

import json
import logging
import signal
import sys
import threading
import zlib
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NoReturn
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import settings
from msgspec import Raw
from opensearchpy import RequestsHttpConnection

from shipper.back_off import RetryBudget
from shipper.client import connect
from shipper.decode import LogEvent, Payload
from shipper.document import Document, Rules, documents

settings.register_profile("unit", deadline=None)  # the machine may be busy
settings.load_profile("unit")

INDEX = "cwl-log-2026.11.23"
NOON = 1795435200123  # 2026-11-23T12:00:00.123Z
TEXT = "The boy is sitting on a bench"
LONGEST_ID = 512


def forget_handler(module: str, service: str) -> None:
    """Remove a handler's module and its Powertools logger, if an earlier test imported the handler.

    The logger would still write to the `sys.stdout` of the earlier import.
    """
    sys.modules.pop(module, None)
    logging.root.manager.loggerDict.pop(service, None)


@contextmanager
def at_most(seconds: float) -> Iterator[None]:
    """Fail a test that takes more processor time than `seconds`.

    A signal ends the code, even in the middle of a regular expression.
    """

    def late(*_: object) -> NoReturn:
        raise AssertionError(f"more than {seconds:g} s of processor time")

    before = signal.signal(signal.SIGVTALRM, late)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


@dataclass(frozen=True)
class Context:
    """The context that Lambda passes to a handler."""

    milliseconds: int = 900_000
    function_name: str = "AFunction"
    memory_limit_in_mb: str = "1024"
    invoked_function_arn: str = "arn:aws:lambda:us-east-1:000000000000:function:AFunction"
    aws_request_id: str = "8f5ad1e0"

    def get_remaining_time_in_millis(self) -> int:
        return self.milliseconds


@dataclass(frozen=True)
class Request:
    method: str
    target: str
    headers: dict[str, str]
    raw: bytes

    @property
    def body(self) -> bytes:
        return (
            zlib.decompress(self.raw, 16 + zlib.MAX_WBITS)
            if self.headers.get("content-encoding") == "gzip"
            else self.raw
        )

    @property
    def ids(self) -> list[str]:
        return [json.loads(action)["create"]["_id"] for action in self.body.split(b"\n")[:-1:2]]


@dataclass(frozen=True)
class Answer:
    """The answer to a whole request.

    With `lost`, the server indexes the documents, but the client gets no answer. The answer comes
    after `delay` seconds, or at the end of the test if that is earlier.
    """

    status: int
    content_type: str
    body: bytes
    headers: tuple[tuple[str, str], ...] = ()
    delay: float = 0
    lost: bool = False


CLOSE = Answer(0, "", b"")
LOST = Answer(0, "", b"", lost=True)


@dataclass(frozen=True)
class Refusal:
    """The refusal of one document. As in OpenSearch, the reason quotes the refused value."""

    status: int
    kind: str
    reason: str = (
        "failed to parse field [n] of type [float] in document with id '1'. "
        f"Preview of field's value: '{TEXT}'"
    )
    cause: str | None = f'For input string: "{TEXT}"'


UNPARSED = Refusal(400, "mapper_parsing_exception")
REJECTED = Refusal(
    429,
    "opensearch_rejected_execution_exception",
    "rejected execution of coordinating operation",
    None,
)
CONFLICT = Refusal(
    409,
    "version_conflict_engine_exception",
    "[1]: version conflict, document already exists (current version [1])",
    None,
)


@dataclass
class Bulk:
    """The state of a server that imitates OpenSearch's `_bulk`.

    `answers` has the answers to the first requests, and `always` is the answer to all later ones.
    None stands for the server's usual answer.

    The keys of `refuse` and `scripts` are document ids. A document in `refuse` is always refused.
    For a document in `scripts`, the list has the result of each of its first attempts: a refusal,
    or None if the document is accepted. A body of more than `limit` bytes is too large.
    """

    url: str = ""
    documents: dict[tuple[str, str], bytes] = field(default_factory=dict)
    requests: list[Request] = field(default_factory=list)
    refuse: dict[str, Refusal] = field(default_factory=dict)
    scripts: dict[str, deque[Refusal | None]] = field(default_factory=dict)
    answers: deque[Answer | None] = field(default_factory=deque)
    always: Answer | None = None
    limit: int | None = None
    counted: int = 0
    ended: threading.Event = field(default_factory=threading.Event)

    @property
    def ids(self) -> list[str]:
        return [identifier for _, identifier in self.documents]

    def source(self, identifier: str) -> Any:
        (found,) = [source for (_, each), source in self.documents.items() if each == identifier]
        return json.loads(found)

    def forget(self) -> None:
        for kept in (self.documents, self.requests, self.refuse, self.scripts, self.answers):
            kept.clear()
        self.always = self.limit = None

    def answer(self, request: Request) -> Answer:
        # The shipper asks how many documents come from the function that the AWS console generates.
        if urlsplit(request.target).path.endswith("/_count"):
            return as_json(200, {"count": self.counted})
        self.requests.append(request)
        given = self.answers.popleft() if self.answers else self.always
        if given:
            self.ended.wait(given.delay)
            if given.lost:
                self._answer(request)
            return given
        return self._answer(request)

    def _answer(self, request: Request) -> Answer:
        target = urlsplit(request.target)  # an absolute URL if a test uses this server as its proxy
        if (request.method, target.path) != ("POST", "/_bulk"):
            return as_json(
                405, {"error": f"no handler for {request.method} {target.path}", "status": 405}
            )
        if request.headers.get("content-type") != "application/x-ndjson":
            return as_json(406, {"error": "Content-Type header is not supported", "status": 406})
        if self.limit is not None and len(request.body) > self.limit:
            return Answer(413, "text/plain", b"")
        lines = request.body.split(b"\n")
        if lines.pop():
            return as_json(
                400,
                problem(
                    "illegal_argument_exception",
                    "The bulk request must be terminated by a newline [\\n]",
                ),
            )
        actions = [json.loads(action)["create"] for action in lines[::2]]
        for number, action in enumerate(actions, start=1):
            if len(action["_id"]) > LONGEST_ID:
                reason = (
                    f"Validation Failed: {number}: id [{action['_id']}] is too long, "
                    "must be no longer than 512 bytes but was: 513;"
                )
                return as_json(400, problem("action_request_validation_exception", reason))
        items = [
            self._create(action, source)
            for action, source in zip(actions, lines[1::2], strict=True)
        ]
        result = {
            "took": 1,
            "errors": any(item["create"]["status"] >= 300 for item in items),
            "items": items,
        }
        paths = parse_qs(target.query).get("filter_path")
        return as_json(
            200,
            _filtered(result, [path.split(".") for path in paths[0].split(",")])
            if paths
            else result,
        )

    def _create(self, action: dict[str, str], source: bytes) -> dict[str, Any]:
        json.loads(source)
        key = action["_index"], action["_id"]
        script = self.scripts.get(key[1])
        refusal = script.popleft() if script else self.refuse.get(key[1])
        if refusal is None and key in self.documents:
            refusal = CONFLICT
        if refusal is None:
            self.documents[key] = source
            return {
                "create": {
                    **action,
                    "_version": 1,
                    "result": "created",
                    "_seq_no": 1,
                    "_primary_term": 1,
                    "status": 201,
                }
            }
        return {
            "create": {
                **action,
                "status": refusal.status,
                "error": _error(refusal.kind, refusal.reason, refusal.cause),
            }
        }


def as_json(status: int, body: Any) -> Answer:
    """Return an answer with compact JSON, as OpenSearch writes it."""
    return Answer(
        status, "application/json; charset=UTF-8", json.dumps(body, separators=(",", ":")).encode()
    )


def problem(kind: str, reason: str, status: int = 400) -> dict[str, Any]:
    """Return the answer's body if a whole request fails. `filter_path` does not change it."""
    error = _error(kind, reason, None)
    return {"error": {"root_cause": [error], **error}, "status": status}


def _error(kind: str, reason: str, cause: str | None) -> dict[str, Any]:
    caused_by = (
        {"caused_by": {"type": "illegal_argument_exception", "reason": cause}}
        if cause is not None
        else {}
    )
    return {"type": kind, "reason": reason, **caused_by}


def _filtered(value: Any, paths: list[list[str]]) -> Any:
    """Return the part of a value that `filter_path` keeps. In a list, each element is filtered."""
    if isinstance(value, list):
        return [_filtered(element, paths) for element in value]
    left = {}
    for name, inner in value.items() if isinstance(value, dict) else ():
        below = [path[1:] for path in paths if path[0] in {"*", name}]
        if below and ([] in below or isinstance(inner, dict | list)):
            left[name] = inner if [] in below else _filtered(inner, below)
    return left


@dataclass
class Clock:
    """A clock that advances only in `sleep`.

    `pauses` has the length of each pause in seconds. `bounds` has the two bounds between which
    `chance` chose this length.
    """

    now: float = 1000.0
    pauses: list[float] = field(default_factory=list)
    bounds: list[tuple[float, float]] = field(default_factory=list)
    share: float = 1.0  # where `chance` chooses: 0 is the lower bound, 1 is the upper

    def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds

    def chance(self, low: float, high: float) -> float:
        self.bounds.append((low, high))
        return low + self.share * (high - low)

    def budget(self, seconds: float) -> RetryBudget:
        return RetryBudget(self.now + seconds, lambda: self.now, self.sleep, self.chance)


def made(*ids: str, size: int = 0, text: str = TEXT) -> list[Document]:
    """Return the documents that the shipper makes from lines with JSON objects."""
    line = json.dumps({"text": text, "filling": "x" * size})
    events = [LogEvent(identifier, NOON, Raw(json.dumps(line).encode())) for identifier in ids]
    return list(
        documents(
            Payload("DATA_MESSAGE", "123456789012", "group", "stream", events),
            Rules(),
            Counter(),
            now=0,
        )
    )


@pytest.fixture
def bulk(monkeypatch: pytest.MonkeyPatch) -> Iterator[Bulk]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    state = Bulk()
    with ThreadingHTTPServer(("127.0.0.1", 0), _handler(state.answer)) as server:
        state.url = f"http://127.0.0.1:{server.server_port}"
        # a daemon, so that a failed test does not keep the process running
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield state
        state.ended.set()
        server.shutdown()
        thread.join()


def _handler(answer_to: Callable[[Request], Answer]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def handle(self) -> None:
            with suppress(ConnectionError):  # the client may have closed the connection
                super().handle()

        def take(self) -> None:
            headers = {name.lower(): value for name, value in self.headers.items()}
            raw = self.rfile.read(int(headers.get("content-length", "0")))
            answer = answer_to(Request(self.command, self.path, headers, raw))
            if not answer.status:
                self.close_connection = True
                return
            self.send_response(answer.status)
            own = {"content-type": answer.content_type, "content-length": str(len(answer.body))}
            for name, value in (own | dict(answer.headers)).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(answer.body)

        # the base class defines the name `format`
        def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002
            pass

        do_GET = do_HEAD = do_POST = do_PUT = take  # noqa: N815

    return Handler


@pytest.fixture
def connection(bulk: Bulk) -> Iterator[RequestsHttpConnection]:
    found = connect(bulk.url, {})
    yield found
    found.close()
