"""Simulates an attack on a record without text.

The attacker has the model, and compares the record with the record of each guessed text. The text
is found if no other guess has the same record. The hash is not compared, because its key is secret.
Fields that differ between requests with the same text are not compared either.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from inference.classifier import Classifier, Prediction
from inference.descriptors import Usual
from inference.record import prediction_record
from tools.root import ROOT

USUAL = Usual(frozenset({"latin", "none"}), 0.5, 0.5)
GUESSES = [f"My PIN is {number:04}" for number in range(4000)]


@pytest.fixture(scope="module")
def predictions() -> list[Prediction]:
    classifier = Classifier(ROOT / "functions" / "inference" / "model")
    return [classifier.predict(guess) for guess in GUESSES]


def crowd(predictions: list[Prediction], *, log_signals: bool) -> list[int]:
    """Return, for each guess, how many guesses have the same record."""
    left = [
        trace(guess, prediction, log_signals=log_signals)
        for guess, prediction in zip(GUESSES, predictions, strict=True)
    ]
    counts = Counter(left)
    return [counts[each] for each in left]


def trace(guess: str, prediction: Prediction, *, log_signals: bool) -> str:
    record: dict[str, Any] = prediction_record(
        guess,
        prediction,
        prediction_id="",
        model={},
        traffic="live",
        key=b"a secret",
        log_text=False,
        log_signals=log_signals,
        usual=USUAL,
    )
    del record["input"]["hash"], record["latency_ms"]
    return repr(record)


def test_with_signals_every_text_is_found(predictions: list[Prediction]) -> None:
    """With LogSignals=true, the attack finds all 4,000 texts.

    So the attack works. If it did not, the next test would prove nothing.
    """
    assert crowd(predictions, log_signals=True).count(1) == len(GUESSES)
    scores = Counter(prediction.score for prediction in predictions)
    # The score alone is enough to find nearly all texts.
    alone = sum(scores[prediction.score] == 1 for prediction in predictions)
    assert alone > 0.99 * len(GUESSES)


def test_without_signals_most_guesses_share_their_record_with_hundreds_of_others(
    predictions: list[Prediction],
) -> None:
    """With LogSignals=false, the attack found 3 of the 4,000 texts.

    Half of all texts share their record with at least 753 other texts.
    """
    found = sorted(crowd(predictions, log_signals=False))
    assert found.count(1) < 0.005 * len(GUESSES)
    assert found[len(found) // 100] >= 10
    assert found[len(found) // 2] >= 300
