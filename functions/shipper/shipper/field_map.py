"""Moves a user's fields to the names of a prediction's fields: `prediction.label=label` moves `label` to `prediction.label`."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from shipper.json_text import Fields

Path = tuple[str, ...]
FieldMap = Mapping[str, Path]  # target, and the parts of the name that a line has instead

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
LEVELS: Final = 20  # of a path: an index takes no more
NO_NAMES: Final[FieldMap] = MappingProxyType({})


def field_map(text: str) -> FieldMap:
    """Parse a setting of the form `target=name,target=name`. A name may be a path with dots.

    Raises `ValueError` with a sentence that shows the right form.
    """
    found: dict[str, Path] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        target, equals, name = (each.strip() for each in part.partition("="))
        path = tuple(name.split("."))
        if not equals or not all(path) or len(path) > LEVELS:
            raise ValueError(
                f"FIELD_MAP must be target=name, with commas, such as prediction.label=label, not {part!r}"
            )
        if target not in TARGETS:
            raise ValueError(f"FIELD_MAP moves fields to {', '.join(TARGETS)}, not to {target!r}")
        if target in found:
            raise ValueError(f"FIELD_MAP names {target} twice: give one name for it")
        if path in found.values():
            raise ValueError(f"FIELD_MAP moves {name} to two fields: give one of them")
        found[target] = path
    return found


def moved(fields: Fields, names: FieldMap) -> Fields:
    """The fields under their targets' names; `fields` stays as it is.

    All are taken out before the first is put in, so that `prediction` can become
    `prediction.label`. A value that a line already has under the target's name is not overwritten:
    the other field then stays where it was.
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
    """Remove a value and the objects that become empty, and return the value.

    One field's name may itself contain the dots.

    Changes `fields`, but copies the objects inside it first.
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
