"""Describes the characters of a text without revealing the text.

The result is the part of the record's `input` that needs no model.
"""

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
    "arabic", "armenian", "bengali", "cyrillic", "devanagari", "ethiopic", "georgian", "greek",
    "gujarati", "gurmukhi", "han", "hangul", "hebrew", "hiragana", "kannada", "katakana", "khmer",
    "lao", "latin", "malayalam", "myanmar", "oriya", "sinhala", "tamil", "telugu", "thai",
    "tibetan",
])  # fmt: skip


def characters(text: str, key: bytes) -> dict[str, Any]:
    """Return the counts, the share of non-letters, the script and the hash of a text.

    `key` is the secret key of the hash; if it is empty, the hash is left out. The share of
    non-letters is a number from 0 to 1. White space does not count as a character there.
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
    """Return the script to which at least two thirds of the letters belong.

    The result is `mixed` if there is no such script, and `none` if there are no letters.
    """
    counts = Counter(script for script in map(_script, letters) if script)
    if not counts:
        return "none"
    script, count = counts.most_common(1)[0]
    return script if count >= DOMINANT * counts.total() else "mixed"


def keyed_hash(text: str, key: bytes) -> str:
    """Return the first 16 hex digits of the text's HMAC-SHA256.

    Equal texts have equal hashes. Without the key, nobody can guess a short sentence from its hash.
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
    """Return a letter's script, from its Unicode name; '' for a combining mark."""
    if unicodedata.category(character)[0] == "M":
        return ""
    name = unicodedata.name(unicodedata.normalize("NFKC", character)[0], "").split(" ")[0].lower()
    name = {"cjk": "han", "ideographic": "han", "katakana-hiragana": "katakana"}.get(name, name)
    return name if name in SCRIPTS else "other"
