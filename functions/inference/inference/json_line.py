"""Encodes a line of the log."""

from __future__ import annotations

from json import JSONEncoder

# Made once: `json.dumps` makes an encoder for each call.
encode = JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
