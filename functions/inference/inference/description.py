"""Describes the model: its card, the digest of its files, its golden sentences.

A golden sentence is stored with the prediction that it must get. The description is only for
callers that invoke the function directly, not through the API.
"""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

FILES: Final = ("model.onnx", "tokenizer.json")
BLOCK: Final = 1 << 20  # bytes to read at once, because a whole file can be too large for memory


def description(folder: Path, card: dict[str, Any]) -> dict[str, Any]:
    """Return the answer to `{"describe": true}`.

    `digest` is computed from the files in the folder, so it differs from `card.version` if a file
    belongs to another model. `golden` comes from `profile.json`, and is left out if the file does
    not have it.
    """
    golden = _golden(folder / "profile.json")
    return {
        "card": card,
        "digest": version(folder, card["temperature"]),
        **({} if golden is None else {"golden": golden}),
    }


def version(folder: Path, temperature: float) -> str:
    """Return 12 hex digits of a digest of weights, tokenizer and temperature.

    A score depends only on these three and on the text.
    """
    digest = sha256()
    for name in FILES:
        with (folder / name).open("rb") as file:
            while block := file.read(BLOCK):
                digest.update(block)
    digest.update(repr(temperature).encode())
    return digest.hexdigest()[:12]


def _golden(path: Path) -> Any:
    """Return the file's golden sentences and their tolerances, or None if the file has none."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))["golden"]
    except (OSError, ValueError, TypeError, LookupError):
        return None
