"""Chooses the golden sentences: a few texts whose answers are recorded when the model is made.

The golden sentences show quickly whether a deployed model still gives these answers.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from inference.classifier import Classifier, Prediction
from tools.errors import UserError

COUNT: Final = 40
OF_EACH: Final = 6  # number of shortest texts, of longest texts, and of texts with low scores
LONGEST: Final = 2000  # largest number of characters in a golden sentence


def read(path: Path) -> list[dict[str, str]]:
    """Read a JSON list of {case, text}, or a file with a text per line. Raises `UserError`."""
    try:
        content = path.read_text(encoding="utf-8")
        cases: Any = (
            json.loads(content)
            if path.suffix == ".json"
            else [{"case": "own", "text": line} for line in content.splitlines()]
        )
        found = [
            {"case": str(case["case"]), "text": str(case["text"])}
            for case in cases
            if str(case["text"]).strip()
        ]
    except (OSError, ValueError, TypeError, KeyError) as problem:
        raise UserError(
            f"{path} cannot be read as golden sentences (one sentence per line, or a JSON list of "
            f"objects with case and text): {problem}."
        ) from None
    if not found:
        raise UserError(f"{path} has no sentence.")
    return found


def choose(classifier: Classifier, texts: Sequence[str]) -> list[dict[str, str]]:
    """Choose at most 40 of the texts.

    The chosen texts are the shortest, the longest, those with the lowest scores, and some of every
    label.
    """
    found = {text: classifier.predict(text) for text in texts if len(text) <= LONGEST}
    chosen: dict[str, str] = {}
    for case, text in _candidates(classifier.card["labels"], found):
        if len(chosen) < COUNT:
            chosen.setdefault(text, case)
    return [{"case": case, "text": text} for text, case in chosen.items()]


def _candidates(labels: list[str], found: dict[str, Prediction]) -> Iterator[tuple[str, str]]:
    by_score = sorted(found, key=lambda text: (found[text].score, text))
    by_length = sorted(found, key=lambda text: (found[text].tokens, text))
    yield from (("short", text) for text in by_length[:OF_EACH])
    yield from (("long", text) for text in by_length[-OF_EACH:])
    yield from (("low margin", text) for text in by_score[:OF_EACH])
    sure = {
        label: [text for text in reversed(by_score) if found[text].label == label]
        for label in labels
    }
    for place in range(COUNT):
        for label in labels:
            of_label = sure[label]
            # `of_label` begins with the highest score. Every n-th text of it is chosen.
            if place < len(of_label):
                yield label, of_label[place * max(1, len(of_label) // COUNT) % len(of_label)]
