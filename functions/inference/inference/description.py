"""Describes the model to a direct caller: its card, file digest and golden sentences."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

FILES: Final = ("model.onnx", "tokenizer.json")
BLOCK: Final = 1 << 20  # bytes read at once, since a second copy of the model may not fit in memory


def description(folder: Path, card: dict[str, Any]) -> dict[str, Any]:
    """Return the answer to `{"describe": true}`.

    `digest` is that of the files in the package, so it differs from `card.version` if a file is of
    another model. `golden` is that of `profile.json`, and absent if the folder has none.
    """
    golden = _golden(folder / "profile.json")
    return {
        "card": card,
        "digest": version(folder, card["temperature"]),
        **({} if golden is None else {"golden": golden}),
    }


def version(folder: Path, temperature: float) -> str:
    """Return 12 hex digits of a digest of weights, tokenizer and temperature.

    These three decide a score.
    """
    digest = sha256()
    for name in FILES:
        with (folder / name).open("rb") as file:
            while block := file.read(BLOCK):
                digest.update(block)
    digest.update(repr(temperature).encode())
    return digest.hexdigest()[:12]


def _golden(path: Path) -> Any:
    """Return the golden sentences and tolerances of the file, or None if it has none."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))["golden"]
    except (OSError, ValueError, TypeError, LookupError):
        return None
