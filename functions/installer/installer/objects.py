"""The saved objects: readable files in `kibana/saved/`, and the same as the import API takes them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from installer import files
from installer.fields import fields
from installer.index_template import index_template
from installer.scope import Scope

FOLDER: Final = files.FOLDER / "saved"
TYPES: Final = (
    "index-pattern",
    "search",
    "visualization",
    "dashboard",
)  # in the order in which one refers to another
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
    """One saved object; attributes that the API wants as JSON strings are objects here."""

    type: str
    id: str
    attributes: dict[str, Any]
    references: list[dict[str, str]]
    migration: dict[str, str]

    @property
    def name(self) -> str:
        """Type and id, as people read them."""
        return f"{self.type} {self.id}"

    def wire(self) -> dict[str, Any]:
        """The object as the API takes it."""
        return {
            "type": self.type,
            "id": self.id,
            "attributes": packed(self.attributes),
            "references": self.references,
            "migrationVersion": self.migration,
        }


def saved_objects(folder: Path = FOLDER) -> list[SavedObject]:
    """Every object of `folder` (`TYPE/ID.json`), those that others refer to first; the index pattern has the template's fields."""
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
    """The index pattern among the objects."""
    return next((one for one in objects if one.type == "index-pattern"), None)


def rendered(objects: Iterable[SavedObject], scope: Scope) -> list[SavedObject]:
    """The objects as a stack has them: over its prefix, of its documents and those without `@stack`, under its names.

    Titles name the stack unless it has the names of the time when a domain had one.
    """
    return [_rendered(one, scope) for one in objects]


def _rendered(one: SavedObject, scope: Scope) -> SavedObject:
    references = [{**reference, "id": scope.own(reference["id"])} for reference in one.references]
    if one.type == "index-pattern":
        title = one.attributes["title"]
        attributes = {**one.attributes, "title": scope.pattern if title == "cwl-*" else title}
    else:
        attributes = _of_stack(
            {**one.attributes, "title": one.attributes["title"] + scope.mark}, scope.stack
        )
        if "visState" in attributes:
            attributes["visState"] = {**attributes["visState"], "title": attributes["title"]}
    return replace(one, id=scope.own(one.id), attributes=attributes, references=references)


def _of_stack(attributes: dict[str, Any], stack: str) -> dict[str, Any]:
    """A saved object's attributes, with a Lucene query limited to the documents of a stack."""
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
    """Attributes with JSON strings where the API requires them."""
    return {
        name: json.dumps(value, ensure_ascii=False, separators=(",", ":"))
        if name in STRINGS
        else packed(value)
        if isinstance(value, dict)
        else value
        for name, value in attributes.items()
    }


def unpacked(attributes: dict[str, Any]) -> dict[str, Any]:
    """The opposite of `packed`. Raises `ValueError` for invalid JSON."""
    return {
        name: json.loads(value)
        if name in STRINGS and isinstance(value, str)
        else unpacked(value)
        if isinstance(value, dict)
        else value
        for name, value in attributes.items()
    }


def ndjson(objects: Iterable[SavedObject]) -> bytes:
    """The body of an import: one line for each object."""
    return "".join(json.dumps(one.wire(), ensure_ascii=False) + "\n" for one in objects).encode()
