"""Tests how free ports are found."""

from __future__ import annotations

import socket

import pytest

from tools.errors import UserError
from tools.ports import ensure_free, free_port


def test_a_taken_port_is_refused() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(
            UserError,
            match=rf"127\.0\.0\.1:{port} cannot be used .*Choose another port with API_PORT=",
        ) as problem:
            ensure_free(port, "API_PORT")
    assert "\n" not in str(problem.value)
    ensure_free(port, "API_PORT")


def test_a_free_port_can_be_used() -> None:
    port = free_port()
    ensure_free(port, "API_PORT")
    socket.create_server(("127.0.0.1", port)).close()
