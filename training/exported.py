"""Exports a checkpoint of transformers as an ONNX graph for one sentence.

The module also computes the answers of the checkpoint itself. It needs torch.
"""

from __future__ import annotations

import warnings
from inspect import signature
from pathlib import Path

import onnx
import torch
from rich.console import Console
from rich.progress import track
from torch.nn import Module
from transformers import AutoModelForSequenceClassification, AutoTokenizer, PreTrainedModel


class Sentence(Module):
    """The classifier for one sentence.

    The input is the ids of the tokens, of shape (1, tokens). The outputs are the logits, of shape
    (labels), and the mean of the middle layer over the tokens, of shape (width).
    """

    def __init__(self, model: PreTrainedModel) -> None:
        super().__init__()
        self.model = model
        self.has_kinds = "token_type_ids" in signature(model.forward).parameters

    def forward(self, ids: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the logits and the mean of the middle layer."""
        # Without token types, the exporter would add a dozen nodes that compute them.
        kinds = {"token_type_ids": ids * 0} if self.has_kinds else {}
        found = self.model(input_ids=ids, output_hidden_states=True, **kinds)
        layers = found.hidden_states  # the first item is the embeddings
        return found.logits[0], layers[(len(layers) - 1) // 2][0].mean(0)


def load(folder: Path) -> PreTrainedModel:
    """Load the checkpoint with the kind of attention that onnxruntime's optimizer recognises."""
    return AutoModelForSequenceClassification.from_pretrained(
        folder,
        attn_implementation="eager",
        use_safetensors=True,
        trust_remote_code=False,
        dtype=torch.float32,
    ).eval()


def to_onnx(model: PreTrainedModel, path: Path) -> None:
    """Write the classifier for one sentence as an ONNX file with 32-bit numbers.

    Input and outputs are those of `Sentence`, with the names `ids`, `sentence_logits` and `pooled`.
    The file has the encoder's `heads` and `width` as properties, because onnxruntime's optimizer
    needs both.
    """
    with warnings.catch_warnings():
        # the exporter warns about shapes that are the same for every sentence
        warnings.simplefilter("ignore")
        torch.onnx.export(
            Sentence(model).eval(),
            (torch.arange(5, 13)[None],),
            str(path),
            input_names=["ids"],
            output_names=["sentence_logits", "pooled"],
            dynamic_axes={"ids": {1: "tokens"}},
            opset_version=20,
            dynamo=False,
        )
    config = model.config  # it has these two names for every architecture of transformers
    exported = onnx.load(path)
    onnx.helper.set_model_props(
        exported, {"heads": str(config.num_attention_heads), "width": str(config.hidden_size)}
    )
    onnx.save(exported, path)


@torch.inference_mode()
def answers(
    model: PreTrainedModel, folder: Path, texts: list[str], max_tokens: int
) -> list[list[float]]:
    """Return the checkpoint's own logits for each text, as transformers computes them."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    shown = track(texts, "the checkpoint's own answers", console=Console(stderr=True))
    return [
        model(**tokenizer(text, truncation=True, max_length=max_tokens, return_tensors="pt"))
        .logits[0]
        .tolist()
        for text in shown
    ]
