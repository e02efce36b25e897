"""An HTTP exchange with a time limit on the wall clock, whatever the other side does.

The time-out of requests limits a single read. It does not end an answer that arrives byte by byte, an upload that is taken by the
kilobyte, or a slow name lookup. So each exchange has a thread of its own, and after its time the connection is closed, which also
ends an upload.
"""

from __future__ import annotations

import copy
import socket
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from functools import partial
from threading import Thread
from typing import Any, Final

import requests
from opensearchpy import RequestsHttpConnection
from opensearchpy.exceptions import ConnectionTimeout
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection

GRACE_SECONDS: Final = 0.25  # beyond requests' own time-out, whose errors say more
BLOCK: Final = 64 * 1024


class TookTooLong(Exception):
    """A call has not ended in its time."""


class Connection(RequestsHttpConnection):
    """opensearch-py's connection, whose every exchange ends in its time and reads no more than `longest_answer` bytes."""

    def __init__(self, longest_answer: int, **settings: Any) -> None:
        super().__init__(**settings)
        self.longest_answer = longest_answer
        self.session.hooks["response"].append(self._read)
        self._mount()

    def perform_request(  # type: ignore[override]  # noqa: PLR0917  as opensearch-py has it
        self,
        method: str,
        url: str,
        params: Mapping[str, Any] | None = None,
        body: bytes | None = None,
        timeout: float | tuple[float, float] | None = None,
        allow_redirects: bool | None = True,  # noqa: FBT001, FBT002
        ignore: Collection[int] = (),
        headers: Mapping[str, str] | None = None,
    ) -> Any:
        """As opensearch-py's. `timeout` is in seconds, for the whole exchange; as a pair, to connect and for the rest."""
        bound = copy.copy(self)  # with this exchange's session: a thread that begins too late must not find another one
        call = partial(RequestsHttpConnection.perform_request, bound)
        times: Any = timeout or self.timeout
        seconds = sum(times) if isinstance(times, tuple) else times
        try:
            return within(seconds + GRACE_SECONDS, lambda: call(method, url, params, body, times, allow_redirects, ignore, headers))
        except TookTooLong as problem:
            self.log_request_fail(method, url, url, None, seconds, exception=problem)
            self._adapter.cut()
            self.session.close()
            self.session = copy.copy(self.session)
            self._mount()
            raise ConnectionTimeout("TIMEOUT", "no answer in time", problem) from None

    def _mount(self) -> None:
        self._adapter = _Adapter()
        self.session.adapters = OrderedDict()
        for scheme in ("http://", "https://"):
            self.session.mount(scheme, self._adapter)

    def _read(self, response: requests.Response, **_: Any) -> None:
        """Read the answer before requests does, which would hold all of it."""
        content = bytearray()
        for block in response.iter_content(BLOCK):
            content += block
            if len(content) > self.longest_answer:
                response.close()
                raise requests.exceptions.ContentDecodingError(f"an answer of more than {self.longest_answer} bytes")
        response._content = bytes(content)  # noqa: SLF001  requests reads it once, and keeps it there


class _Adapter(HTTPAdapter):
    """Knows the connections that it opened, so that they can be cut by another thread."""

    def __init__(self) -> None:
        self.opened: list[HTTPConnection] = []
        self.is_cut = False
        super().__init__()

    def get_connection_with_tls_context(self, *arguments: Any, **settings: Any) -> Any:
        """The way of requests to a connection pool, whose connections this adapter then knows."""
        pool: Any = super().get_connection_with_tls_context(*arguments, **settings)
        if not issubclass(pool.ConnectionCls, _Cuttable):
            pool.ConnectionCls = type("Cuttable", (_Cuttable, pool.ConnectionCls), {"adapter": self})
        return pool

    def cut(self) -> None:
        """End all exchanges that are under way, and refuse new ones."""
        self.is_cut = True
        for connection in self.opened:
            connection.cut()  # type: ignore[attr-defined]


class _Cuttable(HTTPConnection):
    adapter: _Adapter

    def connect(self) -> None:
        self.adapter.opened = [self]  # one exchange at a time: earlier connections are idle or closed
        super().connect()
        if self.adapter.is_cut:
            self.close()
            raise TimeoutError("connected too late")

    def cut(self) -> None:
        sock = self.sock
        if sock is not None:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)


def within[Result](seconds: float, call: Callable[[], Result]) -> Result:
    """The result of a call, or its exception. Raises `TookTooLong` when its time is up; its thread is then left alone."""
    results: list[Result] = []
    problems: list[BaseException] = []

    def run() -> None:
        try:
            results.append(call())
        except BaseException as problem:  # noqa: BLE001  raised again by whoever called
            problems.append(problem)

    thread = Thread(target=run, daemon=True)
    thread.start()
    thread.join(max(seconds, 0.0))
    if results:
        return results[0]
    if problems:
        raise problems[0]
    raise TookTooLong
