"""Emulate API Gateway: an HTTP API with the template's routes and payload format 2.0.

Web pages must not call this API, so requests with a foreign `Host` or `Origin` are refused.

Differences from AWS:
- There is no authorisation (the template asks for a signature), no throttling and no CORS. Cookies
  and query parameters are not parsed.
- A body needs a Content-Length, and may have at most 10 MiB (Lambda accepts 6 MB).
- A function gets one request at a time, and the other requests wait.
- Python's server answers with status 501 if the method is none of GET, HEAD, POST, PUT, PATCH,
  DELETE and OPTIONS.
- Text that is not UTF-8 reaches the function base64-encoded, and the function refuses it. It was
  not tested how a real HTTP API treats such text.
"""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final
from urllib.parse import unquote, urlsplit
from uuid import uuid4

from local.runtime import FunctionFailed

LOOPBACK: Final = ("127.0.0.1", "localhost")
MAX_BODY_BYTES: Final = 10 * 1024 * 1024
TEXT_TYPES: Final = ("text/", "application/json", "application/xml", "application/javascript")
LENGTH_REQUIRED: Final = (411, {"message": "Length Required"})
BAD_REQUEST: Final = (400, {"message": "Bad Request"})
FOREIGN: Final = (
    403,
    {
        "message": "Forbidden: only programs and pages of this machine may send requests, "
        "and only to 127.0.0.1 or localhost"
    },
)
NOT_FOUND: Final = (404, {"message": "Not Found"})
TOO_LARGE: Final = (413, {"message": "Request Entity Too Large"})
FAILED: Final = (500, {"message": "Internal Server Error"})
TIMED_OUT: Final = (503, {"message": "Service Unavailable"})

Route = tuple[str, str]
Invoke = Callable[[dict[str, Any]], Any]
Own = tuple[int, dict[str, str]]  # status and JSON body of an answer that the gateway makes itself
Answer = tuple[int, dict[str, str], bytes]


def gateway(port: int, routes: dict[Route, Invoke]) -> ThreadingHTTPServer:
    """Return a server on 127.0.0.1:`port` that calls `routes[method, path]` with HTTP API events.

    Call `serve_forever` to run the server.
    """

    class Gateway(Handler):
        def answer(self) -> None:
            refusal = refused(self.headers)
            if refusal:
                return self.refuse(refusal)
            length = self.headers.get("content-length", "0")
            body = self.rfile.read(int(length))
            headers = {
                name.lower(): ",".join(self.headers.get_all(name, [])) for name in self.headers
            }
            return self.respond(*call(routes, self.command, self.path, headers, body))

        def refuse(self, answer: Own) -> None:
            """Answer without reading the body. The unread body forces the connection to close."""
            self.close_connection = True
            status, headers, body = _own(answer)
            self.respond(status, headers | {"connection": "close"}, body)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = do_OPTIONS = answer  # noqa: N815

    return server(port, Gateway)


class Handler(BaseHTTPRequestHandler):
    """Handles the requests of one connection, and writes no access log."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # sends the body before the headers are acknowledged

    def respond(self, status: int, headers: dict[str, str], body: bytes) -> None:
        """Send an answer. The answer to a HEAD request has no body."""
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    # the base class defines the name `format`
    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002
        """Write nothing."""


def server(port: int, handler: type[Handler]) -> ThreadingHTTPServer:
    """Return a server on 127.0.0.1:`port`. Call `serve_forever` to run it."""
    made = ThreadingHTTPServer(("127.0.0.1", port), handler)
    made.daemon_threads = True
    return made


def refused(headers: Message) -> Own | None:
    """Return the answer if the headers are a reason to refuse the request, otherwise None."""
    length = headers.get("content-length", "0")
    if foreign(headers.get_all("host", []), headers.get_all("origin", [])):
        return FOREIGN
    if "transfer-encoding" in headers:
        return LENGTH_REQUIRED
    if not (length.isascii() and length.isdigit()):
        return BAD_REQUEST
    return TOO_LARGE if len(length) > 18 or int(length) > MAX_BODY_BYTES else None


def foreign(hosts: list[str], origins: list[str]) -> bool:
    """Return whether `Host` and `Origin` show that a foreign web page sent the request.

    A browser on this machine can show a foreign page. Such a page can submit a form here without a
    preflight request, but the browser then sends the page's `Origin`. If the page's domain name
    resolves to 127.0.0.1 (DNS rebinding), the browser sends this name as `Host`. Programs send no
    `Origin`.
    """
    return (
        len(hosts) != 1
        or not _is_ours(hosts[0])
        or any(origin != f"http://{hosts[0]}" for origin in origins)
    )


def _is_ours(host: str) -> bool:
    name, _, port = host.partition(":")
    return name.lower() in LOOPBACK and (port.isdecimal() or not port)


def call(
    routes: dict[Route, Invoke], method: str, target: str, headers: dict[str, str], body: bytes
) -> Answer:
    """Return the answer to one request.

    If a route matches and its function succeeds, the answer comes from the function. Otherwise the
    answer comes from the gateway itself.
    """
    route = (method, urlsplit(target).path)
    if route not in routes:
        return _own(NOT_FOUND)
    try:
        return http_answer(routes[route](http_event(route, target, headers, body)))
    except FunctionFailed as problem:
        return _own(TIMED_OUT if problem.kind == "Sandbox.Timedout" else FAILED)


def http_event(route: Route, target: str, headers: dict[str, str], body: bytes) -> dict[str, Any]:
    """Return a request in HTTP API payload format 2.0.

    Header names are in lower case. A body without a text content type is encoded as base64.
    """
    method, path = route
    is_text = headers.get("content-type", "").startswith(TEXT_TYPES) and _is_utf8(body)
    event: dict[str, Any] = {
        "version": "2.0",
        "routeKey": f"{method} {path}",
        "rawPath": unquote(path),
        "rawQueryString": urlsplit(target).query,
        "headers": headers,
        "requestContext": {
            "accountId": "anonymous",
            "apiId": "local",
            "http": {
                "method": method,
                "path": path,
                "protocol": "HTTP/1.1",
                "sourceIp": "127.0.0.1",
                "userAgent": headers.get("user-agent", ""),
            },
            "requestId": uuid4().hex,
            "routeKey": f"{method} {path}",
            "stage": "$default",
            "time": datetime.now(UTC).strftime("%d/%b/%Y:%H:%M:%S +0000"),
            "timeEpoch": time.time_ns() // 1_000_000,
        },
        "isBase64Encoded": bool(body) and not is_text,
    }
    if body:
        event["body"] = body.decode() if is_text else base64.b64encode(body).decode()
    return event


def http_answer(result: Any) -> Answer:
    """Turn a function's answer in payload format 2.0 into status, headers and body."""
    if not isinstance(result, dict) or "statusCode" not in result:
        return 200, {"content-type": "application/json"}, json.dumps(result).encode()
    body = result.get("body") or ""
    content = base64.b64decode(body) if result.get("isBase64Encoded") else body.encode()
    headers = {name.lower(): value for name, value in (result.get("headers") or {}).items()}
    return result["statusCode"], {"content-type": "text/plain;charset=UTF-8"} | headers, content


def _own(answer: Own) -> Answer:
    """Turn one of the gateway's own answers into status, headers and body."""
    status, body = answer
    return status, {"content-type": "application/json"}, json.dumps(body).encode()


def _is_utf8(body: bytes) -> bool:
    try:
        body.decode()
    except UnicodeDecodeError:
        return False
    return True
