"""A document with less of its line's fields, for an index that refused it: one rung down at each refusal.

Whole, without the field that the server named (three at most), without any field, without the reason.
"""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec import Raw

from shipper.bulk import TWICE
from shipper.document import ENVELOPE, NO_FIELDS, Document, Form

NAMES: Final = 3  # that one document can lose before it loses all of its fields

Error = dict[str, str]

_object: Final = msgspec.json.Decoder(dict[str, Raw]).decode
_array: Final = msgspec.json.Decoder(list[Raw]).decode


def less(document: Document, error: Error) -> Document | None:
    """The same line one rung down; `error` names the refused field. None when nothing is left to leave out."""
    match document.form:
        case Form.WHOLE | Form.REDUCED:
            return reduced(document, error) or rescued(document, error)
        case Form.RESCUED:
            head = document.lines[: -document.tail]
            return Document(head + NO_FIELDS, len(NO_FIELDS), Form.BARE)
        case Form.BARE:
            return None


def reduced(document: Document, error: Error) -> Document | None:
    """The document without the field that `error` names; None where it names none that the line holds, or too many went already.

    A name that an object holds twice is no reason to lose it: the fields are written anew, with the last value.
    """
    field = error.get("field", "")
    if not field or field.partition(".")[0] in ENVELOPE:
        return None
    try:
        fields = _object(b"{" + document.lines[-document.tail + 1 :])
        gone = _names(fields.pop("@rescued", None))
        if error.get("name") == TWICE:
            content = _anew(fields)
        elif len(gone) < NAMES and (left := _without(fields, field)) is not None:
            content, gone = msgspec.json.encode(left), [*gone, field]
        else:
            return None
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None
    said = {**error, "field": gone[0] if len(gone) == 1 else gone} if gone else error
    tail = b',"@rescued":' + msgspec.json.encode(said) + (b"," + content[1:] if content != b"{}" else b"}") + b"\n"
    if document.lines[-document.tail :] == tail:
        return None  # the same once more: it would be refused once more
    return Document(document.lines[: -document.tail] + tail, len(tail), Form.REDUCED)


def rescued(document: Document, error: Error) -> Document:
    """The envelope, the line, and the reason why there are no fields."""
    tail = b',"@rescued":' + msgspec.json.encode(error) + b"}\n"
    return Document(document.lines[: -document.tail] + tail, len(tail), Form.RESCUED)


def _names(said: Raw | None) -> list[str]:
    """The names that earlier refusals cost a document, out of its `@rescued`."""
    if said is None:
        return []
    found = msgspec.json.decode(said)
    if found.get("name") == TWICE and isinstance(found.get("field"), str):
        return []
    field = found.get("field", [])
    return [field] if isinstance(field, str) else field


def _anew(fields: dict[str, Raw]) -> bytes:
    return msgspec.json.encode({name: msgspec.json.decode(value) for name, value in fields.items()})


def _without(fields: dict[str, Raw], path: str) -> dict[str, Raw] | None:
    """The fields without those at a dotted path, however its dots are written; None where there are none."""
    left: dict[str, Raw] = {}
    found = False
    for name, value in fields.items():
        if name == path or name.startswith(f"{path}."):
            found = True
        elif path.startswith(f"{name}.") and (inner := _lessened(value, path[len(name) + 1 :])) is not None:
            left[name] = Raw(inner)
            found = True
        else:
            left[name] = value
    return left if found else None


def _lessened(value: Raw, path: str) -> bytes | None:
    """A JSON value without the values at a path, in any element of an array; None if there are none."""
    match bytes(value)[:1]:
        case b"{":
            left = _without(_object(value), path)
            return None if left is None else msgspec.json.encode(left)
        case b"[":
            elements = _array(value)
            lessened = [_lessened(element, path) for element in elements]
            if all(inner is None for inner in lessened):
                return None
            pairs = zip(elements, lessened, strict=True)
            return msgspec.json.encode([element if inner is None else Raw(inner) for element, inner in pairs])
        case _:
            return None
