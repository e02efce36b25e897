"""Compares two model folders on the same sample."""

from __future__ import annotations

from math import sqrt
from pathlib import Path

from inference.classifier import Classifier
from tools.errors import UserError
from training.sample import Sample

SHOWN = 20  # the largest number of texts that are listed


def compared(new: Path, old: Path, sample: Sample) -> list[str]:
    """Return lines about the texts to which the two models give different labels.

    If the sample has labels, the lines also say which model is better, and state the difference in
    accuracy with its 95 % interval (the interval of a difference of paired proportions: Agresti,
    Categorical Data Analysis, 10.1.1). The rows in `sample.fit` are not counted, because the new
    folder was fitted to them. Raises `UserError` if the models have different sets of labels.
    """
    one, other = Classifier(new), Classifier(old)
    if set(one.card["labels"]) != set(other.card["labels"]):
        raise UserError(
            f"{old} has other labels ({', '.join(other.card['labels'])}) than the new folder: "
            "the two cannot be compared."
        )
    names = one.card["labels"]
    pairs = [(row, one.predict(row.text), other.predict(row.text)) for row in sample.rest]
    changed = [
        (row, new_one, old_one) for row, new_one, old_one in pairs if new_one.label != old_one.label
    ]
    count = len(pairs)
    lines = [
        (
            f"{len(changed)} of {count} texts get another label from the new model than from the "
            f"old model ({other.card['name']} {other.card['version']})"
        )
    ]
    if sample.labelled:
        better = sum(names[row.label or 0] == new_one.label for row, new_one, _ in changed)
        worse = sum(names[row.label or 0] == old_one.label for row, _, old_one in changed)
        gain = (better - worse) / count
        half = 1.96 * sqrt(better + worse - (better - worse) ** 2 / count) / count
        verdict = (
            "better"
            if gain > half
            else "worse"
            if gain < -half
            else "this sample shows no difference"
        )
        lines.append(
            f"accuracy {gain:+.1%} (95 % interval {gain - half:+.1%} to {gain + half:+.1%}): "
            f"{verdict}"
        )
    lines += [
        f"  {old_one.label} -> {new_one.label}: {row.text[:100]}"
        for row, new_one, old_one in changed[:SHOWN]
    ]
    return lines
