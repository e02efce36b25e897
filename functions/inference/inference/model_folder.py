"""Checks whether the function can use a model folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

# The inputs that the function can make. A model uses some or all of them.
INPUTS: Final = ("input_ids", "attention_mask", "token_type_ids")
OUTPUTS: Final = ("logits", "signature", "novelty", "surprisal")
AGAIN: Final = "make the folder with `make model`"
# The required fields of card.json: the name, the type, and the words for error messages. `_holds`
# checks the values.
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
    """Read `card.json` of the folder. Raises `UnfitModel` if a required field is wrong."""
    path = folder / "card.json"
    try:
        card: Any = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UnfitModel(f"{path} does not exist: {AGAIN}.") from None
    except ValueError:
        raise UnfitModel(f"{path} is not JSON: {AGAIN}.") from None
    if not isinstance(card, dict):
        raise UnfitModel(f"{path} is not a JSON object: {AGAIN}.")
    for name, (types, meaning) in FIELDS.items():
        if name not in card or not isinstance(card[name], types) or not _holds(name, card[name]):
            raise UnfitModel(f"{path}: {name} must be {meaning}: {AGAIN}.")
    return card


def _holds(name: str, value: Any) -> bool:
    """Return whether a value of the right type is valid for the field `name`."""
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
    """Check whether the inputs and outputs of a loaded model.onnx fit the function and the card.

    `inputs` are names, and `outputs` maps names to shapes. Raises `UnfitModel`.
    """
    strange = [name for name in inputs if name not in INPUTS]
    if strange:
        raise UnfitModel(
            f"{path} needs the input {strange[0]}, but this function makes only "
            f"{', '.join(INPUTS)}: {AGAIN}."
        )
    missing = [name for name in OUTPUTS if name not in outputs]
    if missing:
        raise UnfitModel(f"{path} does not have the output {missing[0]}: {AGAIN}.")
    columns = outputs["logits"][-1] if outputs["logits"] else None
    if isinstance(columns, int) and columns != len(labels):
        raise UnfitModel(
            f"{path} gives {columns} numbers per sentence, but card.json has {len(labels)} labels: "
            f"{AGAIN}."
        )
