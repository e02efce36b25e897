"""The trained classifier as the plainest graph that computes the same for one sentence."""

from __future__ import annotations

from math import sqrt
from pathlib import Path

import torch
from torch.nn import Module, Parameter
from torch.nn.functional import gelu
from transformers import PreTrainedModel

SIGNATURE_LAYER = 3  # counted from 1; measured beside the others in README.md


class Linear(Module):
    """One or more linear layers side by side, written as a product and a sum, which the 8-bit matrices replace."""

    def __init__(self, *layers: Module, first_times: float = 1.0) -> None:
        super().__init__()
        factors = [first_times, *[1.0] * (len(layers) - 1)]
        pairs = list(zip(layers, factors, strict=True))
        self.weight = Parameter(torch.cat([layer.weight * factor for layer, factor in pairs]).detach().T.contiguous())
        self.bias = Parameter(torch.cat([layer.bias * factor for layer, factor in pairs]).detach())

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        """Tokens x inputs to tokens x outputs."""
        return rows @ self.weight + self.bias


class Sentence(Module):
    """BERT for one sentence: no batch, so no padding and no mask; the last layer works out the first token only.

    Takes the token ids (tokens,), gives two logits (2,) and layer 3's mean over the tokens (width,).
    """

    def __init__(self, model: PreTrainedModel, max_tokens: int) -> None:
        super().__init__()
        embeddings, layers = model.bert.embeddings, model.bert.encoder.layer
        self.heads, self.width = model.config.num_attention_heads, model.config.hidden_size
        self.words, self.norm = embeddings.word_embeddings, embeddings.LayerNorm
        places = embeddings.position_embeddings.weight[:max_tokens] + embeddings.token_type_embeddings.weight[0]
        self.places = Parameter(places.detach().clone())
        self.queries, self.keys_values, self.attended = (torch.nn.ModuleList() for _ in range(3))
        self.inner, self.outer, self.norms = (torch.nn.ModuleList() for _ in range(3))
        for layer in layers:
            attention = layer.attention.self
            self.queries.append(Linear(attention.query, first_times=1 / sqrt(attention.attention_head_size)))
            self.keys_values.append(Linear(attention.key, attention.value))
            self.attended.append(Linear(layer.attention.output.dense))
            self.inner.append(Linear(layer.intermediate.dense))
            self.outer.append(Linear(layer.output.dense))
            self.norms.append(torch.nn.ModuleList([layer.attention.output.LayerNorm, layer.output.LayerNorm]))
        self.pooler, self.classifier = model.bert.pooler.dense, model.classifier

    def forward(self, ids: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """See the class."""
        rows = self.norm(self.words(ids) + self.places[: ids.shape[0]])
        pooled = rows[0]
        last = len(self.queries) - 1
        for at, (first, second) in enumerate(self.norms):
            keys, values = self.keys_values[at](rows).split(self.width, 1)
            if at == last:
                rows = rows[:1]
            weights = torch.softmax(self._heads(self.queries[at](rows)) @ self._heads(keys).transpose(1, 2), -1)
            context = (weights @ self._heads(values)).transpose(0, 1).reshape(-1, self.width)
            rows = first(rows + self.attended[at](context))
            rows = second(rows + self.outer[at](gelu(self.inner[at](rows))))
            if at == SIGNATURE_LAYER - 1:
                pooled = rows.mean(0)
        return self.classifier(torch.tanh(self.pooler(rows)))[0], pooled

    def _heads(self, rows: torch.Tensor) -> torch.Tensor:
        return rows.reshape(-1, self.heads, self.width // self.heads).transpose(0, 1)


def to_onnx(model: PreTrainedModel, path: Path, max_tokens: int) -> None:
    """32-bit ONNX with the input `ids` (tokens,) and the outputs `sentence_logits` (2,) and `pooled` (width,).

    The TorchScript exporter: what it writes, onnxruntime fuses.
    """
    model.eval()
    torch.onnx.export(
        Sentence(model, max_tokens).eval(),
        (torch.arange(100, 108),),
        str(path),
        input_names=["ids"],
        output_names=["sentence_logits", "pooled"],
        dynamic_axes={"ids": {0: "tokens"}},
        opset_version=20,
        dynamo=False,
    )
