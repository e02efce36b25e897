"""Limits the whole time of an HTTP exchange (request and answer), whatever the server does.

The time-out of the requests library limits a single read. It does not end an answer that arrives
byte by byte, or an upload that the server reads slowly. This module adds two kinds of threads:

- A watching thread closes the connection when the time limit of the exchange is reached.
- Each new connection is made in a thread of its own, because a slow name lookup cannot be ended. If
  that thread takes too long, the exchange fails, and the thread sends nothing.
"""

from __future__ import annotations

import math
import socket
import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from threading import Condition, Thread
from typing import Any, Final

import requests
from opensearchpy import RequestsHttpConnection
from opensearchpy.exceptions import ConnectionTimeout, TransportError
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection

# The watching thread waits this much longer than the time-out of the requests library. So the
# library can end the exchange first, with an error that has more details.
GRACE_SECONDS: Final = 0.25
BLOCK: Final = 64 * 1024


class TookTooLong(Exception):
    """A call took longer than its time limit."""


class Connection(RequestsHttpConnection):
    """opensearch-py's connection, but each exchange has a time limit and a limit for its answer.

    An answer may have at most `longest_answer` bytes.
    """

    def __init__(self, longest_answer: int, **settings: Any) -> None:
        super().__init__(**settings)
        self.longest_answer = longest_answer
        self.session.hooks["response"].append(self._read)
        self._mount()

    def perform_request(  # type: ignore[override]  # noqa: PLR0917  opensearch-py's signature
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
        """Perform a request as opensearch-py does, but within `timeout` seconds as a whole.

        `timeout` can be a pair: the seconds to connect, and the seconds for the rest of the
        exchange.
        """
        times: Any = timeout or self.timeout
        seconds = sum(times) if isinstance(times, tuple) else times
        adapter = self._adapter
        adapter.deadline = time.monotonic() + seconds + GRACE_SECONDS
        try:
            with _watch.cutting(adapter):
                return super().perform_request(
                    method, url, params, body, times, allow_redirects, ignore, headers
                )
        except TransportError as problem:
            if adapter.is_cut:
                raise ConnectionTimeout("TIMEOUT", "no answer in time", problem) from None
            raise
        finally:
            # The connection may have been cut after the answer was read. A connection that was cut
            # cannot be used again.
            if adapter.is_cut:
                self.session.close()
                self._mount()

    def _mount(self) -> None:
        self._adapter = _Adapter()
        self.session.adapters = OrderedDict()
        for scheme in ("http://", "https://"):
            self.session.mount(scheme, self._adapter)

    def _read(self, response: requests.Response, **_: Any) -> None:
        """Read the answer up to the limit.

        The requests library itself would read an answer of any length into memory.
        """
        content = bytearray()
        for block in response.iter_content(BLOCK):
            content += block
            if len(content) > self.longest_answer:
                response.close()
                raise requests.exceptions.ContentDecodingError(
                    f"an answer of more than {self.longest_answer} bytes"
                )
        # The requests library keeps the content of an answer in this attribute.
        response._content = bytes(content)  # noqa: SLF001


class _Adapter(HTTPAdapter):
    """Keeps its open connection and its deadline, so that another thread can cut the connection.

    The deadline is a time of `time.monotonic()`.
    """

    def __init__(self) -> None:
        self.opened: _Cuttable | None = None
        self.deadline = math.inf
        self.is_cut = False
        super().__init__()

    def get_connection_with_tls_context(self, *arguments: Any, **settings: Any) -> Any:
        """Return the connection pool of the requests library.

        The pool's connections report to this adapter when they are opened.
        """
        pool: Any = super().get_connection_with_tls_context(*arguments, **settings)
        if not issubclass(pool.ConnectionCls, _Cuttable):
            pool.ConnectionCls = type(
                "Cuttable", (_Cuttable, pool.ConnectionCls), {"adapter": self}
            )
        return pool

    def cut(self) -> None:
        """End the current exchange, and refuse new exchanges."""
        self.is_cut = True
        if self.opened:
            self.opened.cut()


class _Cuttable(HTTPConnection):
    adapter: _Adapter

    def connect(self) -> None:
        # There is one exchange at a time, so earlier connections are idle or closed.
        self.adapter.opened = self
        try:
            within(self.adapter.deadline - time.monotonic(), self._connect)
        except TookTooLong:
            self.adapter.cut()
            raise

    def _connect(self) -> None:
        super().connect()
        if self.adapter.is_cut:
            self.close()
            raise TimeoutError("connected too late")

    def cut(self) -> None:
        sock = self.sock
        if sock is not None:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)


class _Watch:
    """One thread that cuts the exchanges that take too long.

    The thread sleeps until the earliest deadline that it knows, then looks at the current
    exchanges. A new exchange wakes the thread only if its deadline is earlier, because waking a
    thread costs too much for a short exchange. So the thread may sleep during several exchanges.
    It may also sleep while Lambda freezes the function's instance or restores a snapshot. Whenever
    it wakes, it compares all deadlines with the clock.
    """

    def __init__(self) -> None:
        self._changed = Condition()
        self._under_way: list[_Adapter] = []
        self._wakes = math.inf
        self._thread: Thread | None = None

    @contextmanager
    def cutting(self, adapter: _Adapter) -> Iterator[None]:
        """Cut the adapter's exchange at its deadline, but only while the `with` block runs."""
        with self._changed:
            self._under_way.append(adapter)
            # After a fork, the new process does not have the thread.
            if self._thread is None or not self._thread.is_alive():
                self._thread = Thread(target=self._run, daemon=True)
                self._thread.start()
            elif adapter.deadline < self._wakes:
                self._changed.notify()
        try:
            yield
        finally:
            with self._changed:
                self._under_way.remove(adapter)

    def _run(self) -> None:
        with self._changed:
            while True:
                now = time.monotonic()
                for adapter in self._under_way:
                    if adapter.deadline <= now and not adapter.is_cut:
                        adapter.cut()
                self._wakes = min(
                    (each.deadline for each in self._under_way if not each.is_cut), default=math.inf
                )
                self._changed.wait(None if self._wakes == math.inf else max(self._wakes - now, 0.0))


_watch: Final = _Watch()


def within[Result](seconds: float, call: Callable[[], Result]) -> Result:
    """Run a call in a thread, and return its result or raise its exception.

    Raises `TookTooLong` after `seconds`. The thread then continues to run.
    """
    results: list[Result] = []
    problems: list[BaseException] = []

    def run() -> None:
        try:
            results.append(call())
        except BaseException as problem:  # noqa: BLE001  raised again in the calling thread
            problems.append(problem)

    thread = Thread(target=run, daemon=True)
    thread.start()
    thread.join(max(seconds, 0.0))
    if results:
        return results[0]
    if problems:
        raise problems[0]
    raise TookTooLong
