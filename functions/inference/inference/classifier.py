"""The shipped model: a sentence in, calibrated probabilities out."""

from __future__ import annotations

import json
from dataclasses import dataclass
from math import exp, isfinite
from pathlib import Path
from time import perf_counter
from typing import Any, Final

import numpy as np
import onnxruntime
from tokenizers import Tokenizer

OUTPUTS: Final = ["logits", "signature", "novelty", "surprisal"]


@dataclass(frozen=True, slots=True)
class Prediction:
    """What the model says of one sentence.

    `probability` of each label sums to 1; `score` is the one of `label`, the most probable. `tokens` and `unknown`
    count the word pieces of the whole text, without the two marks at its ends; `truncated` says that the model saw
    only the first ones. `signature` says what the text is like in whole numbers of a byte, whose meaning the model's
    profile knows; `novelty` is the logarithm of the signature's Mahalanobis distance from the profile's reference;
    `surprisal` is in bits a pair of neighbouring word pieces. `latency_ms` is the time of tokenising and of the model.
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
    """A model folder (`card.json`, `model.onnx`, `tokenizer.json`), loaded once."""

    def __init__(self, folder: Path) -> None:
        self.card: dict[str, Any] = json.loads((folder / "card.json").read_text(encoding="utf-8"))
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()  # cut below, where the whole length is known
        self._tokenizer.encode_special_tokens = True  # [SEP] or [UNK] in a text is text: only the model's own marks are marks
        unknown = self._tokenizer.token_to_id("[UNK]")
        if unknown is None:
            raise ValueError(f"{folder}/tokenizer.json has no [UNK]: not the tokenizer of this model")
        self._unknown = unknown
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1  # a function below 1,769 MB has less than one core; more threads only wait
        self._session = onnxruntime.InferenceSession(folder / "model.onnx", options, providers=["CPUExecutionProvider"])

    def predict(self, sentence: str) -> Prediction:
        """One sentence at a time: its score then cannot depend on its neighbours in a batch."""
        started = perf_counter()
        ids = self._tokenizer.encode(sentence).ids
        logits, signature, novelty, surprisal = self._outputs(ids)
        probability = dict(zip(self.card["labels"], softmax(logits, self.card["temperature"]), strict=True))
        label = max(probability, key=probability.__getitem__)
        return Prediction(
            label=label,
            score=probability[label],
            probability=probability,
            tokens=len(ids) - 2,
            unknown=ids.count(self._unknown),
            truncated=len(ids) > self.card["max_tokens"],
            signature=signature,
            novelty=novelty,
            surprisal=surprisal,
            latency_ms=(perf_counter() - started) * 1000,
        )

    def logits(self, sentence: str) -> list[float]:
        """The model's raw output for one sentence, a number for each label of the card. Raises `ArithmeticError` for NaN."""
        return self._outputs(self._tokenizer.encode(sentence).ids)[0]

    def _outputs(self, ids: list[int]) -> tuple[list[float], list[int], float, float]:
        limit = self.card["max_tokens"]
        tokens = np.array([ids if len(ids) <= limit else [*ids[: limit - 1], ids[-1]]], dtype=np.int64)
        results = self._session.run(OUTPUTS, {"input_ids": tokens, "attention_mask": np.ones_like(tokens)})
        logits, signature, novelty, surprisal = (result[0].tolist() for result in results)
        if not all(map(isfinite, [*logits, novelty, surprisal])):
            raise ArithmeticError("the model's output is not finite")
        return logits, signature, novelty, surprisal


def softmax(logits: list[float], temperature: float) -> list[float]:
    """Probabilities of the logits divided by the temperature (Guo et al. 2017, "On Calibration of Modern Neural Networks")."""
    highest = max(logits)
    weights = [exp((logit - highest) / temperature) for logit in logits]
    total = sum(weights)
    return [weight / total for weight in weights]
