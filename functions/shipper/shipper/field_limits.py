"""Detects lines whose fields would block an index for seconds, before the lines are sent.

OpenSearch 3.8 refuses such a line, but only after a long time. The time grows with the cube of the
number of dots in one name (0.24 s for 450 dots, 20 s for 2,000 dots), and by 75 µs with each new
name. So a single line of 4 kB can keep a write thread busy for many seconds. The limits are index
settings; this module uses their defaults
(https://docs.opensearch.org/latest/field-types/#mapping-limit-settings).
"""

from __future__ import annotations

import json
from typing import Any, Final

import msgspec

from shipper.document import FEW_BYTES, FEW_DOTS, FEW_NAMES, Document
from shipper.partial_document import rescued

# index.mapping.depth.limit: the largest number of names on the path to a value. A dot in a name
# counts as one more name.
DEPTH: Final = 20
NAMES: Final = 1000  # index.mapping.total_fields.limit
ESCAPED_DOT: Final = b"\\u002"  # the first bytes of an escaped dot (\u002e)
TOO_DEEP: Final = {"type": "not sent whole", "limit": f"mapping depth [{DEPTH}]"}
TOO_MANY: Final = {"type": "not sent whole", "limit": f"total fields [{NAMES}]"}


def sendable(document: Document) -> Document:
    """Return the document. If the line's fields exceed a limit, the result has none of them.

    The field `@rescued` of the result then names the limit as the reason.
    """
    if document.few:  # nearly every document
        return document
    lines, tail = document.lines, document.tail
    dots = lines.count(b".", -tail)
    if lines.find(b"\\", -tail) >= 0:
        dots += lines.count(ESCAPED_DOT, -tail)
    if dots < FEW_DOTS and (tail < FEW_BYTES or lines.count(b":", -tail) < FEW_NAMES):
        return document
    try:
        limit = _exceeded(_read(b"{" + lines[1 - tail :]))
    except RecursionError:
        limit = TOO_DEEP
    return rescued(document, limit) if limit else document


def _read(content: bytes) -> Any:
    try:
        return msgspec.json.decode(content)
    # A possible cause: the fields contain a number that msgspec does not accept.
    except (msgspec.DecodeError, UnicodeError):
        return json.loads(content.decode(errors="replace"), parse_int=str, parse_float=str)


def _exceeded(fields: dict[str, Any]) -> dict[str, str] | None:
    """Return the limit that the fields exceed, or None.

    A name that occurs in several objects of an array counts once, as in an index.
    """
    # Maps each path to a number. In a key, a path is given by the number of its parent path, and by
    # the path's last name.
    numbers: dict[tuple[int, str], int] = {}
    open_values: list[tuple[Any, int, int, int]] = [(fields, 0, 0, 0)]
    while open_values:
        value, parent, depth, arrays = open_values.pop()
        if isinstance(value, list):
            if arrays == DEPTH:
                return TOO_DEEP
            open_values += [
                (each, parent, depth, arrays + 1) for each in value if isinstance(each, dict | list)
            ]
            continue
        for name, inner in value.items():
            below = depth + 1 + name.count(".")
            if below > DEPTH:
                return TOO_DEEP
            number = numbers.setdefault((parent, name), len(numbers) + 1)
            if isinstance(inner, dict | list):
                open_values.append((inner, number, below, 0))
        if len(numbers) > NAMES:
            return TOO_MANY
    return None
