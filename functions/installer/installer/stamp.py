"""Whose work a saved object is: ours as installed, older than its file, or changed by hand in Kibana since.

An object carries at the end of its description the digest of what was installed. While it still has that digest, nobody
has touched it. An index pattern has no description; its list of fields is a cache, and anything else is compared.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from installer.objects import SavedObject, unpacked
from installer.plan import State

STAMP: Final = re.compile(r" ?\[prediction-monitor ([0-9a-f]{8})\]$")
EMPTY: Final[tuple[Any, ...]] = (None, "", [], {})


def stamped(one: SavedObject) -> SavedObject:
    """The object as it is installed: with its digest, where it has a description to carry it."""
    if one.type == "index-pattern":
        return one
    stamp = f"[prediction-monitor {_digest(one.attributes, one.references)}]"
    return replace(one, attributes={**one.attributes, "description": f"{one.attributes.get('description', '')} {stamp}".lstrip()})


def merged(ours: SavedObject, theirs: Mapping[str, Any] | None) -> SavedObject:
    """The object as it is to be installed: an index pattern keeps the fields that it learned from documents."""
    if theirs is None or ours.type != "index-pattern":
        return ours
    known = {field["name"] for field in ours.attributes["fields"]}
    learned = [
        field for field in unpacked(theirs["attributes"]).get("fields") or [] if field["name"] not in known and not field.get("scripted")
    ]
    return replace(ours, attributes={**ours.attributes, "fields": [*ours.attributes["fields"], *learned]})


def state(ours: SavedObject, theirs: Mapping[str, Any] | None) -> State:
    """How an object is found, `theirs` being what the API gives for it."""
    if theirs is None:
        return State.MISSING
    try:
        attributes = unpacked(theirs["attributes"])
    except ValueError:  # Kibana never writes JSON that is none
        return State.BY_HAND
    if ours.type == "index-pattern":
        return _state_of_pattern(ours.attributes, attributes)
    stamp = STAMP.search(str(attributes.get("description", "")))
    now = _digest(attributes, theirs.get("references", []))
    untouched = stamp is not None and stamp[1] == now
    if now == _digest(ours.attributes, ours.references):
        return State.INSTALLED if untouched else State.DIFFERENT
    return State.DIFFERENT if untouched else State.BY_HAND


def _digest(attributes: Mapping[str, Any], references: list[dict[str, str]]) -> str:
    """What an object says, in eight characters: but for its stamp, however it is spelt."""
    plain = {**attributes, "description": STAMP.sub("", str(attributes.get("description", "")))}
    content = [plain, sorted(references, key=lambda reference: reference["name"])]
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:8]


def _state_of_pattern(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> State:
    fields = theirs.get("fields") or []
    if any(field.get("scripted") for field in fields) or _apart(ours) != _apart(theirs):
        return State.BY_HAND
    missing = {field["name"] for field in ours["fields"]} - {field["name"] for field in fields}
    return State.DIFFERENT if missing else State.INSTALLED


def _apart(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Attributes without the list of fields, and without the empty ones that Kibana adds when it refreshes that list."""
    return {name: value for name, value in attributes.items() if name != "fields" and value not in (*EMPTY, "{}", "[]")}
