"""Failures of OpenSearch, each as one sentence with the remedy."""

from __future__ import annotations

from typing import Final

from opensearchpy.exceptions import ConnectionError as NoConnection
from opensearchpy.exceptions import TransportError

from monitor.plain import plain

ROLE: Final = "map its role to the fine-grained role prediction-monitor-monitor (the installer does, with --monitor-role)"
BUSY: Final = frozenset({429, 502, 503, 504})
LONGEST: Final = 100  # characters of an error's type


class ServerProblem(Exception):
    """OpenSearch is away, busy, or refuses a request: one sentence."""


def sentence(problem: TransportError) -> str:
    """One sentence on a failed request.

    Of the server's answer it quotes the status and the error's type only.
    """
    if isinstance(problem, NoConnection):
        return f"OpenSearch cannot be reached ({type(problem).__name__}): it is asked again at the next run"
    status, kind = problem.status_code, plain(problem.error)[:LONGEST] or "nothing said"
    if status in {401, 403}:
        return f"OpenSearch does not let the monitor in ({status}, {kind}): {ROLE}"
    if status in BUSY:
        return f"OpenSearch is busy ({status}): it is asked again at the next run"
    return f"OpenSearch refuses a request of the monitor ({status}, {kind}): look at its version and its log"
