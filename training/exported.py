"""A checkpoint of transformers as the ONNX graph of one sentence, by transformers and torch; and what it answers itself."""

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
    """The classifier for one sentence: ids (1, tokens) to logits (labels,) and the mean of a middle layer over the tokens (width,)."""

    def __init__(self, model: PreTrainedModel) -> None:
        super().__init__()
        self.model = model
        self.has_kinds = "token_type_ids" in signature(model.forward).parameters

    def forward(self, ids: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """See the class."""
        kinds = (
            {"token_type_ids": ids * 0} if self.has_kinds else {}
        )  # else the exporter writes a dozen nodes to make them
        found = self.model(input_ids=ids, output_hidden_states=True, **kinds)
        layers = found.hidden_states  # the embeddings before them
        return found.logits[0], layers[(len(layers) - 1) // 2][0].mean(0)


def load(folder: Path) -> PreTrainedModel:
    """The checkpoint with its attention written out, in the form that onnxruntime's optimizer knows."""
    return AutoModelForSequenceClassification.from_pretrained(
        folder,
        attn_implementation="eager",
        use_safetensors=True,
        trust_remote_code=False,
        dtype=torch.float32,
    ).eval()


def to_onnx(model: PreTrainedModel, path: Path) -> None:
    """32-bit ONNX with the input `ids` (1, tokens) and the outputs `sentence_logits` (labels,) and `pooled` (width,).

    Its properties `heads` and `width` are the encoder's, which onnxruntime's optimizer has to be
    told.
    """
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore"
        )  # the exporter's, about shapes that are the same for every sentence
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
    config = model.config  # names that transformers maps for every architecture
    exported = onnx.load(path)
    onnx.helper.set_model_props(
        exported, {"heads": str(config.num_attention_heads), "width": str(config.hidden_size)}
    )
    onnx.save(exported, path)


@torch.inference_mode()
def answers(
    model: PreTrainedModel, folder: Path, texts: list[str], max_tokens: int
) -> list[list[float]]:
    """The checkpoint's own logits for each text, through its own tokenizer, as transformers' pipeline computes them."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    shown = track(texts, "the checkpoint's own answers", console=Console(stderr=True))
    return [
        model(**tokenizer(text, truncation=True, max_length=max_tokens, return_tensors="pt"))
        .logits[0]
        .tolist()
        for text in shown
    ]
