"""Serve the page of `make serve`, which shows predictions and verdicts in a browser.

Like the local API, the server refuses requests with a foreign `Host` or `Origin`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import ThreadingHTTPServer
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import requests

from local import gateway
from report.page import Live, policy, render
from report.read import read, span
from report.time_span import length
from tools.errors import UserError
from tools.ports import taken

SPANS: Final = {"15m": "15 minutes", "1h": "1 hour", "24h": "24 hours", "7d": "7 days"}
FRESH_SECONDS: Final = 2.0  # the page is made again only after this time
TRIED: Final = 100  # number of ports that are tried if PAGE_PORT is not set
KEPT: Final = 8  # number of spans whose page is kept
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

FORBIDDEN: Final[Answer] = (
    403,
    PLAIN,
    (
        "Forbidden: only programs and pages of this machine may send requests, "
        "and only to 127.0.0.1.\n"
    ),
)


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(slots=True)
class Page:
    """The page of a stack, made from the answers of `search`.

    `messages` returns problems, and `notes` returns facts to show at the end of the page. The page
    shows a span of time that ends at `now`. If a request names no span, `default_span` is shown.
    """

    search: Search
    stack: str = ""
    messages: Callable[[], Sequence[str]] = tuple
    notes: Callable[[], Sequence[str]] = tuple
    now: Callable[[], datetime] = _now
    default_span: str = next(iter(SPANS))
    _made: dict[str, tuple[float, str]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def answer(self, target: str) -> Answer:
        """Return status, headers and body for the target of a request."""
        try:
            parts = urlsplit(target)
            since = parse_qs(parts.query).get("since", [self.default_span])[-1]
            if parts.path != "/":
                return 404, PLAIN, "The page is at /.\n"
            return 200, HEADERS, self.html(since)
        except ValueError as problem:
            return 400, PLAIN, f"{problem}\n"
        except requests.RequestException as problem:
            return 503, PLAIN, f"OpenSearch does not answer ({type(problem).__name__}).\n"

    def html(self, since: str) -> str:
        """Return the page for a span such as `15m`.

        Raises `ValueError` for another text, and the exceptions of `search`.
        """
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


def serve_page(page: Page, port: int | None, first: int) -> str:
    """Serve the page at `port`, or at the first free port from `first` on. Returns its address.

    Raises `UserError` if `port` is taken, or if no port is free.
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
    raise UserError("no free port was found for the page: set PAGE_PORT to a free port")


def server(port: int, page: Page) -> ThreadingHTTPServer:
    """Return a server of the page on 127.0.0.1:`port`. Call `serve_forever` to run it."""

    class Handler(gateway.Handler):
        def answer(self) -> None:
            hosts, origins = (self.headers.get_all(name, []) for name in ("host", "origin"))
            status, sent, text = (
                FORBIDDEN if gateway.foreign(hosts, origins) else page.answer(self.path)
            )
            self.respond(status, sent, text.encode())

        do_GET = do_HEAD = answer  # noqa: N815

    return gateway.server(port, Handler)
