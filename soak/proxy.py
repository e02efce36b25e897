"""A proxy in front of OpenSearch. It makes faults, and counts the requests that a fault strikes."""

from __future__ import annotations

import gzip
import http.client
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final, NamedTuple

from soak.faults import Fault

FORWARD_SECONDS: Final = 120.0
LARGEST: Final = 20_000  # bytes; the fault `TOO_LARGE` strikes only larger requests
# The proxy does not make these faults. It only counts the requests that they strike.
OF_THE_SERVER: Final = frozenset({Fault.KILLED, Fault.FROZEN, Fault.BLOCKED})
# The status and the body of the answers. They resemble the answers of Amazon OpenSearch Service.
REFUSALS: Final = {
    Fault.BUSY: (429, b"429 Too Many Requests /_bulk"),
    Fault.UNAVAILABLE: (503, b"<html>Service Unavailable</html>"),
    Fault.TOO_LARGE: (413, b'{"Message":"Request size exceeded 10485760 bytes"}'),
}


class Answer(NamedTuple):
    """An HTTP answer."""

    status: int
    kind: str
    content: bytes


class Proxy(ThreadingHTTPServer):
    """Forwards requests to 127.0.0.1:`port`, and makes faults.

    The faults in `OF_THE_SERVER` are made elsewhere. Each of the others strikes only a given number
    of requests. During the fault `SLOW`, an answer is held back for `hold` seconds.
    """

    daemon_threads = True
    request_queue_size = 100

    def __init__(self, port: int, hold: float) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.port = port
        self.hold = hold
        self.url = f"http://127.0.0.1:{self.server_port}"
        self._fault = Fault.CALM
        self._strikes = 0
        self._struck = 0
        self._changed = threading.Condition()

    def begin(self, fault: Fault, strikes: int) -> None:
        """Begin a fault that will strike `strikes` requests."""
        with self._changed:
            self._fault, self._strikes, self._struck = fault, strikes, 0

    def struck(self, seconds: float) -> int:
        """Wait until the fault has struck all its requests, but at most `seconds`.

        Returns how many requests the fault has struck.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._struck >= self._strikes, seconds)
            return self._struck

    def end(self) -> None:
        """End the fault."""
        self.begin(Fault.CALM, 0)

    def fault(self, size: Callable[[], int]) -> Fault:
        """Return the fault to make for a request, and count the request if it is struck.

        `size` returns the request's number of bytes.
        """
        with self._changed:
            fault = self._fault
            if fault is Fault.TOO_LARGE and size() <= LARGEST:
                return Fault.CALM
            if fault in OF_THE_SERVER or fault is Fault.CALM:
                if fault is Fault.FROZEN:
                    self._count()
                return Fault.CALM
            if self._struck >= self._strikes:
                return Fault.CALM
            self._count()
            return fault

    def failed(self) -> None:
        """Count a request that the server did not carry out."""
        with self._changed:
            if self._fault in {Fault.KILLED, Fault.BLOCKED}:
                self._count()

    def _count(self) -> None:
        self._struck += 1
        self._changed.notify_all()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Print nothing. If a client gives up, it closes its connection, and this is expected."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # otherwise each answer takes 40 ms
    server: Proxy

    def do_POST(self) -> None:
        proxy = self.server
        raw = self.rfile.read(int(self.headers["content-length"]))
        fault = Fault.CALM
        if self.path.partition("?")[0].endswith("/_bulk"):
            packed = self.headers.get("content-encoding") == "gzip"
            fault = proxy.fault(lambda: len(gzip.decompress(raw) if packed else raw))
        if fault is Fault.CUT:
            self._cut()
            return
        if fault in REFUSALS:
            status, content = REFUSALS[fault]
            self._reply(Answer(status, "text/plain", content))
            return
        try:
            answer = self._forward(raw)
        except (OSError, http.client.HTTPException):
            proxy.failed()
            self._cut()
            return
        if answer.status >= http.HTTPStatus.BAD_REQUEST or b'"error"' in answer.content:
            proxy.failed()
        if fault is Fault.SLOW:
            time.sleep(proxy.hold)
        match fault:
            case Fault.LOST:
                self._cut()
            case Fault.TORN:
                self._reply(answer, len(answer.content) // 2)
                self._cut()
            case _:
                self._reply(answer)

    def _forward(self, content: bytes) -> Answer:
        upstream = http.client.HTTPConnection(
            "127.0.0.1", self.server.port, timeout=FORWARD_SECONDS
        )
        headers = {
            name: value
            for name in ("content-type", "content-encoding")
            if (value := self.headers.get(name))
        }
        try:
            upstream.request("POST", self.path, content, headers)
            found = upstream.getresponse()
            kind = found.headers.get("content-type", "text/plain")
            return Answer(found.status, kind, found.read())
        finally:
            upstream.close()

    def _reply(self, answer: Answer, sent: int | None = None) -> None:
        self.send_response(answer.status)
        self.send_header("content-type", answer.kind)
        self.send_header("content-length", str(len(answer.content)))
        self.end_headers()
        self.wfile.write(answer.content[:sent])
        self.wfile.flush()

    def _cut(self) -> None:
        self.close_connection = True
        with suppress(OSError):  # the client has already closed the connection
            self.connection.shutdown(socket.SHUT_RDWR)

    # the parameter's name is that of the base class
    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002
        pass
