"""Restores a checkpoint of transformers from the ONNX file of a model folder.

The weights are the 8-bit numbers of the file, multiplied by their scales. `transformers.pipeline`
can load the checkpoint. Run `python -m training.restored --out FOLDER`.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from training.__main__ import MODEL, packaged_encoder

Weights = dict[str, NDArray[np.float32]]
PREFIX: Final = "sentence/model."


def weights(path: Path) -> Weights:
    """Return the parameters of the sentence graph, with the names and shapes of transformers.

    Vectors and tables have the same names in the ONNX file as in transformers. The name of a matrix
    product contains the name of its module (`/model/bert/.../MatMul_quant`). The attentions are in
    the order of the layers. The queries, keys and values of an attention are in one matrix, or in
    three.
    """
    (loop,) = [node for node in onnx.load(path).graph.node if node.op_type == "Loop"]
    body = next(attribute.g for attribute in loop.attribute if attribute.name == "body")
    stored = {value.name: numpy_helper.to_array(value) for value in body.initializer}
    found: Weights = {
        name.removeprefix(PREFIX): value
        for name, value in stored.items()
        if name.startswith(PREFIX) and value.dtype == np.float32
    }
    for name, value in stored.items():
        if name.endswith("embeddings.weight_quantized"):
            root = name.removesuffix("_quantized")
            found[root.removeprefix(PREFIX)] = _numbers(
                value, stored[f"{root}_scale"], stored[f"{root}_zero_point"]
            )
    layers = 0
    for node in body.node:
        if node.op_type == "MatMulInteger":
            root = node.input[1].removesuffix("_quantized")
            module = node.name.removeprefix("sentence//model/").rpartition("/")[0].replace("/", ".")
            found[f"{module}.weight"] = _numbers(
                stored[node.input[1]], stored[f"{root}_scale"], stored[node.input[3]]
            ).T
        elif node.op_type == "QAttention":
            matrix = np.split(
                _numbers(stored[node.input[1]], stored[node.input[4]], stored[node.input[7]]),
                3,
                axis=1,
            )
            for part, weight, bias in zip(
                ("query", "key", "value"), matrix, np.split(stored[node.input[2]], 3), strict=True
            ):
                module = f"bert.encoder.layer.{layers}.attention.self.{part}"
                found |= {
                    f"{module}.weight": np.ascontiguousarray(weight.T),
                    f"{module}.bias": bias,
                }
            layers += 1
        elif node.op_type == "MatMulIntegerToFloat":  # a part of the last layer's attention
            module = f"bert.encoder.layer.{layers}.attention.self.{node.name.rpartition('/')[2]}"
            matrix, scale, zero, bias = (stored[node.input[at]] for at in (1, 3, 5, 6))
            found |= {f"{module}.weight": _numbers(matrix, scale, zero).T, f"{module}.bias": bias}
            layers += module.endswith("value")
    return {
        name: value
        for name, value in found.items()
        if not name.endswith(("_scale", "_zero_point", "_quantized"))
    }


def _numbers(
    kept: NDArray[Any], scale: NDArray[np.float32], zero: NDArray[Any]
) -> NDArray[np.float32]:
    """Multiply 8-bit numbers by their scale.

    A matrix, of shape (inputs, outputs), has one scale for each output.
    """
    return (kept.astype(np.float32) - zero.astype(np.float32)) * scale


def main(argv: list[str] | None = None) -> int:
    """Write the checkpoint's folder."""
    parser = argparse.ArgumentParser(prog="python -m training.restored", description=__doc__)
    parser.add_argument(
        "--model", type=Path, default=MODEL, help="the model folder to read (%(default)s)"
    )
    parser.add_argument("--out", type=Path, required=True, help="the checkpoint folder to write")
    arguments = parser.parse_args(argv)

    import torch  # noqa: PLC0415  seconds of import

    from training.finetune import load, load_tokenizer  # noqa: PLC0415

    encoder = packaged_encoder()
    model = load(encoder)
    state = weights(arguments.model / "model.onnx")
    model.load_state_dict({name: torch.tensor(value) for name, value in state.items()})
    model.save_pretrained(arguments.out)
    load_tokenizer(encoder).save_pretrained(arguments.out)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
