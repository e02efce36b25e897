"""Encodes a line of the log."""

from __future__ import annotations

from json import JSONEncoder

# Made only once, because `json.dumps` would make an encoder at each call.
encode = JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
