"""Ports of this machine that nothing listens on."""

from __future__ import annotations

import socket
from collections.abc import Iterable
from contextlib import ExitStack

from tools.errors import UserError


def ensure_free(port: int, setting: str) -> None:
    """Raise `UserError` when 127.0.0.1:`port` is taken; `setting` is the environment variable that chooses another."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as problem:
            raise taken(port, setting, problem) from None


def taken(port: int, setting: str, problem: OSError) -> UserError:
    """The `UserError` of a port that cannot be bound."""
    reason = f"127.0.0.1:{port} cannot be used ({problem.strerror}): is another stack running?"
    return UserError(f"{reason} Choose another with {setting}=...")


def free_ports(count: int) -> list[int]:
    """So many ports of 127.0.0.1 that nothing listens on now."""
    with ExitStack() as open_sockets:
        probes = [open_sockets.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]


def free_port(among: Iterable[int] = (0,)) -> int:
    """The first of these ports of 127.0.0.1 that nothing listens on now; by default whichever the system chooses."""
    for candidate in among:
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", candidate))
            except OSError:
                continue
            port: int = probe.getsockname()[1]
            return port
    raise UserError("every port that may be used is taken: end what listens there")
