"""The golden sentences of a model: texts with the answers that the model gave when it was made."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

HERE: Final = Path(__file__).parents[1]
PLACES: Final = (HERE, HERE.parents[1] / "inference" / "model")  # in the package, in the repository
# How much a score may differ, if the model states no tolerance for this processor.
TOLERANCE: Final = 0.04


class GoldenUnreadable(ValueError):
    """The golden sentences are missing or cannot be read. The message is one sentence."""


@dataclass(frozen=True, slots=True)
class Sentence:
    """A golden sentence: its text, and the parts of the model's answer that are compared.

    `score` is the probability of `label`. `tokens` is the number of word pieces.
    """

    text: str
    label: str
    score: float
    tokens: int
    signature: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Model:
    """A model's card, its golden sentences, and how much a score may differ (`tolerance`)."""

    card: Mapping[str, Any]
    sentences: tuple[Sentence, ...]
    tolerance: float

    @classmethod
    def of(cls, card: Any, golden: Any) -> Self:
        """Read the model from its card and the profile's `golden`. Raises `GoldenUnreadable`."""
        try:
            sentences = tuple(
                Sentence(
                    str(each["text"]),
                    str(each["label"]),
                    float(each["score"]),
                    int(each["tokens"]),
                    tuple(map(int, each["signature"])),
                )
                for each in golden["sentences"]
            )
            tolerance = float(golden["tolerance"].get(platform.machine(), TOLERANCE))
            found = {**card, "max_tokens": int(card["max_tokens"])}
        except (AttributeError, KeyError, TypeError, ValueError) as problem:
            raise GoldenUnreadable(
                f"the golden sentences cannot be read ({type(problem).__name__}: {problem}): "
                "make the model's folder with `make model`"
            ) from problem
        if not sentences:
            raise GoldenUnreadable("the model has no golden sentence: make it with `make model`")
        return cls(found, sentences, tolerance)


def shipped_model(places: tuple[Path, ...] = PLACES) -> Model:
    """Return the model that this stack is built with. Raises `GoldenUnreadable`."""
    for place in places:
        if (place / "profile.json").is_file() and (place / "card.json").is_file():
            try:
                card, profile = (
                    json.loads((place / name).read_text(encoding="utf-8"))
                    for name in ("card.json", "profile.json")
                )
                golden = profile["golden"]
            except (ValueError, TypeError, LookupError) as problem:
                raise GoldenUnreadable(
                    f"{place} cannot be read as card and profile ({type(problem).__name__}): "
                    "make the model's folder with `make model`"
                ) from problem
            return Model.of(card, golden)
    raise GoldenUnreadable("the canary's package holds no golden sentences: build it anew")
