"""Give the labels of a model fixed colours, the same on every panel.

All labels are sorted by name, and the place of a label in this order determines its colour. The
local page and the report (report/) choose colours in the same way.

If the installer does not know the labels, it fixes no colours. Each panel then gives colours only
to the labels that it shows, in the order of their names.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from installer import files
from installer.saved_objects import SavedObject

PALETTE: Final = (
    "#2f6fde", "#d9690f", "#0d9488", "#b5338a", "#9a7b00", "#7050d8", "#8a5a34", "#7a828e",
)  # fmt: skip
FIELD: Final = "prediction.label.keyword"
OF_THE_MODEL: Final = "*"  # stands for the labels in the packaged card
CARD: Final = files.FOLDER / "card.json"


def labels(text: str) -> tuple[str, ...]:
    """Read labels: names separated by commas, or the path of a model's card.json.

    Raises `ValueError` with a sentence about the problem.
    """
    if text.endswith(".json"):
        return of_card(Path(text))
    found = tuple(one.strip() for one in text.split(","))
    if not all(found) or len(set(found)) < len(found):
        raise ValueError(f"{text!r} must be different names of labels, separated by commas")
    return found


def of_card(path: Path | None = None) -> tuple[str, ...]:
    """Return the labels in the card at `path`, or in the card in the installer's package.

    Raises `ValueError` with a sentence about the problem.
    """
    path = path or CARD
    try:
        found = json.loads(path.read_text(encoding="utf-8"))["labels"]
    except (OSError, ValueError, KeyError, TypeError):
        raise ValueError(f"{path} cannot be read as a model's card") from None
    return tuple(map(str, found))


def colours(names: Sequence[str]) -> dict[str, str]:
    """Return the colour of each label. The eighth and all later labels have the last colour."""
    last = len(PALETTE) - 1
    return {name: PALETTE[min(at, last)] for at, name in enumerate(sorted(names))}


def coloured(one: SavedObject, names: Sequence[str]) -> SavedObject:
    """Return a saved object, with fixed colours if it is a panel that has a series per label."""
    if not names or not any(map(_by_label, one.attributes.get("visState", {}).get("aggs", []))):
        return one
    state = one.attributes["uiStateJSON"]
    vis = state.get("vis", {})
    both = {**vis, "colors": {**vis.get("colors", {}), **colours(names)}}
    return replace(one, attributes={**one.attributes, "uiStateJSON": {**state, "vis": both}})


def _by_label(aggregation: dict[str, Any]) -> bool:
    field = aggregation.get("params", {}).get("field")
    return bool(field == FIELD and aggregation["schema"] == "group")
