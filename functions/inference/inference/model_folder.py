"""Checks whether a model folder fits the function.

The reason against one is a single sentence, also in the function's log.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

INPUTS: Final = (
    "input_ids",
    "attention_mask",
    "token_type_ids",
)  # the inputs that the function can make; a model uses some of them
OUTPUTS: Final = ("logits", "signature", "novelty", "surprisal")
AGAIN: Final = "make the folder with `make model`"
# Each required field of the card: its types, and the words for it in a message. `_holds` checks its
# value.
FIELDS: Final[dict[str, tuple[type | tuple[type, ...], str]]] = {
    "name": (str, "a string"),
    "version": (str, "a string"),
    "profile": (str, "a string"),
    "labels": (list, "a list of at least two different strings"),
    "calibrated": (bool, "true or false"),
    "temperature": ((int, float), "a number above 0"),
    "max_tokens": (int, "a whole number above 0"),
    "unknown": ((str, type(None)), "the tokenizer's token for unknown text, or null"),
    "usual": (dict, "an object with scripts, mostly_unknown and mostly_non_letter"),
}


class UnfitModel(ValueError):
    """The folder cannot be used. The message gives the reason and the remedy."""


def read_card(folder: Path) -> dict[str, Any]:
    """`card.json` of the folder, with every field that predicting needs. Raises `UnfitModel`."""
    path = folder / "card.json"
    try:
        card: Any = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UnfitModel(f"{path} is not there: {AGAIN}.") from None
    except ValueError:
        raise UnfitModel(f"{path} is not JSON: {AGAIN}.") from None
    if not isinstance(card, dict):
        raise UnfitModel(f"{path} is not a JSON object: {AGAIN}.")
    for name, (types, meaning) in FIELDS.items():
        if name not in card or not isinstance(card[name], types) or not _holds(name, card[name]):
            raise UnfitModel(f"{path}: {name} must be {meaning}: {AGAIN}.")
    return card


def _holds(name: str, value: Any) -> bool:
    """Whether a value, of the right type, is one that the field of this name can have."""
    if name == "labels":
        return (
            len(value) >= 2
            and len(set(map(str, value))) == len(value)
            and all(isinstance(each, str) and each.strip() for each in value)
        )
    if name in {"temperature", "max_tokens"}:
        return not isinstance(value, bool) and bool(value > 0)
    if name == "usual":
        return set(value) == {"scripts", "mostly_unknown", "mostly_non_letter"}
    return True


def check_session(
    path: Path, inputs: list[str], outputs: dict[str, list[Any]], labels: list[str]
) -> None:
    """Compare inputs and outputs of a loaded model.onnx (names, and shapes by name) with the function and the card.

    Raises `UnfitModel`.
    """
    strange = [name for name in inputs if name not in INPUTS]
    if strange:
        raise UnfitModel(
            f"{path} asks for the input {strange[0]}, which this function does not make ({', '.join(INPUTS)}): {AGAIN}."
        )
    missing = [name for name in OUTPUTS if name not in outputs]
    if missing:
        raise UnfitModel(f"{path} does not give {missing[0]}: {AGAIN}.")
    columns = outputs["logits"][-1] if outputs["logits"] else None
    if isinstance(columns, int) and columns != len(labels):
        raise UnfitModel(
            f"{path} gives {columns} numbers a sentence, and card.json has {len(labels)} labels: {AGAIN}."
        )
