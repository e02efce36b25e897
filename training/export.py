"""The trained classifier as the artefact that the inference function ships: 8-bit ONNX, tokenizer, card, profile."""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from inference.classifier import Classifier
from training import figures, graph, signature
from training.corpora import LABELS, Example
from training.finetune import logits
from training.profile import profile
from training.sentence import to_onnx

NAME = "minilm-cola"
MAX_TOKENS = 128


def artefact(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, *, train: list[Example], aside: list[Example], dev: list[Example], out: Path
) -> None:
    """Put `model.onnx`, `tokenizer.json`, `card.json` and `profile.json` into `out`, all or none, and print the figures.

    `aside`, which nothing was trained on, gives temperature, signature and profile, through the exported file; `train`
    the table of surprisal; `dev` is only measured.
    """
    trained = logits(model, tokenizer, [example.sentence for example in dev])
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / "made"
        made.mkdir()
        tokenizer.backend_tokenizer.no_truncation()
        tokenizer.backend_tokenizer.no_padding()
        tokenizer.backend_tokenizer.save(str(made / "tokenizer.json"))
        plain, small = Path(folder) / "plain.onnx", Path(folder) / "small.onnx"
        to_onnx(model, plain, MAX_TOKENS)
        graph.quantised(plain, small)

        def ids(examples: list[Example]) -> list[list[int]]:
            return [tokenizer.backend_tokenizer.encode(example.sentence).ids for example in examples]

        fitted = signature.fit(pooled(small, ids(aside)))
        onnx.save(graph.whole(onnx.load(small), fitted, signature.bigram_bits(ids(train))), made / "model.onnx")
        card = described(made, aside, dev, trained)
        reference = profile(Classifier(made), aside, fitted)
        write({**card, "profile": reference["id"]}, made / "card.json")
        write(reference, made / "profile.json")
        out.mkdir(parents=True, exist_ok=True)
        shutil.copytree(made, out, dirs_exist_ok=True)
    _show(card)


def described(folder: Path, aside: list[Example], dev: list[Example], trained: list[list[float]]) -> dict[str, Any]:
    """The card of the exported files in `folder`; `trained` are the logits that the model gave on `dev` before its export."""
    card: dict[str, Any] = {
        "name": NAME, "version": "", "profile": "", "labels": list(LABELS), "temperature": 1.0, "max_tokens": MAX_TOKENS,
    }  # fmt: skip
    write(card, folder / "card.json")  # the classifier reads it
    aside_logits = shipped_logits(folder, [example.sentence for example in aside])
    card["temperature"] = figures.fit_temperature([example.label for example in aside], aside_logits)
    card["version"] = version(folder, card["temperature"])
    labels = [example.label for example in dev]
    shipped = shipped_logits(folder, [example.sentence for example in dev])
    changed = [chosen(one) != chosen(other) for one, other in zip(shipped, trained, strict=True)]
    card["figures"] = {
        "corpus": "CoLA in-domain dev",
        "sentences": len(dev),
        **{name: round(value, 4) for name, value in measured(labels, shipped, card["temperature"]).items()},
        "matthews_before_quantisation": round(figures.matthews(labels, list(map(chosen, trained))), 4),
        "labels_changed_by_quantisation": sum(changed),
        "megabytes": round((folder / "model.onnx").stat().st_size / 1e6, 1),
    }
    card["calibrated_on"] = {"corpus": "CoLA in-domain train, put aside before training", "sentences": len(aside)}
    card["base_model"] = {"name": "sentence-transformers/all-MiniLM-L6-v2", "licence": "Apache-2.0"}
    card["corpora"] = [
        {"name": "CoLA in-domain train", "terms": "text excerpted from linguistics publications, research use"},
        {"name": "UD English EWT without its e-mails", "terms": "CC BY-SA 4.0"},
        {"name": "BLiMP", "terms": "CC BY 4.0"},
    ]
    write(card, folder / "card.json")
    return card


def version(folder: Path, temperature: float) -> str:
    """12 hex digits of all that decides a score: weights, tokenizer, temperature."""
    digest = sha256((folder / "model.onnx").read_bytes())
    digest.update((folder / "tokenizer.json").read_bytes())
    digest.update(repr(temperature).encode())
    return digest.hexdigest()[:12]


def pooled(path: Path, sentences: list[list[int]]) -> NDArray[np.float32]:
    """Layer 3's mean (sentences, width) from the graph of one sentence."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    cut = [ids if len(ids) <= MAX_TOKENS else [*ids[: MAX_TOKENS - 1], ids[-1]] for ids in sentences]
    return np.array([session.run(["pooled"], {"ids": np.array(ids)})[0] for ids in cut])


def shipped_logits(folder: Path, sentences: list[str]) -> list[list[float]]:
    """The logits of the artefact in `folder`, through the inference function's own code."""
    classifier = Classifier(folder)
    return [classifier.logits(sentence) for sentence in sentences]


def measured(labels: list[int], rows: list[list[float]], temperature: float) -> dict[str, float]:
    """Matthews correlation, accuracy and calibration error of logits against labels."""
    predicted = list(map(chosen, rows))
    probabilities = [figures.acceptable(row, temperature) for row in rows]
    return {
        "matthews": figures.matthews(labels, predicted),
        "accuracy": figures.accuracy(labels, predicted),
        "calibration_error": figures.calibration_error(labels, probabilities),
    }


def chosen(row: list[float]) -> int:
    """The label that two logits choose."""
    return int(row[1] > row[0])


def write(content: dict[str, Any], path: Path) -> None:
    """One JSON file; numbers in lists stand on one line."""
    text = json.dumps(content, indent=2, ensure_ascii=False)
    path.write_text(re.sub(r"\[[^\[\]{}\"]*\]", lambda numbers: " ".join(numbers[0].split()), text) + "\n", encoding="utf-8")


def _show(card: dict[str, Any]) -> None:
    table = Table("figure", "value", title=f"{card['name']} {card['version']}")
    for name, value in card["figures"].items():
        table.add_row(name.replace("_", " "), str(value))
    table.add_row("temperature", f"{card['temperature']:.3f}")
    Console().print(table)
