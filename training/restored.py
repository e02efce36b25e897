"""`python -m training.restored --out FOLDER`: the weights of the shipped ONNX file as transformers keeps them, to compare with.

The 8-bit numbers times their scales: what the file computes with, in a folder that `transformers.pipeline` loads.
"""

from __future__ import annotations

import argparse
import re
from math import sqrt
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from training.__main__ import MODEL, packaged_encoder

Weights = dict[str, NDArray[np.float32]]


def weights(path: Path) -> Weights:
    """The sentence graph's parameters by their names, matrices as inputs x outputs."""
    (loop,) = [node for node in onnx.load(path).graph.node if node.op_type == "Loop"]
    body = next(attribute.g for attribute in loop.attribute if attribute.name == "body")
    stored = {value.name: numpy_helper.to_array(value) for value in body.initializer}
    found: Weights = {name: value for name, value in stored.items() if value.dtype == np.float32}
    for node in body.node:
        if node.op_type == "MatMulNBits":
            blocks, scales = stored[node.input[1]], stored[node.input[2]]  # outputs x blocks x block, a scale a block
            numbers = (blocks.astype(np.float32) - 128) * scales.reshape(*blocks.shape[:2], 1)
            found[re.sub(r"_Q8.*", "", node.input[1])] = numbers.reshape(len(blocks), -1)[:, : onnx.helper.get_node_attr_value(node, "K")].T
        elif node.op_type == "DequantizeLinear":
            name = node.input[0] if node.input[0] in stored else next(n.input[0] for n in body.node if n.output[0] == node.input[0])
            scale, zero = (stored[part] for part in node.input[1:3])
            found[name.removesuffix("_quantized")] = (stored[name].astype(np.float32) - zero.astype(np.float32)) * scale
    return found


def bert(found: Weights, layers: int, heads: int) -> Weights:
    """Those parameters under the names, and in the shapes, of transformers' BERT for classification."""
    width = found["norm.weight"].size
    state = {
        "bert.embeddings.word_embeddings.weight": found["words.weight"],
        "bert.embeddings.position_embeddings.weight": found["places"],
        "bert.embeddings.token_type_embeddings.weight": np.zeros((2, width), np.float32),  # part of the places
        "bert.embeddings.LayerNorm.weight": found["norm.weight"],
        "bert.embeddings.LayerNorm.bias": found["norm.bias"],
        "bert.pooler.dense.weight": found["pooler.weight_Transposed"].T,
        "bert.pooler.dense.bias": found["pooler.bias"],
        "classifier.weight": found["classifier.weight_Transposed"].T,
        "classifier.bias": found["classifier.bias"],
    }
    for at in range(layers):
        root = f"bert.encoder.layer.{at}"
        for part in ("weight", "bias"):
            keys, values = np.split(found[f"keys_values.{at}.{part}"], 2, axis=-1)
            for name, value in {
                "attention.self.query": found[f"queries.{at}.{part}"] * sqrt(width / heads),
                "attention.self.key": keys,
                "attention.self.value": values,
                "attention.output.dense": found[f"attended.{at}.{part}"],
                "intermediate.dense": found[f"inner.{at}.{part}"],
                "output.dense": found[f"outer.{at}.{part}"],
            }.items():
                state[f"{root}.{name}.{part}"] = np.ascontiguousarray(value.T)
            state[f"{root}.attention.output.LayerNorm.{part}"] = found[f"norms.{at}.0.{part}"]
            state[f"{root}.output.LayerNorm.{part}"] = found[f"norms.{at}.1.{part}"]
    return state


def main(argv: list[str] | None = None) -> int:
    """Write the folder."""
    parser = argparse.ArgumentParser(prog="python -m training.restored", description=__doc__)
    parser.add_argument("--model", type=Path, default=MODEL, help="folder of the artefact (%(default)s)")
    parser.add_argument("--out", type=Path, required=True, help="where the folder for transformers goes")
    arguments = parser.parse_args(argv)

    import torch  # noqa: PLC0415  seconds of import

    from training.finetune import load, load_tokenizer  # noqa: PLC0415

    encoder = packaged_encoder()
    model = load(encoder)
    state = bert(weights(arguments.model / "model.onnx"), model.config.num_hidden_layers, model.config.num_attention_heads)
    for name, value in model.state_dict().items():
        shipped = torch.tensor(state[name])
        value[: len(shipped)] = shipped  # of the places the file keeps those that a sentence can have
    model.save_pretrained(arguments.out)
    load_tokenizer(encoder).save_pretrained(arguments.out)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
