"""Failures of OpenSearch, each as one sentence with the remedy."""

from __future__ import annotations

from typing import Final

from opensearchpy.exceptions import ConnectionError as NoConnection
from opensearchpy.exceptions import TransportError

ROLE: Final = "map its role to the fine-grained role prediction-monitor-monitor (the installer does, with --monitor-role)"
BUSY: Final = frozenset({429, 502, 503, 504})


class ServerProblem(Exception):
    """OpenSearch is away, busy, or refuses a request: one sentence."""


def sentence(problem: TransportError) -> str:
    """What a failed request comes to; of an answer only its status and the type of its error are told."""
    if isinstance(problem, NoConnection):
        return f"OpenSearch cannot be reached ({type(problem).__name__}): it is asked again at the next run"
    status, kind = problem.status_code, _plain(problem.error)
    if status in {401, 403}:
        return f"OpenSearch does not let the monitor in ({status}, {kind}): {ROLE}"
    if status in BUSY:
        return f"OpenSearch is busy ({status}): it is asked again at the next run"
    return f"OpenSearch refuses a request of the monitor ({status}, {kind}): look at its version and its log"


def _plain(kind: object) -> str:
    words = " ".join(str(kind).split())
    return "".join(each for each in words if each.isprintable())[:100] or "nothing said"
