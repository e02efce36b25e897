"""Describes a text without revealing the text: makes the `input.*` fields of the record."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

from inference.characters import characters


@dataclass(frozen=True, slots=True)
class Usual:
    """The usual properties of a model's texts, from the model's card. Unusual texts get flags.

    `mostly_unknown` is a limit for the share of unknown word pieces. `mostly_non_letter` is a limit
    for the share of characters that are not letters. A text that reaches a limit gets the flag with
    the limit's name.
    """

    scripts: frozenset[str]
    mostly_unknown: float
    mostly_non_letter: float

    @classmethod
    def of(cls, card: dict[str, Any]) -> Self:
        """Read the usual properties from the field `usual` of the model's card."""
        return cls(frozenset(card["scripts"]), card["mostly_unknown"], card["mostly_non_letter"])


def describe(
    text: str, *, tokens: int, unknown: int, truncated: bool, key: bytes, usual: Usual
) -> dict[str, Any]:
    """Return the record's `input` object for one text.

    `tokens` and `unknown` are counts of word pieces, and `key` is the secret key of the hash.
    Shares are numbers from 0 to 1.
    """
    found = characters(text, key)
    words = found["words"]
    unk_share = unknown / tokens if tokens else 0.0
    flags = {
        "truncated": truncated,
        "mostly_unknown": unk_share >= usual.mostly_unknown,
        "mostly_non_letter": found["non_letter_share"] >= usual.mostly_non_letter,
        "other_script": found["script"] not in usual.scripts,
    }
    return {
        **found,
        "tokens": tokens,
        "tokens_per_word": tokens / words if words else 0.0,
        "unk_share": unk_share,
        "flags": [name for name, raised in flags.items() if raised],
    }
