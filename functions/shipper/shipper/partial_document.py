"""Shortens a document that the index refused, by one step after each refusal.

The first steps leave out the fields that the server named, at most three. The next step leaves out
all fields, and the last step leaves out the reason of the refusal.
"""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec import Raw

from shipper.bulk import TWICE
from shipper.document import ENVELOPE, NO_FIELDS, Document, Form

# At most this number of fields are left out one by one. After one more refusal, all fields are left
# out.
NAMES: Final = 3

Error = dict[str, str]

_object: Final = msgspec.json.Decoder(dict[str, Raw]).decode
_array: Final = msgspec.json.Decoder(list[Raw]).decode


def less(document: Document, error: Error) -> Document | None:
    """Return the document after the next step, or None after the last step.

    `error` is the server's refusal.
    """
    match document.form:
        case Form.WHOLE | Form.REDUCED:
            return reduced(document, error) or rescued(document, error)
        case Form.RESCUED:
            return _shortened(document, NO_FIELDS, Form.BARE)
        case Form.BARE:
            return None


def reduced(document: Document, error: Error) -> Document | None:
    """Return the document without the field that `error` names.

    Returns None if `error` names no field of this line, or if the document has already lost `NAMES`
    fields.

    Exception: the server may refuse a field because its name occurs twice in one object. The
    document then keeps this field, with the last of its values.
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
    tail = (
        b',"@rescued":'
        + msgspec.json.encode(said)
        + (b"," + content[1:] if content != b"{}" else b"}")
        + b"\n"
    )
    if document.lines[-document.tail :] == tail:
        return None  # nothing changed, so the index would refuse it again
    return _shortened(document, tail, Form.REDUCED)


def rescued(document: Document, error: Error) -> Document:
    """Return the document without its fields, but with the reason why they are missing."""
    tail = b',"@rescued":' + msgspec.json.encode(error) + b"}\n"
    return _shortened(document, tail, Form.RESCUED)


def _shortened(document: Document, tail: bytes, form: Form) -> Document:
    """Return the document with `tail` in place of its fields."""
    lines = document.lines[: -document.tail] + tail
    return Document(lines, len(tail), form, place=document.place)


def _names(said: Raw | None) -> list[str]:
    """Return the names of the fields that earlier steps left out.

    `said` is the document's `@rescued`.
    """
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
    """Return the fields without the field at a dotted path, or None if there is no such field.

    The field may be in nested objects, or may have dots in its name.
    """
    left: dict[str, Raw] = {}
    found = False
    for name, value in fields.items():
        if name == path or name.startswith(f"{path}."):
            found = True
        elif (
            path.startswith(f"{name}.")
            and (inner := _lessened(value, path[len(name) + 1 :])) is not None
        ):
            left[name] = Raw(inner)
            found = True
        else:
            left[name] = value
    return left if found else None


def _lessened(value: Raw, path: str) -> bytes | None:
    """Return a JSON value without the inner value at a path, or None if there is no such value.

    If the value is an array, the inner value is left out in each element.
    """
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
            return msgspec.json.encode(
                [element if inner is None else Raw(inner) for element, inner in pairs]
            )
        case _:
            return None
