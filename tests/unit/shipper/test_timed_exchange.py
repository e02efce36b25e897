"""Tests that an exchange ends within its limits of time and size, whatever the server does.

An exchange is a request and its answer.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress

import pytest
from msgspec import Raw

from shipper import common_index, timed_exchange
from shipper.back_off import RetryBudget
from shipper.bulk import INDEXED, Fate, Verdict, body, send
from shipper.client import connect
from shipper.decode import LogEvent, Payload
from shipper.document import Rules
from shipper.ship import ship
from tests.unit.conftest import NOON, made

SECONDS = 0.6
PROMPT_SECONDS = 2.0  # the time limit for an answer that comes at once
# The longest time that an exchange with a time limit may take here, in seconds. Even a busy machine
# needs less. Without a time limit, an exchange would take over 10 s.
AT_MOST = 5.0
Serve = Callable[[socket.socket, threading.Event], None]


@contextmanager
def serving(serve: Serve) -> Iterator[tuple[str, list[socket.socket]]]:
    """Run a server that calls `serve` with each connection. Yields its address and connections."""
    over = threading.Event()
    connections: list[socket.socket] = []
    with closing(socket.socket()) as listening:
        # An upload does not fit into this buffer.
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        listening.bind(("127.0.0.1", 0))
        listening.listen()

        def accept() -> None:
            with suppress(OSError):
                while not over.is_set():
                    connection, _ = listening.accept()
                    connections.append(connection)
                    threading.Thread(target=run, args=(connection,), daemon=True).start()

        def run(connection: socket.socket) -> None:
            with suppress(OSError):  # the client or the test has closed the connection
                serve(connection, over)

        threading.Thread(target=accept, daemon=True).start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}", connections
        over.set()
        with suppress(OSError):
            listening.shutdown(socket.SHUT_RDWR)
        for connection in connections:
            connection.close()


def dripping_headers(connection: socket.socket, over: threading.Event) -> None:
    """Send one byte every 0.1 s, so that no single read takes long."""
    read_request(connection)
    drip(connection, over)


def drip(connection: socket.socket, over: threading.Event) -> None:
    for byte in b"HTTP/1.1 200 OK\r\nX-Long: " + b"x" * 10_000:
        connection.sendall(bytes([byte]))
        if over.wait(0.1):
            return


def dripping_body(connection: socket.socket, over: threading.Event) -> None:
    connection.recv(65536)
    connection.sendall(
        b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 100000\r\n\r\n"
    )
    while not over.wait(0.1):
        connection.sendall(b" ")


def slow_reader(connection: socket.socket, over: threading.Event) -> None:
    """Read an upload at 4 kB/s."""
    while not over.wait(0.1):
        connection.recv(400)


def silent(_connection: socket.socket, over: threading.Event) -> None:
    over.wait(30)


@pytest.mark.parametrize("serve", [dripping_headers, dripping_body, slow_reader, silent])
def test_an_exchange_ends_at_its_time_limit_and_its_connection_is_closed(serve: Serve) -> None:
    content = (
        body(made("1")) + bytes(range(256)) * 100_000 if serve is slow_reader else body(made("1"))
    )
    with serving(serve) as (url, connections), closing(connect(url, {})) as connection:
        start = time.monotonic()
        verdict = send(content, 1, connection, SECONDS)
        assert time.monotonic() - start < AT_MOST
        assert isinstance(verdict, Verdict)
        assert verdict.fate in {Fate.UNANSWERED, Fate.BUSY}
        assert is_closed(connections[0]), "the connection is still open"


def is_closed(connection: socket.socket) -> bool:
    """Read until the client ends the connection. Raises `TimeoutError` if it does not."""
    connection.settimeout(5)
    with suppress(ConnectionError):
        while connection.recv(1 << 20):
            pass
    return True


def test_a_request_with_a_slow_name_lookup_ends_at_its_time_limit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    over = threading.Event()
    lookup = socket.getaddrinfo

    def slow(*arguments: object, **settings: object) -> object:
        over.wait(10)
        return lookup(*arguments, **settings)  # type: ignore[arg-type]

    with serving(silent) as (url, connections), closing(connect(url, {})) as connection:
        monkeypatch.setattr(socket, "getaddrinfo", slow)
        start = time.monotonic()
        verdict = send(body(made("1")), 1, connection, SECONDS)
        assert time.monotonic() - start < AT_MOST
        assert isinstance(verdict, Verdict)
        assert verdict.reason == "no answer in time"
        over.set()
        time.sleep(0.3)
        assert all(not receives(one) for one in connections), "a request was sent too late"


def receives(connection: socket.socket) -> bool:
    connection.settimeout(0.5)
    try:
        return bool(connection.recv(10))
    except OSError:
        return False


ANSWER = b'HTTP/1.1 200 OK\r\ncontent-length: 37\r\n\r\n{"items":[{"create":{"status":201}}]}'


def in_turn(*serves: Serve) -> Serve:
    """Answer each request with the next function, and all further requests with the last one."""
    left = list(serves)

    def serve(connection: socket.socket, over: threading.Event) -> None:
        while not over.is_set():
            (left.pop(0) if len(left) > 1 else left[0])(connection, over)

    return serve


def read_request(connection: socket.socket) -> None:
    """Read a request. Raises `OSError` if the client has closed the connection.

    The body may arrive after the head.
    """
    head, _, content = read(connection).partition(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
    while len(content) < length:
        content += read(connection)


def read(connection: socket.socket) -> bytes:
    found = connection.recv(65536)
    if not found:
        raise ConnectionError
    return found


def prompt(connection: socket.socket, _over: threading.Event) -> None:
    read_request(connection)
    connection.sendall(ANSWER)


def late(connection: socket.socket, over: threading.Event) -> None:
    """Answer one second after the request."""
    read_request(connection)
    over.wait(1)
    connection.sendall(ANSWER)


def test_the_exchange_after_a_closed_connection_succeeds() -> None:
    with (
        serving(in_turn(dripping_headers, prompt)) as (url, _),
        closing(connect(url, {})) as connection,
    ):
        found = [send(body(made("1")), 1, connection, seconds) for seconds in (SECONDS, 10.0)]
    assert isinstance(found[0], Verdict)
    assert found[1] == INDEXED


def test_an_unanswered_request_for_a_count_does_not_end_the_next_delivery(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The time limit of the unanswered request must not end a later request."""
    monkeypatch.setattr(common_index, "SECONDS", 1.5)
    questions: list[int] = []
    bodies: list[int] = []

    def serve(connection: socket.socket, over: threading.Event) -> None:
        while request := connection.recv(65536):
            if b"HTTP/1.1" not in request:
                continue  # the body, which arrives separately
            if b"/_count" in request:
                questions.append(1)
                if len(questions) == 1:
                    drip(connection, over)
                    return
                content = b'{"count":0}'
            else:
                bodies.append(1)
                content = b'{"items":[{"create":{"status":201}}]}'
                over.wait(2.5)
            connection.sendall(
                b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(content), content)
            )

    payload = Payload(
        "DATA_MESSAGE", "123456789012", "group", "stream", [LogEvent("1", NOON, Raw(b'"words"'))]
    )
    with serving(serve) as (url, _), closing(connect(url, {})) as connection:
        start = time.monotonic()
        first = ship(payload, Rules(), connection, RetryBudget(start + SECONDS))
        assert time.monotonic() - start < AT_MOST
        second = ship(payload, Rules(), connection, RetryBudget(time.monotonic() + 30))
    assert (dict(first.reasons), first.available) == ({"no answer in time": 1}, False)
    assert (second.indexed, second.requests, len(bodies)) == (1, 1, 1)


def test_the_time_limit_of_an_exchange_does_not_end_a_later_exchange() -> None:
    with (
        serving(in_turn(prompt, prompt, late)) as (url, connections),
        closing(connect(url, {})) as connection,
    ):
        assert [
            send(body(made("1")), 1, connection, seconds) for seconds in (10.0, PROMPT_SECONDS)
        ] == [INDEXED] * 2
        time.sleep(PROMPT_SECONDS + timed_exchange.GRACE_SECONDS + 0.2)  # no exchange is running
        assert send(body(made("1")), 1, connection, 10.0) == INDEXED
        assert len(connections) == 1


@pytest.mark.parametrize("shift", [0.0, -1000.0], ids=["an unchanged clock", "a clock set back"])
def test_a_short_time_limit_applies_after_an_exchange_with_a_longer_limit(
    shift: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If a snapshot is restored on another machine, the clock may show an earlier time."""
    with (
        serving(in_turn(prompt, dripping_headers)) as (url, connections),
        closing(connect(url, {})) as connection,
    ):
        assert send(body(made("1")), 1, connection, 30.0) == INDEXED
        clock = time.monotonic
        monkeypatch.setattr(time, "monotonic", lambda: clock() + shift)
        start = clock()
        verdict = send(body(made("1")), 1, connection, SECONDS)
        assert clock() - start < AT_MOST
        assert isinstance(verdict, Verdict)
        assert verdict.reason == "no answer in time"
        assert is_closed(connections[0])


def test_an_answer_at_the_last_moment_counts_and_its_connection_is_not_used_again() -> None:
    with serving(prompt) as (url, connections), closing(connect(url, {})) as connection:
        pause: Callable[..., None] = lambda *_, **__: time.sleep(  # noqa: E731
            PROMPT_SECONDS + timed_exchange.GRACE_SECONDS + 0.3
        )
        connection.session.hooks["response"].append(pause)
        assert send(body(made("1")), 1, connection, PROMPT_SECONDS) == INDEXED
        connection.session.hooks["response"].remove(pause)
        assert send(body(made("1")), 1, connection, PROMPT_SECONDS) == INDEXED
        assert len(connections) == 2


def test_an_exchange_on_an_open_connection_starts_no_thread(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with serving(in_turn(prompt)) as (url, _), closing(connect(url, {})) as connection:
        assert send(body(made("1")), 1, connection, 10.0) == INDEXED
        monkeypatch.setattr("shipper.timed_exchange.Thread", None)
        assert [send(body(made("1")), 1, connection, 10.0) for _ in range(3)] == [INDEXED] * 3


def test_an_endless_answer_is_read_only_up_to_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shipper.client.LONGEST_ANSWER", 1 << 20)
    sent: list[int] = []

    def endless(connection: socket.socket, over: threading.Event) -> None:
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 419430400\r\n\r\n")
        while not over.is_set():
            connection.sendall(b" " * 65536)
            sent.append(65536)

    with serving(endless) as (url, _), closing(connect(url, {})) as connection:
        verdict = send(body(made("1")), 1, connection, 20.0)
    assert isinstance(verdict, Verdict)
    assert verdict.fate is Fate.BUSY
    assert sum(sent) < 50 << 20  # the limit plus the buffers of the sockets


@pytest.mark.parametrize("problem", [ValueError("mine"), KeyboardInterrupt()])
def test_a_call_in_a_thread_raises_the_exception_of_the_called_function(
    problem: BaseException,
) -> None:
    def fail() -> None:
        raise problem

    with pytest.raises(type(problem)):
        timed_exchange.within(5, fail)
    assert timed_exchange.within(5, lambda: 7) == 7
