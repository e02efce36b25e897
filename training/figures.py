"""Measures a classifier: its agreement with labels, its calibration, and its temperature."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from math import exp, log, sqrt
from typing import Any

from inference.classifier import softmax


def quality(figures: Mapping[str, Any]) -> str:
    """Return a text with a model card's figures: accuracy and calibration error on a sample."""
    low, high = figures["accuracy_interval"]
    return (
        f"accuracy {figures['accuracy']:.1%} (95 % interval {low:.1%} to {high:.1%}) on "
        f"{figures['texts']} texts, calibration error {figures['calibration_error']:.3f}"
    )


def matthews(labels: list[int], predicted: list[int]) -> float:
    """Return the Matthews correlation coefficient; 0 if it is undefined.

    There may be any number of labels (Gorodkin 2004; for two labels, Matthews 1975).
    """
    count, right = (
        len(labels),
        sum(one == other for one, other in zip(labels, predicted, strict=True)),
    )
    true, guessed = Counter(labels), Counter(predicted)
    together = sum(true[label] * guessed[label] for label in true)
    spread = (count**2 - sum(each**2 for each in guessed.values())) * (
        count**2 - sum(each**2 for each in true.values())
    )
    return (right * count - together) / sqrt(spread) if spread else 0.0


def accuracy(labels: list[int], predicted: list[int]) -> float:
    """Return the share of correct predictions."""
    return sum(one == other for one, other in zip(labels, predicted, strict=True)) / len(labels)


def interval(share: float, count: int) -> tuple[float, float]:
    """Return the 95 % interval of a share that was measured on `count` cases (Wilson 1927)."""
    z = 1.959964
    middle = (share + z**2 / (2 * count)) / (1 + z**2 / count)
    half = z / (1 + z**2 / count) * sqrt(share * (1 - share) / count + z**2 / (4 * count**2))
    return max(0.0, middle - half), min(1.0, middle + half)


def chosen(row: list[float]) -> int:
    """Return the label with the highest logit; the first if several are equal."""
    return max(range(len(row)), key=row.__getitem__)


def calibration_error(
    labels: list[int], rows: list[list[float]], temperature: float, bins: int = 10
) -> float:
    """Return the expected calibration error (Naeini et al. 2015).

    The error is the weighted mean of |confidence - accuracy| over bins of confidence. The bins have
    equal width and cover [0, 1]. With two labels only the upper half of the bins is used, because
    the predicted label has a confidence of at least .5.
    """
    cells: list[list[tuple[float, bool]]] = [[] for _ in range(bins)]
    for label, row in zip(labels, rows, strict=True):
        confidence = max(softmax(row, temperature))
        cells[min(bins - 1, int(confidence * bins))].append((confidence, chosen(row) == label))
    return sum(
        abs(sum(c for c, _ in cell) - sum(right for _, right in cell)) for cell in cells
    ) / len(labels)


def fit_temperature(labels: list[int], rows: list[list[float]]) -> float:
    """Return the temperature in [0.25, 16] with the least negative log-likelihood.

    A golden-section search on the logarithm of the temperature finds it.
    """

    def loss(log_temperature: float) -> float:
        temperature = exp(log_temperature)
        return -sum(
            log(max(1e-12, softmax(row, temperature)[label]))
            for label, row in zip(labels, rows, strict=True)
        )

    low, high, ratio = log(0.25), log(16.0), (sqrt(5) - 1) / 2
    while high - low > 1e-4:
        left, right = high - ratio * (high - low), low + ratio * (high - low)
        low, high = (low, right) if loss(left) < loss(right) else (left, high)
    return exp((low + high) / 2)
