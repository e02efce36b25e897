"""The index template of a prefix, its owner, and its installation in a cluster."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from typing import Any, Final

from installer import files
from installer.plan import Part, State, Step, found_as, nothing
from installer.scope import NAME, Scope, overlapping
from installer.server import Answer, Server, UserError

PATH: Final = "/_index_template"
FILE: Final = files.FOLDER / "index_template.json"
REPLICAS: Final = "index.auto_expand_replicas"
SETTINGS: Final = "/_cluster/settings?include_defaults=true&filter_path=*.cluster.routing.allocation.awareness"
BALANCE: Final = "cluster.routing.allocation.awareness.balance"
ZONES: Final = re.compile(r"cluster\.routing\.allocation\.awareness\.force\..+\.values")
REFUSED: Final = re.compile(r"multiple of total awareness attributes \[(\d+)\]")

type Templates = Mapping[str, Mapping[str, Any]]


def index_template() -> dict[str, Any]:
    """The template of the prefix cwl-, as its file has it."""
    template: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8"))
    return template


def rendered(scope: Scope, owner: str, copies: int | None = None) -> dict[str, Any]:
    """The template of a prefix as OpenSearch takes it: with its owner, and where a domain counts `copies`, with as many at most."""
    template = index_template()
    template["index_patterns"] = [scope.pattern]
    if owner:
        template["_meta"] |= {"stack": owner}
    if copies:
        template["template"]["settings"][REPLICAS] = f"0-{copies - 1}"
    return template


def installed(server: Server) -> Templates:
    """The templates of all prefixes, by name. Raises `UserError`."""
    answer = server.ask("GET", f"{PATH}/{NAME}*", also={404})
    if answer.status == 200 and "index_templates" not in answer.body:
        raise UserError(f"{server.url} answers, but not as OpenSearch: check --opensearch")
    return {one["name"]: one["index_template"] for one in answer.body.get("index_templates", [])}


def ensure_apart(scope: Scope, templates: Templates) -> None:
    """Raises `UserError` where a prefix that is installed and this one have indices in common."""
    patterns = [str(pattern) for one in templates.values() for pattern in one["index_patterns"]]
    mixed = overlapping(scope.prefix, [pattern.removesuffix("*") for pattern in patterns])
    if mixed:
        raise UserError(
            f"the index prefix {scope.prefix} does not go with {', '.join(mixed)}, which is installed here: one begins with the other, "
            "so both templates would take the same indices. Give a prefix such as dev-cwl-"
        )


def owner(templates: Templates, scope: Scope) -> str | None:
    """The stack that owns a prefix; empty where nobody does, None where the prefix has no template."""
    found = templates.get(scope.shared)
    return None if found is None else str((found.get("_meta") or {}).get("stack", ""))


def plan(server: Server, scope: Scope, templates: Templates, left: str = "") -> Step:
    """The template on a server; `left` says why it is left as it is. Raises `UserError`."""
    name = f"index template {scope.shared}"
    found = templates.get(scope.shared)
    held = owner(templates, scope)
    if left:
        return Step([Part(name, State.LEFT, left)], nothing, nothing)
    copies = _copies(server, found)
    wanted = rendered(scope, scope.stack or held or "", copies)
    same = found is not None and _comparable({key: found.get(key) for key in wanted}) == _comparable(wanted)
    state = found_as(found, right=same)
    remarks = [
        f"{scope.stack} owns it from now on" if scope.stack and held != scope.stack else "",
        "an index that is there keeps its mapping" if state is State.DIFFERENT else "",
    ]

    def install(_: Collection[str]) -> None:
        _put(server, scope, wanted)

    def remove(_: Collection[str]) -> None:
        server.ask("DELETE", f"{PATH}/{scope.shared}", also={404})

    return Step([Part(name, state, "; ".join(filter(None, remarks)))], install, remove)


def release(server: Server, scope: Scope, templates: Templates) -> None:
    """Leave the template to the next stack of the prefix: it stays as it is, without an owner. Raises `UserError`."""
    found = templates[scope.shared]
    meta = {key: value for key, value in found["_meta"].items() if key != "stack"}
    server.ask("PUT", f"{PATH}/{scope.shared}", json={**found, "_meta": meta})


def _put(server: Server, scope: Scope, wanted: dict[str, Any]) -> None:
    answer = server.ask("PUT", f"{PATH}/{scope.shared}", also={400}, json=wanted)
    if answer.status != 400:
        return
    counted = REFUSED.search(str(answer.body))
    if counted is None:
        raise UserError(f"{server.name} at {server.url} refuses the index template ({_why(answer)}): check its version and its log")
    copies = json.loads(json.dumps(wanted))
    copies["template"]["settings"][REPLICAS] = f"0-{int(counted[1]) - 1}"
    server.ask("PUT", f"{PATH}/{scope.shared}", json=copies)


def _why(answer: Answer) -> str:
    error = answer.body.get("error")
    return " ".join(str(error.get("reason") if isinstance(error, dict) else error).split())[:300]


def _copies(server: Server, found: Mapping[str, Any] | None) -> int | None:
    """How many copies a domain with `cluster.routing.allocation.awareness.balance` counts by: one a zone (Multi-AZ with Standby).

    Where its settings may not be read, as many as the template that is there has.
    """
    answer = server.ask("GET", SETTINGS, also={400, 401, 403, 404, 405})
    if answer.status != 200:
        inner = (found or {}).get("template") or {}
        there = dict(_flat(inner.get("settings", {}))).get(REPLICAS, "")
        return int(there.removeprefix("0-")) + 1 if re.fullmatch(r"0-\d+", there) and there != "0-1" else None
    settings: dict[str, str] = {}
    for kind in ("defaults", "persistent", "transient"):
        settings |= _flat(answer.body.get(kind, {}))
    if settings.get(BALANCE) != "true":
        return None
    zones = [len(value.split(",")) for key, value in settings.items() if ZONES.fullmatch(key)]
    return max(zones, default=0) or None


def _comparable(template: Mapping[str, Any]) -> dict[str, Any]:
    """A template with its settings as OpenSearch gives them back: text, by full name."""
    inner = template["template"] or {}
    return {**template, "template": {**inner, "settings": dict(_flat(inner.get("settings", {})))}}


def _flat(settings: Mapping[str, Any], path: str = "") -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for name, value in settings.items():
        if isinstance(value, dict):
            found += _flat(value, f"{path}{name}.")
        else:
            found.append((path + name, str(value).lower() if isinstance(value, bool) else str(value)))
    return found
