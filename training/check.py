"""Checks whether a model folder fits the inference function, and prints the result.

`make check-model` runs `python -m training.check FOLDER`.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
from pathlib import Path
from typing import Any

from inference.classifier import Classifier
from inference.description import version
from inference.model_folder import UnfitModel
from training.assemble_folder import ROOM
from training.figures import quality
from training.profile import digest


def main(argv: list[str] | None = None) -> int:
    """Describe the folder and return 0, or print the first problem and return 1."""
    parser = argparse.ArgumentParser(
        prog="make check-model",
        description="Check whether a model folder fits the inference function.",
    )
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args(argv).folder
    try:
        print(f"{folder}: {checked(folder)}")
    except UnfitModel as problem:
        print(f"make check-model: {problem}", file=sys.stderr)
        return 1
    return 0


def checked(folder: Path) -> str:
    """Describe the folder. Raises `UnfitModel` with the first problem."""
    classifier = Classifier(folder)
    card = classifier.card
    if card["version"] != version(folder, card["temperature"]):
        raise UnfitModel(
            f"{folder}: the card's version is not the version of this model: model.onnx, "
            "tokenizer.json or the temperature was exchanged."
        )
    profile = _profile(folder)
    if (
        card["profile"] != profile.get("id")
        or digest({name: part for name, part in profile.items() if name != "id"}) != profile["id"]
    ):
        raise UnfitModel(f"{folder}: profile.json and card.json do not belong together.")
    if profile["model"]["version"] != card["version"]:
        raise UnfitModel(
            f"{folder}: profile.json was made with version {profile['model']['version']} of the "
            f"model, not with version {card['version']}."
        )
    _check_golden(folder, classifier, profile["golden"])
    size = sum(path.stat().st_size for path in folder.iterdir())
    fits = "" if size <= ROOM else "; too large for a zip package (docs/model.md)"
    calibrated = "calibrated" if card["calibrated"] else "not calibrated"
    measured = f"; {quality(card['figures'])}" if "accuracy" in card.get("figures", {}) else ""
    return (
        f"{card['name']} {card['version']}, labels {', '.join(card['labels'])}, {calibrated}, "
        f"{size / 1e6:.1f} MB{fits}; {len(profile['golden']['sentences'])} golden sentences are "
        f"answered as recorded{measured}"
    )


def _profile(folder: Path) -> dict[str, Any]:
    try:
        found: Any = json.loads((folder / "profile.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise UnfitModel(
            f"{folder}/profile.json cannot be read: make the folder with `make model`."
        ) from None
    if not isinstance(found, dict) or not {"id", "model", "golden"} <= set(found):
        raise UnfitModel(
            f"{folder}/profile.json is not a profile: make the folder with `make model`."
        )
    return found


def _check_golden(folder: Path, classifier: Classifier, golden: dict[str, Any]) -> None:
    """Check that every golden sentence, a text with a recorded answer, still gets this answer.

    The number of word pieces must be equal. The probability of the label may differ by at most the
    tolerance for this kind of processor.
    """
    machine = {"arm64": "aarch64", "AMD64": "x86_64"}.get(platform.machine(), platform.machine())
    tolerance = golden["tolerance"][machine]
    for place, sentence in enumerate(golden["sentences"]):
        found = classifier.predict(sentence["text"])
        if found.tokens != sentence["tokens"]:
            raise UnfitModel(
                f"{folder}: golden sentence {place} has {found.tokens} word pieces "
                f"instead of {sentence['tokens']}."
            )
        if abs(found.probability[sentence["label"]] - sentence["score"]) > tolerance:
            raise UnfitModel(
                f"{folder}: golden sentence {place} has the probability "
                f"{found.probability[sentence['label']]:.3f} for {sentence['label']} instead of "
                f"{sentence['score']:.3f} (a difference of {tolerance} is allowed)."
            )


if __name__ == "__main__":
    raise SystemExit(main())
