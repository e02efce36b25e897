"""Read and install the index template of an index prefix.

The module also finds the stack that owns the prefix.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from typing import Any, Final

from installer import files
from installer.installed_parts import Part, State, Step, found_as, nothing
from installer.prefix_and_stack import NAME, Scope, overlapping
from installer.server import Server, UserError, reason

PATH: Final = "/_index_template"
FILE: Final = files.FOLDER / "index_template.json"
REPLICAS: Final = "index.auto_expand_replicas"
SETTINGS: Final = (
    "/_cluster/settings?include_defaults=true&filter_path=*.cluster.routing.allocation.awareness"
)
BALANCE: Final = "cluster.routing.allocation.awareness.balance"
ZONES: Final = re.compile(r"cluster\.routing\.allocation\.awareness\.force\..+\.values")
REFUSED: Final = re.compile(r"multiple of total awareness attributes \[(\d+)\]")

type Templates = Mapping[str, Mapping[str, Any]]


def index_template() -> dict[str, Any]:
    """Read the file with the index template of the default prefix."""
    template: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8"))
    return template


def rendered(scope: Scope, owner: str, copies: int | None = None) -> dict[str, Any]:
    """Return the template of a prefix as OpenSearch's API expects it, with the prefix's owner.

    Some domains accept an index only if the number of its copies is a multiple of n. For such a
    domain, `copies` is n, and the template allows at most n copies. For other domains, `copies` is
    None.
    """
    template = index_template()
    template["index_patterns"] = [scope.pattern]
    if owner:
        template["_meta"] |= {"stack": owner}
    if copies:
        template["template"]["settings"][REPLICAS] = f"0-{copies - 1}"
    return template


def installed(server: Server) -> Templates:
    """Return the installed templates of all prefixes, by name. Raises `UserError`."""
    answer = server.ask("GET", f"{PATH}/{NAME}*", also={404})
    if answer.status == 200 and "index_templates" not in answer.body:
        raise UserError(f"{server.url} answers, but not as OpenSearch: check --opensearch")
    return {one["name"]: one["index_template"] for one in answer.body.get("index_templates", [])}


def ensure_apart(scope: Scope, templates: Templates) -> None:
    """Raise `UserError` if this prefix and an installed prefix have indices in common."""
    patterns = [str(pattern) for one in templates.values() for pattern in one["index_patterns"]]
    mixed = overlapping(scope.prefix, [pattern.removesuffix("*") for pattern in patterns])
    if mixed:
        raise UserError(
            f"the index prefix {scope.prefix} overlaps with {', '.join(mixed)}, "
            "which is installed here, so the templates of both prefixes would apply to the same "
            "indices. Give a prefix such as dev-cwl-: no prefix may begin with another prefix"
        )


def owner(templates: Templates, scope: Scope) -> str | None:
    """Return the stack that owns a prefix.

    Returns an empty text if no stack owns it, and None if the prefix has no template.
    """
    found = templates.get(scope.shared)
    return None if found is None else str((found.get("_meta") or {}).get("stack", ""))


def plan(server: Server, scope: Scope, templates: Templates, left: str = "") -> Step:
    """Return the step that installs or removes the template on a server. Raises `UserError`.

    If the template must be left as it is, `left` is the reason. Otherwise `left` is empty.
    """
    name = f"index template {scope.shared}"
    found = templates.get(scope.shared)
    held = owner(templates, scope)
    if left:
        return Step([Part(name, State.LEFT, left)], nothing, nothing)
    copies = _copies(server, found)
    owned_by = scope.stack or held or ""
    wanted = rendered(scope, owned_by, copies)
    same = found is not None and _comparable(
        {key: found.get(key) for key in wanted}
    ) == _comparable(wanted)
    state = found_as(found, right=same)
    remarks = [
        f"{scope.stack} owns it from now on" if scope.stack and held != scope.stack else "",
        "an existing index keeps its mapping" if state is State.DIFFERENT else "",
    ]

    def install(_: Collection[str]) -> None:
        _put(server, scope, owned_by, copies)

    def remove(_: Collection[str]) -> None:
        server.ask("DELETE", f"{PATH}/{scope.shared}", also={404})

    return Step([Part(name, state, "; ".join(filter(None, remarks)))], install, remove)


def release(server: Server, scope: Scope, templates: Templates) -> None:
    """Remove the owner from the template, so that the next stack of the prefix can own it.

    Raises `UserError`.
    """
    found = templates[scope.shared]
    meta = {key: value for key, value in found["_meta"].items() if key != "stack"}
    server.ask("PUT", f"{PATH}/{scope.shared}", json={**found, "_meta": meta})


def _put(server: Server, scope: Scope, owner: str, copies: int | None) -> None:
    """Put the template into the domain.

    If the installer has no permission to read the domain's settings, `copies` may be wrong. The
    domain then refuses the template, and the refusal names the right number.
    """
    path = f"{PATH}/{scope.shared}"
    answer = server.ask("PUT", path, also={400}, json=rendered(scope, owner, copies))
    if answer.status != 400:
        return
    counted = REFUSED.search(str(answer.body))
    if counted is None:
        raise UserError(
            f"{server.name} at {server.url} refuses the index template "
            f"({reason(answer.body)}): check its version and its log"
        )
    server.ask("PUT", path, json=rendered(scope, owner, int(counted[1])))


def _copies(server: Server, found: Mapping[str, Any] | None) -> int | None:
    """Return n if the number of copies of an index must be a multiple of n, otherwise None.

    In a domain with the setting `BALANCE` (Multi-AZ with Standby), n is the number of zones. If the
    installer has no permission to read the domain's settings, n is taken from the installed
    template.
    """
    answer = server.ask("GET", SETTINGS, also={400, 401, 403, 404, 405})
    if answer.status != 200:
        inner = (found or {}).get("template") or {}
        there = dict(_flat(inner.get("settings", {}))).get(REPLICAS, "")
        return (
            int(there.removeprefix("0-")) + 1
            if re.fullmatch(r"0-\d+", there) and there != "0-1"
            else None
        )
    settings: dict[str, str] = {}
    for kind in ("defaults", "persistent", "transient"):
        settings |= _flat(answer.body.get(kind, {}))
    if settings.get(BALANCE) != "true":
        return None
    zones = [len(value.split(",")) for key, value in settings.items() if ZONES.fullmatch(key)]
    return max(zones, default=0) or None


def _comparable(template: Mapping[str, Any]) -> dict[str, Any]:
    """Return the template in a form that can be compared with another template.

    Each setting has its full name (with dots), and its value is converted to a string.
    """
    inner = template["template"] or {}
    return {**template, "template": {**inner, "settings": dict(_flat(inner.get("settings", {})))}}


def _flat(settings: Mapping[str, Any], path: str = "") -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for name, value in settings.items():
        if isinstance(value, dict):
            found += _flat(value, f"{path}{name}.")
        else:
            found.append(
                (path + name, str(value).lower() if isinstance(value, bool) else str(value))
            )
    return found
