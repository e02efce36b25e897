"""The `input.*` fields of the record: properties of a text, without the text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

from inference.characters import characters


@dataclass(frozen=True, slots=True)
class Usual:
    """The usual properties of a model's texts, from its card. Unusual texts get a flag.

    `mostly_unknown` and `mostly_non_letter` are the shares from which a text has the flag of that
    name.
    """

    scripts: frozenset[str]
    mostly_unknown: float
    mostly_non_letter: float

    @classmethod
    def of(cls, card: dict[str, Any]) -> Self:
        """Read the usual properties from `usual` in the model's card."""
        return cls(frozenset(card["scripts"]), card["mostly_unknown"], card["mostly_non_letter"])


def describe(
    text: str, *, tokens: int, unknown: int, truncated: bool, key: bytes, usual: Usual
) -> dict[str, Any]:
    """The record's `input` object of one text.

    `tokens` and `unknown` are counts of word pieces, `key` is the secret of the hash. Shares lie
    between 0 and 1.
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
