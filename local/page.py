"""The page of `make serve`: what arrived and what was judged, in a browser of this machine.

As at the API, requests of a foreign `Host` or `Origin` are refused.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import requests

from local.gateway import foreign
from report.page import Live, policy, render
from report.read import read, span
from report.since import length
from tools.errors import UserError
from tools.ports import taken

SPANS: Final = {"15m": "15 minutes", "1h": "1 hour", "24h": "24 hours", "7d": "7 days"}
FRESH_SECONDS: Final = 2.0  # for which one answer serves every viewer
TRIED: Final = 100  # ports, where none is given
KEPT: Final = 8  # spans whose answer is kept
HEADERS: Final = {
    "content-type": "text/html; charset=utf-8",
    "cache-control": "no-store",
    "content-security-policy": policy(),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
}
PLAIN: Final = HEADERS | {"content-type": "text/plain; charset=utf-8"}

Search = Callable[[dict[str, Any]], dict[str, Any]]
Answer = tuple[int, dict[str, str], str]


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(slots=True)
class Page:
    """The page of what `search` finds of a stack, made anew when it is two seconds old.

    `messages` are problems and `notes` are facts that stand below; `now` is the end of the time
    shown, and `first` its length where none is asked for.
    """

    search: Search
    stack: str = ""
    messages: Callable[[], Sequence[str]] = tuple
    notes: Callable[[], Sequence[str]] = tuple
    now: Callable[[], datetime] = _now
    first: str = next(iter(SPANS))
    _made: dict[str, tuple[float, str]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def answer(self, target: str) -> Answer:
        """Return status, headers and body for the target of a request."""
        try:
            parts = urlsplit(target)
            since = parse_qs(parts.query).get("since", [self.first])[-1]
            if parts.path != "/":
                return 404, PLAIN, "The page is at /.\n"
            return 200, HEADERS, self.html(since)
        except ValueError as problem:
            return 400, PLAIN, f"{problem}\n"
        except requests.RequestException as problem:
            return 503, PLAIN, f"OpenSearch does not answer ({type(problem).__name__}).\n"

    def html(self, since: str) -> str:
        """Return the page for a length of time. Raises `ValueError`, and what `search` raises."""
        shown = span(self.now(), length(since))
        with self._lock:
            made, html = self._made.pop(since, (0.0, ""))
            if not html or time.monotonic() - made >= FRESH_SECONDS:
                links = tuple(
                    (name, "" if each == since else f"?since={each}")
                    for each, name in SPANS.items()
                )
                live = Live(links, tuple(self.messages()), tuple(self.notes()))
                html, made = render(read(self.search, shown, self.stack), live), time.monotonic()
            self._made[since] = (made, html)
            while len(self._made) > KEPT:
                self._made.pop(next(iter(self._made)))
        return html


def in_browser(page: Page, port: int | None, first: int) -> str:
    """Serve the page at `port`, or at the first free port from `first` on. Returns its address.

    Raises `UserError` where `port` is taken.
    """
    for each in [port] if port else [*range(first, min(first + TRIED, 65536)), 0]:
        try:
            made = server(each, page)
        except OSError as problem:
            if port:
                raise taken(port, "PAGE_PORT", problem) from None
        else:
            threading.Thread(target=made.serve_forever, daemon=True).start()
            return f"http://127.0.0.1:{made.server_port}"
    raise UserError("no port is free for the page: set PAGE_PORT to a free one")


def server(port: int, page: Page) -> ThreadingHTTPServer:
    """Return a server of the page on 127.0.0.1:`port`. Call its `serve_forever`."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            hosts, origins = (self.headers.get_all(name, []) for name in ("host", "origin"))
            if foreign(hosts, origins):
                self.respond(403, PLAIN, "Forbidden: only this machine may ask, at 127.0.0.1.\n")
            else:
                self.respond(*page.answer(self.path))

        do_HEAD = do_GET  # noqa: N815

        def respond(self, status: int, headers: dict[str, str], text: str) -> None:
            body = text.encode()
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        # the base class names it
        def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002
            """Write no access log."""

    made = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    made.daemon_threads = True
    return made
