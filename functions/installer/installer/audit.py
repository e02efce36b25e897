"""Switch on the audit log of fine-grained access control.

The audit log lists refused requests and their users, but no bodies of requests.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Final

from installer.installed_parts import Part, State, Step, contains, nothing
from installer.security import API
from installer.server import Server

PATH: Final = f"{API}/audit"
NAME: Final = "audit log"
# Bodies are not logged, because a body may contain a text or a password.
WANTED: Final[dict[str, Any]] = {"enabled": True, "audit": {"log_request_body": False}}
PATCH: Final = [
    {"op": "replace", "path": "/config/enabled", "value": True},
    {"op": "replace", "path": "/config/audit/log_request_body", "value": False},
]
WITHOUT: Final = (
    f"nothing is served at {PATH}: "
    "the server has no fine-grained access control, or no audit log for it"
)


def plan(server: Server) -> Step:
    """Plan to switch on the audit log. The installer never switches it off. Raises `UserError`."""
    answer = server.ask("GET", PATH, also={400, 404, 405})
    if "config" not in answer.body:
        return Step([Part(NAME, State.LEFT, WITHOUT)], nothing, nothing)

    def install(_: Collection[str]) -> None:
        server.ask("PATCH", PATH, json=PATCH)

    state = State.INSTALLED if contains(answer.body["config"], WANTED) else State.DIFFERENT
    return Step([Part(NAME, state)], install, nothing)
