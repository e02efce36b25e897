"""Builds the shipped ONNX graph from the graph that takes one sentence.

The shipped graph also describes each text (signature, novelty and surprisal, see signature.py), and
splits a batch into sentences.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnx.compose
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from training.signature import (
    BUCKETS,
    COMPONENTS,
    LEAST_DISTANCE,
    MULTIPLIER,
    STEPS_A_BIT,
    Signature,
)


def whole(
    sentence: onnx.ModelProto, signature: Signature, bigrams: NDArray[np.uint8]
) -> onnx.ModelProto:
    """Return the shipped graph.

    `sentence` is the graph that takes one sentence: it computes `sentence_logits` and `pooled` from
    `ids` (1, tokens). The shipped graph has the inputs `input_ids` and `attention_mask` (batch,
    tokens). Its outputs are `logits` (batch, labels), `signature` (batch, 8) as integers of one
    byte, `novelty` (batch,) and `surprisal` (batch,).

    A loop cuts each row to its length, and computes each row separately. Otherwise an answer would
    depend on the other rows, because the last digit of a sum depends on the shape of the whole
    computation, and 8-bit rounding amplifies this difference.
    """
    # the prefix keeps the names of `sentence` apart from the names below
    graph = onnx.compose.add_prefix(sentence, "sentence/").graph
    labels = (
        next(each for each in graph.output if each.name == "sentence/sentence_logits")
        .type.tensor_type.shape.dim[0]
        .dim_value
    )
    nodes = [
        helper.make_node("Gather", ["input_ids", "row"], ["row_ids"], axis=0),
        helper.make_node("Gather", ["attention_mask", "row"], ["row_mask"], axis=0),
        helper.make_node("ReduceSum", ["row_mask"], ["length"], keepdims=1),
        helper.make_node("Slice", ["row_ids", "first", "length"], ["row_tokens"]),
        helper.make_node("Unsqueeze", ["row_tokens", "first"], ["sentence/ids"]),
        *graph.node,
        # the signature and its Mahalanobis distance from the reference
        helper.make_node("Sub", ["sentence/pooled", "centre"], ["centred"]),
        helper.make_node("MatMul", ["centred", "projection"], ["projected"]),
        helper.make_node("Round", ["projected"], ["rounded"]),
        helper.make_node("Clip", ["rounded", "least_byte", "greatest_byte"], ["components"]),
        helper.make_node("Cast", ["components"], ["sentence_signature"], to=TensorProto.INT8),
        helper.make_node("Sub", ["components", "mean"], ["difference"]),
        helper.make_node("MatMul", ["difference", "whitening"], ["whitened"]),
        helper.make_node("ReduceL2", ["whitened"], ["distance"], keepdims=0),
        helper.make_node("Max", ["distance", "least_distance"], ["some_distance"]),
        helper.make_node("Log", ["some_distance"], ["sentence_novelty"]),
        # the mean surprisal of neighbouring tokens
        helper.make_node("Slice", ["row_tokens", "first", "last"], ["left"]),
        helper.make_node("Slice", ["row_tokens", "second", "end"], ["right"]),
        helper.make_node("Mul", ["left", "multiplier"], ["multiplied"]),
        helper.make_node("Add", ["multiplied", "right"], ["hashed"]),
        helper.make_node("Mod", ["hashed", "buckets"], ["bucket"]),
        helper.make_node("Gather", ["bigrams", "bucket"], ["byte_bits"]),
        helper.make_node("Cast", ["byte_bits"], ["step_bits"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["step_bits"], ["mean_bits"], keepdims=0),
        helper.make_node("Div", ["mean_bits", "steps_a_bit"], ["sentence_surprisal"]),
        helper.make_node("Identity", ["sentence/sentence_logits"], ["sentence_logits"]),
        helper.make_node("Identity", ["go"], ["go_on"]),
    ]
    # whitening @ whitening.T is the inverse covariance
    whitening = np.linalg.cholesky(np.linalg.inv(signature.covariance))
    constants: dict[str, Any] = {
        "first": np.array([0]),
        "second": np.array([1]),
        "last": np.array([-1]),
        "end": np.array([np.iinfo(np.int64).max]),
        "centre": signature.centre.astype(np.float32),
        "projection": signature.projection.astype(np.float32),
        "least_byte": np.float32(-127),
        "greatest_byte": np.float32(127),
        "mean": signature.mean.astype(np.float32),
        "whitening": whitening.astype(np.float32),
        "least_distance": np.float32(LEAST_DISTANCE),
        "multiplier": np.int64(MULTIPLIER),
        "buckets": np.int64(BUCKETS),
        "bigrams": bigrams,
        "steps_a_bit": np.float32(STEPS_A_BIT),
    }
    values = [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()]
    outputs = [
        ("logits", TensorProto.FLOAT, [labels]), ("signature", TensorProto.INT8, [COMPONENTS]),
        ("novelty", TensorProto.FLOAT, []), ("surprisal", TensorProto.FLOAT, []),
    ]  # fmt: skip
    body = helper.make_graph(
        nodes,
        "sentence",
        [
            helper.make_tensor_value_info("row", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
        ],
        [
            helper.make_tensor_value_info("go_on", TensorProto.BOOL, []),
            *(
                helper.make_tensor_value_info(f"sentence_{name}", kind, shape)
                for name, kind, shape in outputs
            ),
        ],
        [*graph.initializer, *values],
    )
    top = helper.make_graph(
        [
            helper.make_node("Shape", ["input_ids"], ["shape"], start=0, end=1),
            helper.make_node("Squeeze", ["shape"], ["rows"]),
            helper.make_node("Loop", ["rows", ""], [name for name, _, _ in outputs], body=body),
        ],
        "batch",
        [
            helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "tokens"])
            for name in ("input_ids", "attention_mask")
        ],
        [
            helper.make_tensor_value_info(name, kind, ["batch", *shape])
            for name, kind, shape in outputs
        ],
    )
    return helper.make_model(
        top, opset_imports=sentence.opset_import, ir_version=sentence.ir_version
    )
