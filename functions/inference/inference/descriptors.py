"""The `input.*` fields of the record: properties of a text, without the text."""

from __future__ import annotations

import hmac
import unicodedata
from collections import Counter
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from typing import Any, Final, Self

DOMINANT: Final = 2 / 3
LETTERS: Final = ("Lu", "Ll", "Lt", "Lm", "Lo", "Mn", "Mc")

SCRIPTS: Final = frozenset([
    "arabic", "armenian", "bengali", "cyrillic", "devanagari", "ethiopic", "georgian", "greek", "gujarati", "gurmukhi", "han", "hangul",
    "hebrew", "hiragana", "kannada", "katakana", "khmer", "lao", "latin", "malayalam", "myanmar", "oriya", "sinhala", "tamil", "telugu",
    "thai", "tibetan",
])  # fmt: skip


@dataclass(frozen=True, slots=True)
class Usual:
    """The usual properties of a model's texts, from its card. Unusual texts get a flag.

    `mostly_unknown` and `mostly_non_letter` are the shares from which a text has the flag of that name.
    """

    scripts: frozenset[str]
    mostly_unknown: float
    mostly_non_letter: float

    @classmethod
    def of(cls, card: dict[str, Any]) -> Self:
        """The card's `usual`."""
        return cls(frozenset(card["scripts"]), card["mostly_unknown"], card["mostly_non_letter"])


def describe(text: str, *, tokens: int, unknown: int, truncated: bool, key: bytes, usual: Usual) -> dict[str, Any]:
    """The record's `input` object of one text.

    `tokens` and `unknown` are counts of word pieces, `key` is the secret of the hash. Shares lie between 0 and 1;
    non-letters are counted among the characters that are no white space.
    """
    words = len(text.split())
    visible = [character for character in text if not character.isspace()]
    letters = [character for character in visible if _is_letter(character)]
    unk_share = unknown / tokens if tokens else 0.0
    non_letter_share = 1 - len(letters) / len(visible) if visible else 0.0
    script = dominant_script(letters)
    flags = {
        "truncated": truncated,
        "mostly_unknown": unk_share >= usual.mostly_unknown,
        "mostly_non_letter": non_letter_share >= usual.mostly_non_letter,
        "other_script": script not in usual.scripts,
    }
    return {
        "chars": len(text),
        "words": words,
        "tokens": tokens,
        "tokens_per_word": tokens / words if words else 0.0,
        "unk_share": unk_share,
        "non_letter_share": non_letter_share,
        "script": script,
        "flags": [name for name, raised in flags.items() if raised],
        "hash": keyed_hash(text, key),
    }


def dominant_script(letters: list[str]) -> str:
    """The script of at least two thirds of the letters, `mixed` where there is none, `none` without letters."""
    counts = Counter(script for script in map(_script, letters) if script)
    if not counts:
        return "none"
    script, count = counts.most_common(1)[0]
    return script if count >= DOMINANT * counts.total() else "mixed"


def keyed_hash(text: str, key: bytes) -> str:
    """16 hex digits of HMAC-SHA256: counts duplicates, while without the key a short sentence cannot be guessed."""
    return hmac.new(key, text.encode(), sha256).hexdigest()[:16]


@lru_cache(maxsize=4096)
def _is_letter(character: str) -> bool:
    # In most scripts of India, marks are part of letters. Variation selectors of emoji are not.
    return unicodedata.category(character) in LETTERS and not unicodedata.name(character, "").startswith("VARIATION SELECTOR")


@lru_cache(maxsize=4096)
def _script(character: str) -> str:
    """A letter's script: the first word of its Unicode name, which the standard library knows; '' for a mark of any script."""
    if unicodedata.category(character)[0] == "M":
        return ""
    name = unicodedata.name(unicodedata.normalize("NFKC", character)[0], "").split(" ")[0].lower()
    name = {"cjk": "han", "ideographic": "han", "katakana-hiragana": "katakana"}.get(name, name)
    return name if name in SCRIPTS else "other"
