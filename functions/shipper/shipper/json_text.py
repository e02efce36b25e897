"""JSON as text and as values: read leniently, written so that every parser accepts it."""

from __future__ import annotations

import json
import math
from typing import Any, Final

import msgspec

Fields = dict[str, Any]

LEVELS: Final = 2  # levels of strings that hold JSON; no known format has more


def json_value(text: str) -> Any:
    """The JSON in a text, read leniently (NaN becomes null, a lone surrogate U+FFFD); None if the text is no JSON."""
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        pass
    try:
        return clean(json.loads(text))
    except (ValueError, RecursionError):
        return None


def json_object(line: str) -> Fields | None:
    """The JSON object that a line is, or ends with, or holds as a string; None where there is none."""
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
    """A value of Python's parser as strict JSON: null for NaN and infinity, U+FFFD for a lone surrogate."""
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
    """A JSON string; a lone surrogate, which UTF-8 cannot hold, is written as its escape."""
    try:
        return msgspec.json.encode(text)
    except UnicodeEncodeError:
        return json.dumps(text).encode()
