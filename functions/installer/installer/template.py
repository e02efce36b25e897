"""The index template: what `cwl-*` indices take, and how to put it into a cluster."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import Any, Final

from installer.files import FOLDER
from installer.plan import Part, State, Step, found_as
from installer.server import Server, Trouble

NAME: Final = "prediction-monitor"
PATH: Final = f"/_index_template/{NAME}"
FILE: Final = FOLDER / "index_template.json"


def index_template() -> dict[str, Any]:
    """The template as OpenSearch takes it."""
    template: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8"))
    return template


def plan(server: Server) -> Step:
    """The template on a server. Raises `Trouble`."""
    wanted = index_template()
    answer = server.ask("GET", PATH, also={404})
    if answer.status == 200 and not answer.body.get("index_templates"):
        raise Trouble(f"{server.url} answers, but not as OpenSearch: check --opensearch")
    found = answer.body["index_templates"][0]["index_template"] if answer.status == 200 else None
    same = found is not None and _comparable({name: found.get(name) for name in wanted}) == _comparable(wanted)
    state = found_as(found, right=same)

    def install(_: Collection[str]) -> None:
        server.ask("PUT", PATH, json=wanted)

    def remove(_: Collection[str]) -> None:
        server.ask("DELETE", PATH, also={404})

    remark = "an index that is there keeps its mapping" if state is State.DIFFERENT else ""
    return Step([Part(f"index template {NAME}", state, remark)], install, remove)


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
