"""Roles of fine-grained access control for the shipper and the monitor.

Each role gives permissions in the domain, and is mapped to IAM roles.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

from installer.installed_parts import Part, State, Step, contains, found_as, nothing
from installer.prefix_and_stack import NAME, PATTERN, Scope
from installer.server import Answer, Server

API: Final = "/_plugins/_security/api"
FORMER: Final = "/_opendistro/_security/api"  # in Elasticsearch 7.10
ARN: Final = re.compile(r"arn:aws[a-z-]*:iam::\d{12}:role/[\w+=,.@/-]+")
WITHOUT: Final = (
    f"nothing is served at {API}: if the domain has no fine-grained access control, it needs no "
    "roles; otherwise, make the roles yourself"
)
# The installer changes only the backend roles of a role mapping. It keeps these members.
KEPT: Final = ("hosts", "users", "and_backend_roles")
# The monitor's own indices. The name of such an index is `monitor.` and the name of the stack, in
# lowercase. No prefix of the documents' indices has a dot, so this pattern never matches an index
# of documents.
OWN: Final = "monitor.*"
ROLES: Final[Mapping[str, dict[str, Any]]] = {
    "shipper": {
        "cluster_permissions": ["indices:data/write/bulk"],
        "index_permissions": [
            {
                "index_patterns": [PATTERN],
                "allowed_actions": [
                    "create_index",
                    "indices:data/write/bulk*",
                    "indices:data/write/index",
                    "indices:admin/mapping/put",
                ],
            },
            # The shipper counts documents that the console's generated function wrote. The role may
            # read only the fields that are needed for this count.
            {
                "index_patterns": [PATTERN],
                "allowed_actions": ["indices:data/read/search"],
                "fls": ["@timestamp", "@log_group*", "@kind"],
            },
        ],
    },
    "monitor": {
        "cluster_permissions": ["indices:data/write/bulk"],
        "index_permissions": [
            {"index_patterns": [PATTERN], "allowed_actions": ["read", "search"]},
            # the monitor's own index: summaries, baselines, decisions
            {"index_patterns": [OWN], "allowed_actions": ["crud", "create_index"]},
        ],
    },
}


def role_arn(text: str) -> str:
    """Return a valid ARN of an IAM role. Raises `ValueError` for any other text."""
    if not ARN.fullmatch(text):
        raise ValueError(
            f"{text!r} is not a role: give its ARN, such as arn:aws:iam::123456789012:role/NAME"
        )
    return text


def plan(server: Server, scope: Scope, arns: Mapping[str, Sequence[str]]) -> list[Step]:
    """Plan the stack's roles, each mapped to its ARNs. Raises `UserError`.

    The keys of `arns` are kinds of roles: shipper, monitor.
    """
    return [_plan(server, scope, kind, several) for kind, several in arns.items()]


def _plan(server: Server, scope: Scope, kind: str, arns: Sequence[str]) -> Step:
    name = scope.own(f"{NAME}-{kind}")
    wanted = rendered(ROLES[kind], scope)
    part = f"role {name} for {', '.join(arns)}"
    api, answer = _base(server, name)
    if api is None:
        return Step([Part(part, State.LEFT, WITHOUT)], nothing, nothing)
    role = answer.body.get(name)
    mapping = server.ask("GET", f"{api}/rolesmapping/{name}", also={404}).body.get(name, {})
    mapped: list[str] = mapping.get("backend_roles", [])
    kept = {field: mapping[field] for field in KEPT if mapping.get(field)}
    others = [one for one in mapped if one not in arns]
    unmapped = [one for one in arns if one not in mapped]
    right = contains(role, wanted)

    def install(_: Collection[str]) -> None:
        if not right:
            server.ask("PUT", f"{api}/roles/{name}", json=wanted)
        if unmapped:
            server.ask(
                "PUT",
                f"{api}/rolesmapping/{name}",
                json={**kept, "backend_roles": [*mapped, *unmapped]},
            )

    def remove(_: Collection[str]) -> None:
        if others or kept:
            server.ask("PUT", f"{api}/rolesmapping/{name}", json={**kept, "backend_roles": others})
        else:
            server.ask("DELETE", f"{api}/rolesmapping/{name}", also={404})
            server.ask("DELETE", f"{api}/roles/{name}", also={404})

    state = found_as(role, right=right and not unmapped)
    return Step(
        [Part(part, state, f"also mapped to {len(others)} other IAM roles" if others else "")],
        install,
        remove,
    )


def rendered(role: Mapping[str, Any], scope: Scope) -> dict[str, Any]:
    """Return a role in the API's form, for the indices of the scope's prefix and stack."""
    own = f"monitor.{scope.stack.lower()}" if scope.stack else OWN
    permissions = [
        {**one, "index_patterns": [own if one["index_patterns"] == [OWN] else scope.pattern]}
        for one in role["index_permissions"]
    ]
    return {**role, "index_permissions": permissions}


def _base(server: Server, name: str) -> tuple[str | None, Answer]:
    """Return the path of the security API, and its answer about a role.

    The path is None if the domain has no such API.
    """
    answers = (
        (api, server.ask("GET", f"{api}/roles/{name}", also={400, 404, 405}))
        for api in (API, FORMER)
    )
    return next(
        (found for found in answers if _has_access_control(found[1])), (None, Answer(404, {}))
    )


def _has_access_control(answer: Answer) -> bool:
    """Return whether an answer comes from the security API.

    If the role is missing, the body has the member `status`. If the path is missing, the body has
    no such member.
    """
    return answer.status == 200 or (
        answer.status == 404 and answer.body.get("status") == "NOT_FOUND"
    )
