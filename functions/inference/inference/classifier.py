"""Runs the model, which turns a sentence into probabilities."""

from __future__ import annotations

from dataclasses import dataclass
from math import exp, isfinite
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from tokenizers import Tokenizer

from inference.descriptors import Usual
from inference.model_folder import AGAIN, OUTPUTS, UnfitModel, check_session, read_card


@dataclass(frozen=True, slots=True)
class Prediction:
    """The model's result for one sentence.

    `label` is the most probable label, and `score` is the probability of `label`. `probability` has
    the probability of each label; their sum is 1.

    `tokens` counts the word pieces of the whole text, and `unknown` counts the unknown word pieces.
    Neither counts the special tokens that the tokenizer adds at the ends. `truncated` is true if
    the model saw only the first word pieces.

    `signature` describes the text in eight small whole numbers, which the model's profile defines.
    `novelty` tells how far this signature is from the signatures of the profile's reference texts:
    it is the logarithm of the Mahalanobis distance.
    `surprisal` tells how unusual the order of the word pieces is, in bits per pair of neighbours.
    `latency_ms` is the time for tokenising the text and running the model.
    """

    label: str
    score: float
    probability: dict[str, float]
    tokens: int
    unknown: int
    truncated: bool
    signature: list[int]
    novelty: float
    surprisal: float
    latency_ms: float


class Classifier:
    """The model of a model folder (`card.json`, `model.onnx`, `tokenizer.json`)."""

    def __init__(self, folder: Path) -> None:
        """Load the folder. Raises `UnfitModel` with the reason if the folder cannot be used."""
        self.card: dict[str, Any] = read_card(folder)
        self.usual = Usual.of(self.card["usual"])
        self._load_tokenizer(folder / "tokenizer.json")
        self._load_session(folder / "model.onnx")

    def _load_tokenizer(self, path: Path) -> None:
        try:
            self._tokenizer = Tokenizer.from_file(str(path))
        except Exception as problem:  # noqa: BLE001  the library has no exception class of its own
            raise UnfitModel(
                f"{path} cannot be read as a tokenizer ({problem}): {AGAIN}."
            ) from None
        self._tokenizer.no_padding()
        # A long text is cut by `shortened` and not by the tokenizer, so that the whole length is
        # known.
        self._tokenizer.no_truncation()
        # "[SEP]" or "[UNK]" in a text is ordinary text, not a special token.
        self._tokenizer.encode_special_tokens = True
        marks = self._tokenizer.encode("a").special_tokens_mask
        self._marks = sum(marks)
        self._marks_at_the_end = next(
            (at for at, mark in enumerate(reversed(marks)) if not mark), 0
        )
        unknown = self.card["unknown"]
        self._unknown = None if unknown is None else self._tokenizer.token_to_id(unknown)
        if unknown is not None and self._unknown is None:
            raise UnfitModel(
                f"{path} has no token {unknown}, but card.json says that this token stands for "
                f"unknown text: {AGAIN}."
            )

    def _load_session(self, path: Path) -> None:
        options = onnxruntime.SessionOptions()
        # A function with less than 1,769 MB has less than one core, so more threads only wait.
        options.intra_op_num_threads = 1
        try:
            self._session = onnxruntime.InferenceSession(
                path, options, providers=["CPUExecutionProvider"]
            )
        except Exception as problem:  # noqa: BLE001  the library's exceptions have no common base
            raise UnfitModel(
                f"{path} cannot be loaded by onnxruntime {onnxruntime.__version__} ({problem}): "
                f"{AGAIN}."
            ) from None
        self._inputs = [each.name for each in self._session.get_inputs()]
        check_session(
            path,
            self._inputs,
            {each.name: each.shape for each in self._session.get_outputs()},
            self.card["labels"],
        )

    def predict(self, sentence: str) -> Prediction:
        """Predict one sentence.

        Sentences are never batched, so that a score cannot depend on other sentences.
        """
        started = perf_counter()
        ids = self._tokenizer.encode(sentence).ids
        logits, signature, novelty, surprisal = self._outputs(ids)
        probability = dict(
            zip(self.card["labels"], softmax(logits, self.card["temperature"]), strict=True)
        )
        label = max(probability, key=probability.__getitem__)
        return Prediction(
            label=label,
            score=probability[label],
            probability=probability,
            tokens=len(ids) - self._marks,
            unknown=0 if self._unknown is None else ids.count(self._unknown),
            truncated=len(ids) > self.card["max_tokens"],
            signature=signature,
            novelty=novelty,
            surprisal=surprisal,
            latency_ms=(perf_counter() - started) * 1000,
        )

    def logits(self, sentence: str) -> list[float]:
        """Return the model's raw output for one sentence: a number for each label of the card.

        Raises `ArithmeticError` if a number is not finite.
        """
        return self._outputs(self._tokenizer.encode(sentence).ids)[0]

    def shortened(self, ids: list[int]) -> list[int]:
        """Cut the tokens of a text to the model's limit, but keep the special tokens at the end."""
        limit, end = self.card["max_tokens"], self._marks_at_the_end
        return ids if len(ids) <= limit else [*ids[: limit - end], *ids[len(ids) - end :]]

    def _outputs(self, ids: list[int]) -> tuple[list[float], list[int], float, float]:
        results = self._session.run(OUTPUTS, feed(self._inputs, self.shortened(ids)))
        logits, signature, novelty, surprisal = (result[0].tolist() for result in results)
        if not all(map(isfinite, [*logits, novelty, surprisal])):
            raise ArithmeticError("the model's output is not finite")
        return logits, signature, novelty, surprisal


def feed(names: list[str], ids: list[int]) -> dict[str, NDArray[np.int64]]:
    """Return the model's inputs for one sentence, each of shape (1, tokens).

    `names` are the inputs that the session needs.
    """
    tokens = np.array([ids], dtype=np.int64)
    return {
        name: tokens if name == "input_ids" else np.full_like(tokens, name == "attention_mask")
        for name in names
    }


def softmax(logits: list[float], temperature: float) -> list[float]:
    """Return the softmax of the logits divided by the temperature, as probabilities.

    The method is temperature scaling (Guo et al. 2017, "On Calibration of Modern Neural Networks").
    """
    highest = max(logits)
    weights = [exp((logit - highest) / temperature) for logit in logits]
    total = sum(weights)
    return [weight / total for weight in weights]
