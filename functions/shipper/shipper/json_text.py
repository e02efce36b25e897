"""Reads JSON leniently, and writes JSON that every parser accepts."""

from __future__ import annotations

import json
import math
from typing import Any, Final

import msgspec

Fields = dict[str, Any]

# JSON strings in JSON strings are read to this depth. No known format of log lines is deeper.
LEVELS: Final = 2


def json_value(text: str) -> Any:
    """Return the value of a JSON text, or None if the text is not JSON.

    NaN becomes null, and a lone surrogate becomes U+FFFD.
    """
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        pass
    try:
        return clean(json.loads(text))
    except (ValueError, RecursionError):
        return None


def json_object(line: str) -> Fields | None:
    """Return the JSON object in a line, or None if there is none.

    The line may be the object, may end with it, or may be a JSON string that contains it.
    """
    for _ in range(LEVELS):
        start = line.find("{")
        text = line[start:] if start >= 0 else ""
        found = json_value(text) if text else None
        if isinstance(found, dict):
            return found
        inner = json_value(line) if line.lstrip()[:1] == '"' else None
        if not isinstance(inner, str):
            return None
        line = inner
    return None


def clean(value: Any) -> Any:
    """Convert a value from Python's parser to one that strict JSON allows.

    NaN and infinity become null, and a lone surrogate becomes U+FFFD.
    """
    match value:
        case dict():
            return {clean(name): clean(inner) for name, inner in value.items()}
        case list():
            return [clean(inner) for inner in value]
        case str():
            return (
                value
                if value.isascii()
                else value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
            )
        case float() if not math.isfinite(value):
            return None
        case _:
            return value


def quoted(text: str) -> bytes:
    """Return a text as a JSON string. A lone surrogate, which UTF-8 cannot hold, is escaped."""
    try:
        return msgspec.json.encode(text)
    except UnicodeEncodeError:
        return json.dumps(text).encode()
