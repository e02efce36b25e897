"""Describes the characters of a text without revealing it: the part of the record's `input` that needs no model."""

from __future__ import annotations

import hmac
import unicodedata
from collections import Counter
from functools import lru_cache
from hashlib import sha256
from typing import Any, Final

DOMINANT: Final = 2 / 3
LETTERS: Final = ("Lu", "Ll", "Lt", "Lm", "Lo", "Mn", "Mc")

SCRIPTS: Final = frozenset([
    "arabic", "armenian", "bengali", "cyrillic", "devanagari", "ethiopic", "georgian", "greek", "gujarati", "gurmukhi", "han", "hangul",
    "hebrew", "hiragana", "kannada", "katakana", "khmer", "lao", "latin", "malayalam", "myanmar", "oriya", "sinhala", "tamil", "telugu",
    "thai", "tibetan",
])  # fmt: skip


def characters(text: str, key: bytes) -> dict[str, Any]:
    """Counts, share of non-letters, script and hash of a text.

    `key` is the secret of the hash; with an empty key the hash is left out.

    The share lies between 0 and 1; it is a share of the characters that are not white space.
    """
    visible = [character for character in text if not character.isspace()]
    letters = [character for character in visible if _is_letter(character)]
    return {
        "chars": len(text),
        "words": len(text.split()),
        "non_letter_share": 1 - len(letters) / len(visible) if visible else 0.0,
        "script": dominant_script(letters),
        **({"hash": keyed_hash(text, key)} if key else {}),
    }


def dominant_script(letters: list[str]) -> str:
    """The script of at least two thirds of the letters; `mixed` if no script has so many, and `none` without letters."""
    counts = Counter(script for script in map(_script, letters) if script)
    if not counts:
        return "none"
    script, count = counts.most_common(1)[0]
    return script if count >= DOMINANT * counts.total() else "mixed"


def keyed_hash(text: str, key: bytes) -> str:
    """16 hex digits of HMAC-SHA256.

    They reveal duplicates, but without the key a short sentence cannot be guessed from them.
    """
    return hmac.new(key, text.encode(errors="surrogatepass"), sha256).hexdigest()[:16]


@lru_cache(maxsize=4096)
def _is_letter(character: str) -> bool:
    # In most scripts of India, marks are part of letters. Variation selectors of emoji are not.
    return unicodedata.category(character) in LETTERS and not unicodedata.name(
        character, ""
    ).startswith("VARIATION SELECTOR")


@lru_cache(maxsize=4096)
def _script(character: str) -> str:
    """A letter's script, from the first word of its Unicode name; '' for a combining mark."""
    if unicodedata.category(character)[0] == "M":
        return ""
    name = unicodedata.name(unicodedata.normalize("NFKC", character)[0], "").split(" ")[0].lower()
    name = {"cjk": "han", "ideographic": "han", "katakana-hiragana": "katakana"}.get(name, name)
    return name if name in SCRIPTS else "other"
