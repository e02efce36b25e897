"""Fields that would block an index for seconds, found before they are sent.

OpenSearch 3.8 takes cubic time for the dots in one name (450 dots .24 s, 2,000 dots 20 s) and 75 µs for each new name, before it
refuses the line: one line of 4 kB keeps a write thread busy for as long. Its limits are index settings with the defaults
below (https://docs.opensearch.org/latest/field-types/#mapping-limit-settings).
"""

from __future__ import annotations

import json
from typing import Any, Final

import msgspec

from shipper.document import Document
from shipper.ladder import rescued

DEPTH: Final = 20  # index.mapping.depth.limit: the names on the way to a value, each dot in a name as one more; arrays on their own
NAMES: Final = 1000  # index.mapping.total_fields.limit
# A line with fewer of these bytes cannot cost much, and hardly any line has more: only then are its fields counted. OpenSearch refuses
# nesting alone at no cost.
FEW_DOTS: Final = 64
FEW_NAMES: Final = 500
FEW_BYTES: Final = 5 * FEW_NAMES  # of a name with its colon, its quotation marks and a value
ESCAPED_DOT: Final = b"\\u002"  # the beginning of one
TOO_DEEP: Final = {"type": "not sent whole", "limit": f"mapping depth [{DEPTH}]"}
TOO_MANY: Final = {"type": "not sent whole", "limit": f"total fields [{NAMES}]"}


def sendable(document: Document) -> Document:
    """The document itself, or where its fields are beyond a limit, its rescued form with that limit as the reason."""
    lines, tail = document[0], document[1]
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
    except (msgspec.DecodeError, UnicodeError):  # a number that is none of msgspec's
        return json.loads(content.decode(errors="replace"), parse_int=str, parse_float=str)


def _exceeded(fields: dict[str, Any]) -> dict[str, str] | None:
    """The limit that fields are beyond; None where there is none. An array's objects share their names, as they do in an index."""
    numbers: dict[tuple[int, str], int] = {}  # each path is its parent's number and a name
    open_values: list[tuple[Any, int, int, int]] = [(fields, 0, 0, 0)]
    while open_values:
        value, parent, depth, arrays = open_values.pop()
        if isinstance(value, list):
            if arrays == DEPTH:
                return TOO_DEEP
            open_values += [(each, parent, depth, arrays + 1) for each in value if isinstance(each, dict | list)]
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
