"""Tests the model's predictions: scores, signature, novelty and surprisal of a sentence.

docs/record.md explains these values.
"""

from __future__ import annotations

import os
import subprocess
import sys
from hashlib import sha256
from math import exp, isclose, isfinite

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.classifier import Classifier, softmax
from tests.models import TESTED
from tools.root import ROOT

MODEL = TESTED
SENTENCES = [
    "The boy is sitting on a bench",
    "The boy are sitting on a bench",
    "Who did you wonder whether met yesterday?",
    "No",
    "A cat " * 100,
]


@pytest.fixture(scope="module")
def classifier() -> Classifier:
    return Classifier(MODEL)


@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="numpy starts no thread for one processor")
def test_numpy_starts_no_threads() -> None:
    code = "import os, inference.classifier; print(len(os.listdir('/proc/self/task')))"
    threads = [
        subprocess.run(
            [sys.executable, "-c", code],
            env={"PYTHONPATH": str(ROOT / "functions" / "inference")} | more,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for more in ({}, {"OPENBLAS_NUM_THREADS": "2"})
    ]
    assert int(threads[0]) == int(threads[1]) - 1


def test_scores_do_not_depend_on_other_requests(classifier: Classifier) -> None:
    alone = {sentence: Classifier(MODEL).predict(sentence).probability for sentence in SENTENCES}
    for order in (SENTENCES, SENTENCES[::-1], SENTENCES * 2):
        assert [classifier.predict(sentence).probability for sentence in order] == [
            alone[sentence] for sentence in order
        ]


def test_signature_novelty_and_surprisal_do_not_depend_on_other_requests(
    classifier: Classifier,
) -> None:
    def asked(sentences: list[str]) -> dict[str, tuple[list[int], float, float]]:
        found = [(sentence, classifier.predict(sentence)) for sentence in sentences]
        return {sentence: (one.signature, one.novelty, one.surprisal) for sentence, one in found}

    assert asked(SENTENCES) == asked(SENTENCES[::-1])
    for part in range(2):  # only signature and novelty: surprisal has a test of its own
        assert len({str(numbers[part]) for numbers in asked(SENTENCES).values()}) > 1


@pytest.mark.example
@pytest.mark.parametrize(
    ("usual", "unusual"),
    [
        pytest.param(
            "The boy is sitting on a bench.", "Bench a on sitting is boy the.", id="shuffled words"
        ),
        pytest.param(
            "Mary thinks that John left.", "Qx zv wug blick dax 9f3 qj", id="invented words"
        ),
    ],
)
def test_an_unusual_text_has_more_surprisal(
    classifier: Classifier, usual: str, unusual: str
) -> None:
    assert classifier.predict(usual).surprisal < classifier.predict(unusual).surprisal


def pieces(classifier: Classifier) -> int:
    """Return the number of one-token words that fit into the input beside the special tokens."""
    return int(classifier.card["max_tokens"]) - len(classifier._tokenizer.encode("").ids)


def test_the_end_of_a_text_that_is_too_long_changes_neither_signature_nor_surprisal(
    classifier: Classifier,
) -> None:
    one, other = (
        classifier.predict("a " * pieces(classifier) + rest) for rest in ("b", "c " * 500)
    )
    assert one.truncated
    assert (one.signature, one.novelty, one.surprisal) == (
        other.signature,
        other.novelty,
        other.surprisal,
    )


def test_scores_depend_on_the_sentence(classifier: Classifier) -> None:
    assert len({classifier.predict(sentence).score for sentence in SENTENCES}) > 1


@pytest.mark.example
@pytest.mark.parametrize(
    ("words", "truncated"),
    [
        pytest.param(1, False, id="3 tokens"),
        pytest.param(126, False, id="128 tokens"),
        pytest.param(127, True, id="129 tokens"),
        pytest.param(5000, True, id="5,002 tokens"),
    ],
)
def test_a_text_is_truncated_if_it_has_more_than_128_tokens_including_special_tokens(
    classifier: Classifier,
    words: int,
    truncated: bool,
) -> None:
    prediction = classifier.predict(" ".join(["a"] * words))
    assert (prediction.tokens, prediction.truncated) == (words, truncated)


def test_the_end_of_a_text_that_is_too_long_does_not_change_the_score(
    classifier: Classifier,
) -> None:
    start = "a " * pieces(classifier)
    assert (
        classifier.predict(start + "b").probability
        == classifier.predict(start + "c " * 500).probability
    )
    assert classifier.predict(start).probability != classifier.predict("b " + start).probability


def test_the_probabilities_are_the_softmax_of_the_logits(classifier: Classifier) -> None:
    for sentence in SENTENCES:
        prediction = classifier.predict(sentence)
        expected = softmax(classifier.logits(sentence), classifier.card["temperature"])
        assert list(prediction.probability.values()) == expected
        assert list(prediction.probability) == classifier.card["labels"]


@pytest.mark.example
@pytest.mark.parametrize(
    ("text", "tokens", "unknown"),
    [
        pytest.param("the boy", 2, 0, id="words"),
        pytest.param("the 😀", 2, 1, id="one emoji"),
        pytest.param("\u200b", 0, 0, id="zero-width"),
        pytest.param("a" * 500, 1, 1, id="a word too long for the tokenizer"),
    ],
)
def test_word_pieces_are_counted_without_special_tokens(
    classifier: Classifier, text: str, tokens: int, unknown: int
) -> None:
    prediction = classifier.predict(text)
    assert (prediction.tokens, prediction.unknown) == (tokens, unknown)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("word " * 2000, id="10,000 characters of words"),
        pytest.param("a" * 10_000, id="10,000 characters without a space"),
        pytest.param("😀" * 10_000, id="10,000 emoji"),
        pytest.param("漢" * 10_000, id="10,000 Chinese characters"),
        pytest.param("😀🎉👩‍👩‍👧", id="emoji"),
        pytest.param("\u200b", id="zero-width"),
        pytest.param("a", id="single character"),
        pytest.param(".", id="single punctuation mark"),
        pytest.param("Мальчик сидит на скамейке", id="cyrillic"),
        pytest.param("e\u0301" * 50, id="combining accents"),
        pytest.param("[CLS] [SEP] [PAD] [MASK] [UNK]", id="special tokens"),
        pytest.param("\x00\x07\x1b", id="control characters"),
        pytest.param("\U0010ffff\ue000", id="code points without a character"),
    ],
)
def test_odd_texts_get_probabilities(classifier: Classifier, text: str) -> None:
    prediction = classifier.predict(text)
    assert sum(prediction.probability.values()) == pytest.approx(1)
    assert (
        prediction.score
        == max(prediction.probability.values())
        == prediction.probability[prediction.label]
    )
    assert 0 <= prediction.unknown <= prediction.tokens
    assert [type(component) for component in prediction.signature] == [int] * 8
    assert all(-127 <= component <= 127 for component in prediction.signature)
    assert isfinite(prediction.novelty)
    assert 0 <= prediction.surprisal <= 255 / 12
    assert prediction.latency_ms > 0


@pytest.mark.example
def test_the_shipped_model_is_small() -> None:
    assert (MODEL / "model.onnx").stat().st_size <= 25_000_000


def test_the_version_in_the_card_is_the_digest_of_the_model(classifier: Classifier) -> None:
    content = (MODEL / "model.onnx").read_bytes()
    decides = (
        content
        + (MODEL / "tokenizer.json").read_bytes()
        + repr(classifier.card["temperature"]).encode()
    )
    assert classifier.card["version"] == sha256(decides).hexdigest()[:12]


@pytest.mark.example
@pytest.mark.parametrize(
    ("sentence", "label"),
    [
        ("The boy is sitting on a bench", "acceptable"),
        ("The boy are sitting on a bench", "unacceptable"),
        ("She has already read the letter that you sent", "acceptable"),
        ("Letter the read she already has", "unacceptable"),
    ],
)
def test_example_sentences_get_the_right_labels(
    classifier: Classifier, sentence: str, label: str
) -> None:
    assert classifier.predict(sentence).label == label


def test_model_output_that_is_not_finite_gives_no_prediction(
    classifier: Classifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Broken:
        def run(self, *_: object) -> list[object]:
            return [
                np.array([[float("nan")] + [0.0] * (len(classifier.card["labels"]) - 1)]),
                np.zeros((1, 8), np.int8),
                np.zeros(1),
                np.zeros(1),
            ]

    monkeypatch.setattr(classifier, "_session", Broken())
    with pytest.raises(ArithmeticError):
        classifier.predict("A sentence")


@pytest.mark.parametrize(
    ("logits", "temperature", "expected"),
    [
        pytest.param([0.0, 0.0], 1.0, [0.5, 0.5], id="equal"),
        pytest.param([0.0, 2.0], 1.0, [1 / (1 + exp(2)), 1 / (1 + exp(-2))], id="temperature 1"),
        pytest.param([0.0, 2.0], 2.0, [1 / (1 + exp(1)), 1 / (1 + exp(-1))], id="temperature 2"),
        pytest.param([0.0, 2.0], 0.5, [1 / (1 + exp(4)), 1 / (1 + exp(-4))], id="temperature 0.5"),
        pytest.param([-1e4, 1e4], 1.0, [0.0, 1.0], id="far apart"),
    ],
)
def test_the_softmax_divides_the_logits_by_the_temperature(
    logits: list[float], temperature: float, expected: list[float]
) -> None:
    assert softmax(logits, temperature) == pytest.approx(expected)


LOGITS = st.lists(st.floats(-30, 30), min_size=2, max_size=2)
TEMPERATURES = st.floats(0.25, 16)


@given(logits=LOGITS, temperature=TEMPERATURES)
def test_the_probabilities_sum_to_one_and_have_the_order_of_the_logits(
    logits: list[float], temperature: float
) -> None:
    first, second = softmax(logits, temperature)
    assert isclose(first + second, 1)
    assert first == second or (first > second) == (logits[0] > logits[1])


@given(logits=LOGITS, temperatures=st.tuples(TEMPERATURES, TEMPERATURES))
def test_a_higher_temperature_never_gives_a_higher_score(
    logits: list[float], temperatures: tuple[float, float]
) -> None:
    lower, higher = sorted(temperatures)
    assert max(softmax(logits, higher)) <= max(softmax(logits, lower)) + 1e-12


@given(logits=LOGITS, temperature=TEMPERATURES, shift=st.floats(-30, 30))
def test_the_softmax_depends_only_on_the_differences_of_the_logits(
    logits: list[float], temperature: float, shift: float
) -> None:
    assert softmax([logit + shift for logit in logits], temperature) == pytest.approx(
        softmax(logits, temperature)
    )


@pytest.mark.parametrize("mark", ["[CLS]", "[SEP]", "[UNK]", "[PAD]", "[MASK]"])
def test_a_special_token_in_a_text_is_read_as_text(mark: str, classifier: Classifier) -> None:
    found = classifier.predict(f"The boy {mark} is sitting on a bench")
    assert found.unknown == 0
    assert found.tokens >= 7 + len("[x]")  # the mark is at least a bracket, a word, a bracket
    ids = classifier._tokenizer.encode(f"a {mark} b").ids
    marks = {
        classifier._tokenizer.token_to_id(each)
        for each in ("[CLS]", "[SEP]", "[UNK]", "[PAD]", "[MASK]")
    }
    assert not marks & set(ids[1:-1])
