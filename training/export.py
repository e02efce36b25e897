"""The trained classifier as the artefact that the inference function ships: 8-bit ONNX, tokenizer, card."""

from __future__ import annotations

import json
import logging
import shutil
import sys
import tempfile
from hashlib import sha256
from pathlib import Path
from typing import Any

import onnx
import torch
from onnxruntime.quantization.matmul_nbits_quantizer import DefaultWeightOnlyQuantConfig, MatMulNBitsQuantizer
from onnxruntime.quantization.quant_utils import QuantType
from onnxruntime.quantization.quantize import quantize_dynamic
from rich.console import Console
from rich.table import Table
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from training import figures
from training.corpora import LABELS, Example
from training.finetune import logits

sys.path.insert(0, str(Path(__file__).parents[1] / "functions" / "inference"))
from inference.classifier import Classifier

logging.getLogger("onnxruntime.quantization.matmul_nbits_quantizer").setLevel(logging.WARNING)  # a line a node otherwise

NAME = "minilm-cola"
MAX_TOKENS = 128


def artefact(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, aside: list[Example], dev: list[Example], out: Path) -> None:
    """Put `model.onnx`, `tokenizer.json` and `card.json` into `out`, all three or none, and print the figures.

    The temperature is fitted on `aside`, through the exported file; `dev` is only measured.
    """
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / "made"
        made.mkdir()
        to_onnx(model, Path(folder) / "plain.onnx")
        quantise(Path(folder) / "plain.onnx", made / "model.onnx")
        tokenizer.backend_tokenizer.no_truncation()
        tokenizer.backend_tokenizer.no_padding()
        tokenizer.backend_tokenizer.save(str(made / "tokenizer.json"))
        trained = logits(model, tokenizer, [example.sentence for example in dev])
        card = described(made, aside, dev, trained)
        write_card(card, made)
        out.mkdir(parents=True, exist_ok=True)
        shutil.copytree(made, out, dirs_exist_ok=True)
    _show(card)


def described(folder: Path, aside: list[Example], dev: list[Example], trained: list[list[float]]) -> dict[str, Any]:
    """The card of the exported files in `folder`; `trained` are the logits that the model gave on `dev` before its export."""
    card: dict[str, Any] = {"name": NAME, "version": "", "labels": list(LABELS), "temperature": 1.0, "max_tokens": MAX_TOKENS}
    write_card(card, folder)  # the classifier reads it
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
    return card


def version(folder: Path, temperature: float) -> str:
    """12 hex digits of all that decides a score: weights, tokenizer, temperature."""
    digest = sha256((folder / "model.onnx").read_bytes())
    digest.update((folder / "tokenizer.json").read_bytes())
    digest.update(repr(temperature).encode())
    return digest.hexdigest()[:12]


def to_onnx(model: PreTrainedModel, path: Path) -> None:
    """The classifier as 32-bit ONNX with inputs `input_ids` and `attention_mask` (batch x tokens) and output `logits`.

    The TorchScript exporter: what the newer one writes, onnxruntime does not fuse attention in.
    """

    class Exported(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.classifier = model

        def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
            result: torch.Tensor = self.classifier(input_ids=input_ids, attention_mask=attention_mask).logits
            return result

    model.eval()
    model.set_attn_implementation("eager")
    sample = torch.ones((2, 8), dtype=torch.long)
    axes = {0: "batch", 1: "tokens"}
    torch.onnx.export(
        Exported(),
        (sample, sample),
        str(path),
        input_names=["input_ids", "attention_mask"],
        output_names=["logits"],
        dynamic_axes={"input_ids": axes, "attention_mask": axes, "logits": {0: "batch"}},
        opset_version=17,
        dynamo=False,
    )


def quantise(source: Path, target: Path) -> None:
    """8-bit weights: matrices in blocks of 128 (activations are quantised per row: a batch moves scores little), then embeddings."""
    algorithm = DefaultWeightOnlyQuantConfig(block_size=128, is_symmetric=True, accuracy_level=4, bits=8)
    quantizer = MatMulNBitsQuantizer(onnx.load(source), algo_config=algorithm)
    quantizer.process()
    with tempfile.TemporaryDirectory() as folder:
        matrices = Path(folder) / "matrices.onnx"
        quantizer.model.save_model_to_file(str(matrices), use_external_data_format=False)
        quantize_dynamic(matrices, target, op_types_to_quantize=["Gather"], weight_type=QuantType.QInt8)


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


def write_card(card: dict[str, Any], out: Path) -> None:
    """`card.json` beside the model."""
    (out / "card.json").write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")


def _show(card: dict[str, Any]) -> None:
    table = Table("figure", "value", title=f"{card['name']} {card['version']}")
    for name, value in card["figures"].items():
        table.add_row(name.replace("_", " "), str(value))
    table.add_row("temperature", f"{card['temperature']:.3f}")
    Console().print(table)
