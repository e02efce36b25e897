"""Describes a failure of OpenSearch in one sentence that contains the remedy."""

from __future__ import annotations

from typing import Final

from opensearchpy.exceptions import ConnectionError as NoConnection
from opensearchpy.exceptions import TransportError

from monitor.printable import plain

ROLE: Final = (
    "map the monitor's role to the fine-grained role prediction-monitor-monitor"
    " (the installer does this, with --monitor-role)"
)
BUSY: Final = frozenset({429, 502, 503, 504})
LONGEST: Final = 100  # a longer error type is cut to this number of characters


class ServerProblem(Exception):
    """OpenSearch cannot be reached, is busy, or refuses a request.

    The exception's text is one sentence.
    """


def sentence(problem: TransportError) -> str:
    """Return one sentence about a failed request.

    The sentence quotes only the status and the type of the error from the server's answer.
    """
    if isinstance(problem, NoConnection):
        kind = type(problem).__name__
        return f"OpenSearch cannot be reached ({kind}): the next run tries again"
    status, kind = problem.status_code, plain(problem.error)[:LONGEST] or "nothing said"
    if status in {401, 403}:
        return f"OpenSearch does not let the monitor in ({status}, {kind}): {ROLE}"
    if status in BUSY:
        return f"OpenSearch is busy ({status}): the next run tries again"
    return (
        f"OpenSearch refuses a request of the monitor ({status}, {kind}):"
        " look at the version and the log of OpenSearch"
    )
