"""Find and check free ports of this machine."""

from __future__ import annotations

import socket
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from tools.errors import UserError
from tools.printable import plain

PROC: Final = Path("/proc")
LISTEN: Final = "0A"  # the state of a listening socket in /proc/net/tcp
SHOWN: Final = 80  # characters of a command in a message


def ensure_free(port: int, setting: str) -> None:
    """Raise `UserError` if 127.0.0.1:`port` is taken.

    `setting` is the environment variable that chooses another port.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as problem:
            raise taken(port, setting, problem) from None


def taken(port: int, setting: str, problem: OSError) -> UserError:
    """Return the `UserError` for a port that cannot be bound."""
    reason = holder(port) or "is another stack running?"
    return UserError(
        f"127.0.0.1:{port} cannot be used ({problem.strerror}): {reason} "
        f"Choose another port with {setting}=..."
    )


def holder(port: int) -> str | None:
    """Return a sentence about the process that listens at `port`.

    Returns None if the process cannot be seen, because it belongs to another user or the system is
    not Linux.
    """
    sockets = {f"socket:[{inode}]" for inode in _listening(port)}
    for link in PROC.glob("[0-9]*/fd/*"):
        try:
            if str(link.readlink()) in sockets:
                process = link.parents[1]
                command = " ".join(
                    (process / "cmdline").read_bytes().decode(errors="replace").split("\0")
                )
                return f"process {process.name} listens there ({plain(command)[:SHOWN]})."
        except OSError:  # the process has ended, or belongs to another user
            continue
    return None


def _listening(port: int) -> Iterator[str]:
    """Yield the inodes of sockets that listen at `port` of any address (proc_pid_net(5))."""
    for table in ("tcp", "tcp6"):
        try:
            rows = (PROC / "net" / table).read_text().splitlines()[1:]
        except OSError:
            continue
        for row in rows:
            (
                _,
                local,
                _,
                state,
                *_,
            ) = fields = row.split()
            if state == LISTEN and int(local.rpartition(":")[2], 16) == port:
                yield fields[9]


def free_ports(count: int) -> list[int]:
    """Return `count` free ports of 127.0.0.1."""
    with ExitStack() as open_sockets:
        probes = [open_sockets.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]


def free_port(among: Iterable[int] = (0,)) -> int:
    """Return the first free port of 127.0.0.1 among these ports.

    Port 0, the default, stands for a port that the system chooses.
    """
    for candidate in among:
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", candidate))
            except OSError:
                continue
            port: int = probe.getsockname()[1]
            return port
    raise UserError("none of the ports to try is free: stop a process that listens at one of them")
