"""Makes the exported classifier faster.

Each attention becomes one node, nothing is computed for unused tokens, and products use 8 bits.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

import numpy as np
import onnx
from onnx import TensorProto, helper
from onnxruntime.quantization.quant_utils import QuantType
from onnxruntime.quantization.quantize import quantize_dynamic

from training.first_token import first_query_only, first_token_only

# A table with fewer elements is small: 8 bits would save hardly anything.
SMALL_TABLE: Final = 1_000_000

# this logger otherwise prints a line per node
logging.getLogger("onnxruntime.quantization.matmul_nbits_quantizer").setLevel(logging.WARNING)


def dynamic(source: Path, target: Path) -> None:
    """Write a graph that multiplies matrices of 8-bit numbers.

    Weights have 7 bits and one scale per output. Activations have 8 bits, scaled at run time by
    their range. Weights have only 7 bits because processors without VNNI add two products in 16
    bits, and two products with weights of 8 bits can overflow.
    """
    logging.getLogger().setLevel(logging.ERROR)  # the library writes advice to the root logger
    with tempfile.TemporaryDirectory() as folder:
        fast, small = Path(folder) / "fast.onnx", Path(folder) / "small.onnx"
        model = fused(source)
        first_token_only(model)
        plain_sums(model)
        onnx.save(model, fast)
        sizes = {value.name: int(np.prod(value.dims)) for value in model.graph.initializer}
        small_tables = [
            node.name
            for node in model.graph.node
            if node.op_type == "Gather" and sizes.get(node.input[0], 0) < SMALL_TABLE
        ]
        quantize_dynamic(
            fast,
            small,
            op_types_to_quantize=["MatMul", "Attention", "Gather"],
            nodes_to_exclude=small_tables,
            per_channel=True,
            reduce_range=True,
            weight_type=QuantType.QInt8,
            extra_options={"MatMulConstBOnly": True, "DefaultTensorType": TensorProto.FLOAT},
        )
        model = onnx.load(small)
        first_query_only(model)
        onnx.save(model, target)


def in_blocks(source: Path, target: Path) -> None:
    """Write a graph with 8-bit weights in blocks of 128, and activations quantised by row.

    The graph is closer to the checkpoint than the graph of `dynamic`, and half as fast.
    """
    from onnxruntime.quantization.matmul_nbits_quantizer import (  # noqa: PLC0415  needs onnx-ir
        DefaultWeightOnlyQuantConfig,
        MatMulNBitsQuantizer,
    )

    model = onnx.load(source)
    first_token_only(model)
    algorithm = DefaultWeightOnlyQuantConfig(
        block_size=128, is_symmetric=True, accuracy_level=4, bits=8
    )
    quantizer = MatMulNBitsQuantizer(model, algo_config=algorithm)
    quantizer.process()
    with tempfile.TemporaryDirectory() as folder:
        matrices = Path(folder) / "matrices.onnx"
        quantizer.model.save_model_to_file(str(matrices), use_external_data_format=False)
        quantize_dynamic(
            matrices, target, op_types_to_quantize=["Gather"], weight_type=QuantType.QInt8
        )


def as_it_is(source: Path, target: Path) -> None:
    """Write the graph with 32-bit numbers, like those of the checkpoint."""
    model = onnx.load(source)
    first_token_only(model)
    onnx.save(model, target)


# The forms of a graph, from the fastest form to the form that is closest to the checkpoint. The
# first form that keeps the labels is taken.
WIDTHS: Final[dict[str, Callable[[Path, Path], None]]] = {
    "8-bit products": dynamic,
    "8-bit weights in blocks": in_blocks,
    "32 bits": as_it_is,
}


def fused(source: Path) -> onnx.ModelProto:
    """Return the graph with each attention as one node, made by onnxruntime's optimizer.

    If the optimizer recognises no attention, the graph stays as it was.
    """
    # imported late, because the import takes seconds
    from onnxruntime.transformers.fusion_options import FusionOptions  # noqa: PLC0415
    from onnxruntime.transformers.optimizer import optimize_model  # noqa: PLC0415

    options = FusionOptions("bert")
    # off, because the graph is faster or closer to the checkpoint without these fusions (README.md)
    options.enable_skip_layer_norm = options.enable_embed_layer_norm = (
        options.enable_bias_skip_layer_norm
    ) = False
    options.enable_gelu = options.enable_bias_gelu = False
    logging.getLogger("onnxruntime.transformers").setLevel(logging.ERROR)
    stated = {
        each.key: int(each.value)
        for each in onnx.load(source, load_external_data=False).metadata_props
    }
    # If a size is 0, the optimizer reads this size from the graph.
    sizes = {"num_heads": stated.get("heads", 0), "hidden_size": stated.get("width", 0)}
    optimized = optimize_model(
        str(source), model_type="bert", optimization_options=options, opt_level=0, **sizes
    )
    optimized.topological_sort()
    model: onnx.ModelProto = optimized.model
    if not any(each.domain == "com.microsoft" for each in model.opset_import):
        model.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    return model


def plain_sums(model: onnx.ModelProto) -> None:
    """Write residual sums as Sum instead of Add, so that onnxruntime does not fuse them.

    An Add would be fused with the layer normalisation after it (SkipLayerNormalization). The fused
    node takes at least 2.5 times as long as the two separate nodes (README.md).
    """
    fixed = {value.name for value in model.graph.initializer}
    normalised = {
        node.input[0] for node in model.graph.node if node.op_type == "LayerNormalization"
    }
    for node in model.graph.node:
        if node.op_type == "Add" and node.output[0] in normalised and not set(node.input) & fixed:
            node.op_type = "Sum"
