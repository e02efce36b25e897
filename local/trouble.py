"""What stops the local stack: always one sentence that says what to do."""

from __future__ import annotations

import socket


class Trouble(Exception):
    """A reason to end with one clear sentence and a non-zero exit."""


def ensure_free(port: int, setting: str) -> None:
    """Raise `Trouble` when 127.0.0.1:`port` is taken; `setting` is the environment variable that chooses another."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as problem:
            raise Trouble(f"127.0.0.1:{port} cannot be used ({problem.strerror}): free it, or choose another with {setting}=...") from None


def free_port() -> int:
    """A port of 127.0.0.1 that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
