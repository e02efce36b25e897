"""Determine the state of a saved object: installed, older than its file, or changed by hand.

The index pattern of a stack has a manifest, in an attribute that Kibana does not show. The manifest
contains the stack's name, the stack's log groups, and the digest of each object as it was
installed. While an object still has this digest, nobody has changed the object. If somebody saves
an unchanged object, Kibana adds attributes; the digest ignores them. Earlier versions of the
installer wrote the digest at the end of the object's description.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from installer.installed_parts import State
from installer.saved_objects import SavedObject, unpacked

ATTRIBUTE: Final = "predictionMonitor"
FORMER: Final = re.compile(r" ?\[prediction-monitor ([0-9a-f]{8})\]$")
ANY: Final = object()
# Attributes that Kibana 7.10 and OpenSearch Dashboards add when somebody saves an object. An added
# attribute changes nothing if it has the value in this table; ANY stands for every value.
ADDED: Final[Mapping[str, Any]] = {
    "circlesRadius": 3, "detailedTooltip": True, "dimensions": ANY, "drawLinesBetweenPoints": True,
    "drop_partials": False, "enabled": True, "has_extended_bounds": False, "hidePanelTitles": False,
    "highlightAll": True, "hits": 0, "interpolate": "linear", "isVislibVis": True, "lineWidth": 2,
    "maxLegendLines": 1, "missingBucket": False, "missingBucketLabel": "Missing",
    "otherBucket": False, "otherBucketLabel": "Other", "row": True, "scaleMetricValues": False,
    "showCircles": True, "timeRange": ANY, "truncateLegend": True, "useMargins": True,
    "useNormalizedEsInterval": True, "useNormalizedOpenSearchInterval": True, "used_interval": ANY,
    "version": ANY,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Manifest:
    """The data about a stack in the stack's index pattern.

    `stack` is the stack's name. `groups` are its log groups. `digests` has the digest of each
    object, by the object's type and id.
    """

    stack: str = ""
    groups: Sequence[str] = ()
    digests: Mapping[str, str] = field(default_factory=dict)

    def attribute(self) -> dict[str, Any]:
        """Return the manifest as the value of the attribute `ATTRIBUTE`."""
        return {"stack": self.stack, "groups": list(self.groups), "digests": dict(self.digests)}


def manifest(theirs: Mapping[str, Any] | None) -> Manifest:
    """Return the manifest of an index pattern.

    `theirs` is the index pattern on the server, in the form of Kibana's API. Returns an empty
    manifest if the index pattern has no manifest, or an invalid one.
    """
    found = theirs["attributes"].get(ATTRIBUTE) if theirs else None
    if not isinstance(found, dict):
        return Manifest()
    digests = found.get("digests")
    groups = found.get("groups")
    return Manifest(
        str(found.get("stack", "")),
        [str(one) for one in groups] if isinstance(groups, list) else [],
        {str(name): str(value) for name, value in digests.items()}
        if isinstance(digests, dict)
        else {},
    )


def merged(ours: SavedObject, theirs: Mapping[str, Any] | None) -> SavedObject:
    """Return the object to install.

    An index pattern keeps the fields that Kibana has added from documents.
    """
    if theirs is None or ours.type != "index-pattern":
        return ours
    known = {entry["name"] for entry in ours.attributes["fields"]}
    learned = [
        entry
        for entry in unpacked(theirs["attributes"]).get("fields") or []
        if entry["name"] not in known and not entry.get("scripted")
    ]
    return replace(
        ours, attributes={**ours.attributes, "fields": [*ours.attributes["fields"], *learned]}
    )


def state(ours: SavedObject, theirs: Mapping[str, Any] | None, installed: str | None) -> State:
    """Return the state of an object.

    `theirs` is the object on the server, in the form of the API. `installed` is the digest that the
    manifest has for the object.
    """
    if theirs is None:
        return State.MISSING
    try:
        attributes = unpacked(theirs["attributes"])
    except ValueError:  # Kibana never writes invalid JSON, so a person did
        return State.BY_HAND
    if ours.type == "index-pattern":
        return _state_of_pattern(ours.attributes, attributes)
    references = theirs.get("references", [])
    now = _digest(attributes, references)
    if now == digest(ours):
        return State.INSTALLED if now == installed else State.DIFFERENT
    return (
        State.DIFFERENT
        if now == installed or _untouched_since_before(attributes, references)
        else State.BY_HAND
    )


def digest(one: SavedObject) -> str:
    """Return the digest of an object's content, in eight characters.

    The digest depends neither on the order of members nor on attributes that Kibana adds.
    """
    return _digest(one.attributes, one.references)


def _digest(attributes: Mapping[str, Any], references: Sequence[Mapping[str, str]]) -> str:
    names = {one["name"]: f"{one['type']}/{one['id']}" for one in references}
    content = [_plain(attributes, names), sorted(set(names.values()))]
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:8]


def _plain(value: Any, names: Mapping[str, str]) -> Any:
    """Return a value without the members that are empty or that Kibana adds.

    The names of references are replaced by their targets, and panels are sorted by their place.
    """
    if isinstance(value, dict):
        entries = {
            name: names.get(inner, inner)
            if name.endswith("RefName") and isinstance(inner, str)
            else _plain(inner, names)
            for name, inner in value.items()
            if not _added(name, inner)
        }
        return {
            name: inner
            for name, inner in entries.items()
            if inner is not None and inner not in ("", [], {})
        }
    if isinstance(value, list):
        plain = [_plain(inner, names) for inner in value]
        placed = all(isinstance(one, dict) and "gridData" in one for one in plain)
        return sorted(plain, key=_place) if placed else plain
    return value


def _added(name: str, value: Any) -> bool:
    return name in ADDED and (ADDED[name] is ANY or ADDED[name] == value)


def _untouched_since_before(
    attributes: Mapping[str, Any], references: list[dict[str, str]]
) -> bool:
    """Return whether an object is unchanged since an earlier version installed it.

    The earlier version computed the digest of the whole object, and then wrote this digest at the
    end of the object's description.
    """
    description = str(attributes.get("description", ""))
    stamp = FORMER.search(description)
    plain = {**attributes, "description": FORMER.sub("", description)}
    content = [plain, sorted(references, key=lambda reference: reference["name"])]
    return (
        stamp is not None
        and stamp[1] == hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:8]
    )


def _state_of_pattern(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> State:
    fields = theirs.get("fields") or []
    if any(entry.get("scripted") for entry in fields) or _relevant(ours) != _relevant(theirs):
        return State.BY_HAND
    missing = {entry["name"] for entry in ours["fields"]} - {entry["name"] for entry in fields}
    return State.DIFFERENT if missing else State.INSTALLED


def _relevant(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Return the attributes without the list of fields, the manifest, and empty attributes.

    Kibana adds empty attributes when it refreshes the list of fields.
    """
    left_out = {"fields", ATTRIBUTE}
    return {
        name: value
        for name, value in attributes.items()
        if name not in left_out and value not in (None, "", [], {}, "{}", "[]")
    }


def _place(panel: Mapping[str, Any]) -> tuple[int, int]:
    return panel["gridData"].get("y", 0), panel["gridData"].get("x", 0)
