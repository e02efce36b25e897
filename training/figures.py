"""How good and how honest a classifier is: agreement, calibration, and the temperature that mends the latter."""

from __future__ import annotations

from math import exp, log, sqrt


def matthews(labels: list[int], predicted: list[int]) -> float:
    """Matthews correlation coefficient of two binary lists (Matthews 1975), 0 where it is undefined."""
    pairs = list(zip(labels, predicted, strict=True))
    tp, tn, fp, fn = (pairs.count(cell) for cell in ((1, 1), (0, 0), (0, 1), (1, 0)))
    spread = sqrt((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn))
    return (tp * tn - fp * fn) / spread if spread else 0.0


def accuracy(labels: list[int], predicted: list[int]) -> float:
    """Share of equal labels."""
    return sum(one == other for one, other in zip(labels, predicted, strict=True)) / len(labels)


def acceptable(logits: list[float], temperature: float) -> float:
    """Probability of label 1 of two logits: softmax after division by the temperature (Guo et al. 2017)."""
    return 1 / (1 + exp(max(-700.0, min(700.0, (logits[0] - logits[1]) / temperature))))


def calibration_error(labels: list[int], probabilities: list[float], bins: int = 10) -> float:
    """Expected calibration error (Naeini et al. 2015): |confidence - accuracy| over equal-width bins of confidence, weighted.

    The bins lie over [0, 1]: with two labels the winning one's confidence fills the upper half of them only.
    """
    cells: list[list[tuple[float, bool]]] = [[] for _ in range(bins)]
    for label, probability in zip(labels, probabilities, strict=True):
        confidence = max(probability, 1 - probability)
        cells[min(bins - 1, int(confidence * bins))].append((confidence, (probability >= 0.5) == bool(label)))
    return sum(abs(sum(c for c, _ in cell) - sum(right for _, right in cell)) for cell in cells) / len(labels)


def fit_temperature(labels: list[int], rows: list[list[float]]) -> float:
    """The temperature in [0.25, 16] with the least negative log-likelihood, by golden-section search on its logarithm."""

    def loss(log_temperature: float) -> float:
        probabilities = [acceptable(row, exp(log_temperature)) for row in rows]
        return -sum(log(max(1e-12, p if label else 1 - p)) for label, p in zip(labels, probabilities, strict=True))

    low, high, ratio = log(0.25), log(16.0), (sqrt(5) - 1) / 2
    while high - low > 1e-4:
        left, right = high - ratio * (high - low), low + ratio * (high - low)
        low, high = (low, right) if loss(left) < loss(right) else (left, high)
    return exp((low + high) / 2)
