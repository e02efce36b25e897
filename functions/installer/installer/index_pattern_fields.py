"""Make the index pattern's list of fields from the index template.

With this list, Discover works before the first document is indexed.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

# Each key is OpenSearch's name of a type. The value is Kibana's name of the same type.
KINDS: Final = {
    "text": "string", "keyword": "string", "date": "date", "boolean": "boolean",
    "byte": "number", "integer": "number", "long": "number", "float": "number", "double": "number",
}  # fmt: skip
# Each key is a metadata field. The value is the field's type in OpenSearch (None if it has no
# type), and whether Kibana can search the field.
META: Final = {
    "_id": ("_id", True),
    "_index": ("_index", True),
    "_score": (None, False),
    "_source": ("_source", False),
}


def fields(template: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the index pattern's entries, sorted by name.

    The entries are every field of the template, and the metadata fields of every document.
    """
    own = _entries(template["template"]["mappings"]["properties"])
    return sorted([*own, *map(_meta, META)], key=lambda entry: entry["name"])


def _entries(properties: dict[str, Any], path: str = "") -> Iterator[dict[str, Any]]:
    for name, mapping in properties.items():
        if "properties" in mapping:
            yield from _entries(mapping["properties"], f"{path}{name}.")
            continue
        yield _entry(path + name, mapping["type"])
        for part, kind in mapping.get("fields", {}).items():
            yield {
                **_entry(f"{path}{name}.{part}", kind["type"]),
                "subType": {"multi": {"parent": path + name}},
            }


def _entry(name: str, kind: str) -> dict[str, Any]:
    aggregatable = kind != "text"
    return {
        "name": name, "type": KINDS[kind], "esTypes": [kind], "count": 0, "scripted": False,
        "searchable": True, "aggregatable": aggregatable, "readFromDocValues": aggregatable,
    }  # fmt: skip


def _meta(name: str) -> dict[str, Any]:
    kind, searchable = META[name]
    return {
        "name": name,
        "type": "number" if name == "_score" else "_source" if name == "_source" else "string",
        **({"esTypes": [kind]} if kind else {}), "count": 0, "scripted": False,
        "searchable": searchable, "aggregatable": searchable, "readFromDocValues": False,
    }  # fmt: skip
