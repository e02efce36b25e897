"""Leaves out parts of a document that the index refused, one step per refusal.

The steps: leave out the field that the server named (at most three such fields), then all fields,
then the reason for the refusal.
"""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec import Raw

from shipper.bulk import TWICE
from shipper.document import ENVELOPE, NO_FIELDS, Document, Form

# the number of single fields that a document can lose; the next refusal costs all of its fields
NAMES: Final = 3

Error = dict[str, str]

_object: Final = msgspec.json.Decoder(dict[str, Raw]).decode
_array: Final = msgspec.json.Decoder(list[Raw]).decode


def less(document: Document, error: Error) -> Document | None:
    """The document with less in it; None if nothing is left to leave out.

    `error` is the server's refusal.
    """
    match document.form:
        case Form.WHOLE | Form.REDUCED:
            return reduced(document, error) or rescued(document, error)
        case Form.RESCUED:
            head = document.lines[: -document.tail]
            return Document(head + NO_FIELDS, len(NO_FIELDS), Form.BARE)
        case Form.BARE:
            return None


def reduced(document: Document, error: Error) -> Document | None:
    """The document without the field that `error` names.

    None if `error` names no field of this line, or `NAMES` fields are gone already.

    A field whose name occurs twice in an object is not lost: the fields are written again, with the
    last value.
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
    return Document(document.lines[: -document.tail] + tail, len(tail), Form.REDUCED)


def rescued(document: Document, error: Error) -> Document:
    """The document without its fields: the envelope, the line, and the reason why the fields are missing."""
    tail = b',"@rescued":' + msgspec.json.encode(error) + b"}\n"
    return Document(document.lines[: -document.tail] + tail, len(tail), Form.RESCUED)


def _names(said: Raw | None) -> list[str]:
    """The names of the fields that a document has lost already, from its `@rescued`."""
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
    """The fields without the one at a dotted path, in nested objects or with dots in its name; None if there is no such field."""
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
    """A JSON value without the value at a path, in an array without that of each element; None if the path leads to no value."""
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
