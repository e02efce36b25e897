from __future__ import annotations

import json
import threading
import zlib
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import settings
from opensearchpy import OpenSearch

from shipper.client import client

settings.register_profile("unit", deadline=None)  # the machine may be busy
settings.load_profile("unit")


@dataclass(frozen=True)
class Request:
    method: str
    target: str
    headers: dict[str, str]
    raw: bytes


@dataclass(frozen=True)
class Answer:
    status: int
    content_type: str
    body: bytes


CLOSE = Answer(0, "", b"")


@dataclass
class Bulk:
    """A server that answers like OpenSearch's _bulk; `answers` come first, one a request, and `refuse` fails documents by id."""

    url: str = ""
    documents: dict[tuple[str, str], bytes] = field(default_factory=dict)
    requests: list[Request] = field(default_factory=list)
    refuse: dict[str, tuple[int, str]] = field(default_factory=dict)
    answers: deque[Answer] = field(default_factory=deque)

    def answer(self, request: Request) -> Answer:
        self.requests.append(request)
        if self.answers:
            return self.answers.popleft()
        target = urlsplit(request.target)  # absolute where this server plays a proxy
        if (request.method, target.path) != ("POST", "/_bulk"):
            return _json(405, {"error": f"no handler for {request.method} {target.path}", "status": 405})
        if request.headers.get("content-type") != "application/x-ndjson":
            return _json(406, {"error": "Content-Type header is not supported", "status": 406})
        body = zlib.decompress(request.raw, 16 + zlib.MAX_WBITS) if request.headers.get("content-encoding") == "gzip" else request.raw
        lines = body.split(b"\n")
        if lines.pop():
            reason = "The bulk request must be terminated by a newline [\\n]"
            return _json(400, {"error": {"type": "illegal_argument_exception", "reason": reason}, "status": 400})
        items = [self._create(json.loads(action)["create"], source) for action, source in zip(lines[::2], lines[1::2], strict=True)]
        result = {"took": 1, "errors": any(item["create"]["status"] >= 300 for item in items), "items": items}
        paths = parse_qs(target.query).get("filter_path")
        return _json(200, _filtered(result, [path.split(".") for path in paths[0].split(",")]) if paths else result)

    def _create(self, action: dict[str, str], source: bytes) -> dict[str, Any]:
        json.loads(source)
        key = action["_index"], action["_id"]
        status, kind = self.refuse.get(key[1]) or ((409, "version_conflict_engine_exception") if key in self.documents else (201, ""))
        if status == 201:
            self.documents[key] = source
            return {"create": {**action, "status": status, "result": "created"}}
        # the real one's reason holds a preview of the value that it could not take
        return {"create": {**action, "status": status, "error": {"type": kind, "reason": f"Preview of field's value: {source.decode()}"}}}


def _json(status: int, body: Any) -> Answer:
    return Answer(status, "application/json; charset=UTF-8", json.dumps(body).encode())


def _filtered(value: Any, paths: list[list[str]]) -> Any:
    """What OpenSearch's filter_path leaves; lists are transparent to it."""
    if isinstance(value, list):
        return [_filtered(element, paths) for element in value]
    left = {}
    for name, inner in value.items() if isinstance(value, dict) else ():
        below = [path[1:] for path in paths if path[0] in {"*", name}]
        if below:
            left[name] = inner if [] in below else _filtered(inner, below)
    return left


@pytest.fixture
def bulk(monkeypatch: pytest.MonkeyPatch) -> Iterator[Bulk]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    state = Bulk()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def take(self) -> None:
            headers = {name.lower(): value for name, value in self.headers.items()}
            raw = self.rfile.read(int(headers.get("content-length", "0")))
            answer = state.answer(Request(self.command, self.path, headers, raw))
            if answer is CLOSE:
                self.close_connection = True
                return
            self.send_response(answer.status)
            self.send_header("content-type", answer.content_type)
            self.send_header("content-length", str(len(answer.body)))
            self.end_headers()
            self.wfile.write(answer.body)

        def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002  the base class names it
            pass

        do_GET = do_HEAD = do_POST = do_PUT = take  # noqa: N815

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        state.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield state
        server.shutdown()
        thread.join()


@pytest.fixture
def opensearch(bulk: Bulk) -> Iterator[OpenSearch]:
    found = client(bulk.url, "us-east-1")
    yield found
    found.close()
