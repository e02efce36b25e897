"""Read the saved objects from `kibana/saved/`, and convert them for the import API."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from installer import files
from installer.index_pattern_fields import fields
from installer.index_template import index_template
from installer.prefix_and_stack import PATTERN, Scope

PRODUCT: Final = "Prediction Monitor: "  # the start of each dashboard's title
FOLDER: Final = files.FOLDER / "saved"
# An object refers only to objects of earlier types in this list.
TYPES: Final = ("index-pattern", "search", "visualization", "dashboard")
VIEW: Final = re.compile(r"\(#/view/([\w-]+)\)")  # in a text, a link to a dashboard
# Attributes that the API requires as JSON strings.
STRINGS: Final = (
    "visState",
    "uiStateJSON",
    "searchSourceJSON",
    "panelsJSON",
    "optionsJSON",
    "fields",
    "fieldFormatMap",
)


@dataclass(frozen=True, slots=True)
class SavedObject:
    """One saved object. Attributes that the API requires as JSON strings are objects here."""

    type: str
    id: str
    attributes: dict[str, Any]
    references: list[dict[str, str]]
    migration: dict[str, str]

    @property
    def name(self) -> str:
        """The type and the id, for messages."""
        return f"{self.type} {self.id}"

    def wire(self) -> dict[str, Any]:
        """Return the object in the form that the API requires."""
        return {
            "type": self.type,
            "id": self.id,
            "attributes": packed(self.attributes),
            "references": self.references,
            "migrationVersion": self.migration,
        }


def saved_objects(folder: Path = FOLDER) -> list[SavedObject]:
    """Read every object of `folder` (`TYPE/ID.json`), each after the objects that it refers to.

    The index pattern gets the fields of the index template.
    """
    found: list[SavedObject] = []
    for kind in TYPES:
        for path in sorted((folder / kind).glob("*.json")):
            content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            attributes = content["attributes"]
            if kind == "index-pattern":
                attributes = {**attributes, "fields": fields(index_template())}
            found.append(
                SavedObject(
                    kind,
                    path.stem,
                    attributes,
                    content.get("references", []),
                    content["migrationVersion"],
                )
            )
    return found


def index_pattern(objects: Iterable[SavedObject]) -> SavedObject | None:
    """Return the index pattern among the objects, or None."""
    return next((one for one in objects if one.type == "index-pattern"), None)


def rendered(objects: Iterable[SavedObject], scope: Scope) -> list[SavedObject]:
    """Return the objects with the stack's names, prefix and queries.

    The queries select documents of the stack, and documents without `@stack`. If `scope.former` is
    false, the stack's name is added to each title except the index pattern's title.
    """
    return [_rendered(one, scope) for one in objects]


def _rendered(one: SavedObject, scope: Scope) -> SavedObject:
    references = [{**reference, "id": scope.own(reference["id"])} for reference in one.references]
    if one.type == "index-pattern":
        title = one.attributes["title"]
        attributes = {**one.attributes, "title": scope.pattern if title == PATTERN else title}
    else:
        attributes = _of_stack(
            {**one.attributes, "title": one.attributes["title"] + scope.mark}, scope.stack
        )
        if "visState" in attributes:
            attributes["visState"] = {
                **_linked(attributes["visState"], scope),
                "title": attributes["title"],
            }
    return replace(one, id=scope.own(one.id), attributes=attributes, references=references)


def _linked(state: dict[str, Any], scope: Scope) -> dict[str, Any]:
    """Return a visualization's state with links that lead to the stack's own dashboards."""
    text = state.get("params", {}).get("markdown")
    if text is None:
        return state
    own = VIEW.sub(lambda found: f"(#/view/{scope.own(found[1])})", text)
    return {**state, "params": {**state["params"], "markdown": own}}


def _of_stack(attributes: dict[str, Any], stack: str) -> dict[str, Any]:
    """Limit the Lucene query in a saved object's attributes to the documents of a stack."""
    meta = attributes.get("kibanaSavedObjectMeta", {})
    source = meta.get("searchSourceJSON", {})
    text = source.get("query", {}).get("query")
    if not (stack and text):
        return attributes
    query = {
        **source["query"],
        "query": f'{text} AND (@stack:"{stack}" OR (*:* AND NOT _exists_:@stack))',
    }
    return {
        **attributes,
        "kibanaSavedObjectMeta": {**meta, "searchSourceJSON": {**source, "query": query}},
    }


def packed(attributes: dict[str, Any]) -> dict[str, Any]:
    """Return the attributes with JSON strings where the API requires strings."""
    return {
        name: json.dumps(value, ensure_ascii=False, separators=(",", ":"))
        if name in STRINGS
        else packed(value)
        if isinstance(value, dict)
        else value
        for name, value in attributes.items()
    }


def unpacked(attributes: dict[str, Any]) -> dict[str, Any]:
    """Reverse `packed`. Raises `ValueError` for invalid JSON."""
    return {
        name: json.loads(value)
        if name in STRINGS and isinstance(value, str)
        else unpacked(value)
        if isinstance(value, dict)
        else value
        for name, value in attributes.items()
    }


def ndjson(objects: Iterable[SavedObject]) -> bytes:
    """Return the body of an import: one line for each object."""
    return "".join(json.dumps(one.wire(), ensure_ascii=False) + "\n" for one in objects).encode()
