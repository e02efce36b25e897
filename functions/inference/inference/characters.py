"""Describes the characters of a text without revealing the text.

The result is the part of the record's `input` that needs no model.
"""

from __future__ import annotations

import hmac
import unicodedata
from collections import Counter
from functools import lru_cache
from typing import Any, Final

DOMINANT: Final = 2 / 3
LETTERS: Final = frozenset({"Lu", "Ll", "Lt", "Lm", "Lo", "Mn", "Mc"})
# Values for a character without a script: `MARK` for a combining mark, which is part of a letter,
# and `NO_LETTER` for a character that is not a letter.
MARK: Final = ""
NO_LETTER: Final = "-"

SCRIPTS: Final = frozenset([
    "arabic", "armenian", "bengali", "cyrillic", "devanagari", "ethiopic", "georgian", "greek",
    "gujarati", "gurmukhi", "han", "hangul", "hebrew", "hiragana", "kannada", "katakana", "khmer",
    "lao", "latin", "malayalam", "myanmar", "oriya", "sinhala", "tamil", "telugu", "thai",
    "tibetan",
])  # fmt: skip


def characters(text: str, key: bytes) -> dict[str, Any]:
    """Return the counts, the share of non-letters, the script and the hash of a text.

    `key` is the secret key of the hash; if it is empty, the hash is left out. The share of
    non-letters is a number from 0 to 1, and ignores white space.
    """
    visible = 0
    scripts: dict[str, int] = {}
    # Equal characters have the same script, so each different character is examined once.
    for character, count in Counter(text).items():
        if not character.isspace():
            visible += count
            script = _script(character)
            scripts[script] = scripts.get(script, 0) + count
    letters = visible - scripts.pop(NO_LETTER, 0)
    scripts.pop(MARK, 0)
    return {
        "chars": len(text),
        "words": len(text.split()),
        "non_letter_share": 1 - letters / visible if visible else 0.0,
        "script": dominant_script(scripts),
        **({"hash": keyed_hash(text, key)} if key else {}),
    }


def dominant_script(letters: dict[str, int]) -> str:
    """Return the script to which at least two thirds of the letters belong.

    `letters` counts the letters of each script. The result is `mixed` if there is no such script,
    and `none` if there are no letters.
    """
    if not letters:
        return "none"
    script = max(letters, key=letters.__getitem__)
    return script if letters[script] >= DOMINANT * sum(letters.values()) else "mixed"


def keyed_hash(text: str, key: bytes) -> str:
    """Return the first 16 hex digits of the text's HMAC-SHA256.

    Equal texts have equal hashes. Without the key, nobody can guess a short sentence from its hash.
    """
    return hmac.digest(key, text.encode(errors="surrogatepass"), "sha256").hex()[:16]


@lru_cache(maxsize=4096)
def _script(character: str) -> str:
    """Return the script of a letter: the first word of its Unicode name.

    For other characters, return `MARK` or `NO_LETTER`.
    """
    # Marks are part of letters in most scripts of India. Unicode counts the variation selectors of
    # emoji as marks too, but they are not part of letters.
    category = unicodedata.category(character)
    if category not in LETTERS or unicodedata.name(character, "").startswith("VARIATION SELECTOR"):
        return NO_LETTER
    if category[0] == "M":
        return MARK
    name = unicodedata.name(unicodedata.normalize("NFKC", character)[0], "").split(" ")[0].lower()
    name = {"cjk": "han", "ideographic": "han", "katakana-hiragana": "katakana"}.get(name, name)
    return name if name in SCRIPTS else "other"
