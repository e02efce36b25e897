"""Moves a user's fields to the names of a prediction's fields.

For instance, `prediction.label=label` moves the field `label` to `prediction.label`.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from shipper.json_text import Fields

Path = tuple[str, ...]
FieldMap = Mapping[str, Path]  # from a target to the parts of the field's path in the line

TARGETS: Final = (
    "text",
    "prediction.label",
    "prediction.score",
    "prediction_id",
    "traffic",
    "model.name",
    "model.version",
)
ABSENT: Final = object()
LEVELS: Final = 20  # the largest number of parts of a path; OpenSearch has the same limit
NO_NAMES: Final[FieldMap] = MappingProxyType({})


def field_map(text: str) -> FieldMap:
    """Parse a setting of the form `target=name,target=name`. A name may be a path with dots.

    Raises `ValueError` with a sentence that shows the correct form.
    """
    found: dict[str, Path] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        target, equals, name = (each.strip() for each in part.partition("="))
        path = tuple(name.split("."))
        if not equals or not all(path) or len(path) > LEVELS:
            raise ValueError(
                "FIELD_MAP must be a comma-separated list of target=name, such as "
                f"prediction.label=label, but it contains {part!r}"
            )
        if target not in TARGETS:
            raise ValueError(
                f"FIELD_MAP has the target {target!r}, but the only targets are "
                f"{', '.join(TARGETS)}"
            )
        if target in found:
            raise ValueError(f"FIELD_MAP has two names for {target!r}: give only one")
        if path in found.values():
            raise ValueError(f"FIELD_MAP moves {name!r} to two targets: give only one")
        found[target] = path
    return found


def moved(fields: Fields, names: FieldMap) -> Fields:
    """Return a copy of the fields in which mapped fields have the names of their targets.

    All mapped fields are removed before the first is inserted, so that `prediction` can become
    `prediction.label`. If a line already has a value under the target's name, that value stays, and
    the mapped field keeps its own name.
    """
    if not names:
        return fields
    found = dict(fields)
    taken = {
        target: value
        for target, path in names.items()
        if (value := _take(found, path)) is not ABSENT
    }
    held = {
        target
        for target, value in taken.items()
        if not _put(found, tuple(target.split(".")), value)
    }
    if held:
        return moved(fields, {target: path for target, path in names.items() if target not in held})
    return found


def _take(fields: Fields, path: Path) -> Any:
    """Remove a value from `fields`, and return it. Objects that become empty are removed too.

    The path `request.id` can mean a field with this name, or the field `id` of the object
    `request`. If there are both, the field with this name is removed.

    Objects inside `fields` are copied before they are changed.
    """
    whole = ".".join(path)
    if whole in fields:
        return fields.pop(whole)
    first, *rest = path
    inner = fields.get(first)
    if not rest or not isinstance(inner, dict):
        return ABSENT
    inner = dict(inner)
    value = _take(inner, tuple(rest))
    if value is ABSENT:
        return ABSENT
    if inner:
        fields[first] = inner
    else:
        del fields[first]
    return value


def _put(fields: Fields, path: Path, value: Any) -> bool:
    """Insert a value unless the path already has one. Returns whether it was inserted."""
    *above, last = path
    for name in above:
        inner = fields.get(name, {})
        if not isinstance(inner, dict):
            return False
        below = dict(inner)
        fields[name] = below
        fields = below
    if last in fields:
        return False
    fields[last] = value
    return True
