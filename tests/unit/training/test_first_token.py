"""Tests that nothing is computed for unused tokens, and that the results do not change."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from training.first_token import BOUNDS, first_query_only

WIDTH = 96
HEADS = 3


def attention() -> onnx.ModelProto:
    """Return a graph that reads only the first token of the result of an 8-bit attention."""
    chance = np.random.default_rng(1)
    values = {
        "weight": chance.integers(-64, 64, (WIDTH, 3 * WIDTH)).astype(np.int8),
        "bias": chance.normal(size=3 * WIDTH).astype(np.float32),
        "scales": (chance.random(3 * WIDTH) / 100).astype(np.float32),
        "zeros": np.zeros(3 * WIDTH, np.int8),
        BOUNDS[0]: np.array([0]),
        BOUNDS[1]: np.array([1]),
    }
    inputs = ["q", "weight", "bias", "scale", "scales", "", "zero", "zeros", ""]
    nodes = [
        helper.make_node("DynamicQuantizeLinear", ["x"], ["q", "scale", "zero"]),
        helper.make_node(
            "QAttention", inputs, ["every"], "attention", domain="com.microsoft", num_heads=HEADS
        ),
        helper.make_node("Slice", ["every", *BOUNDS], ["first"]),
    ]
    graph = helper.make_graph(
        nodes,
        "attention",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, "tokens", WIDTH])],
        [helper.make_tensor_value_info("first", TensorProto.FLOAT, [1, 1, WIDTH])],
        [numpy_helper.from_array(value, name) for name, value in values.items()],
    )
    sets = [helper.make_opsetid("", 20), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(graph, opset_imports=sets, ir_version=9)


def answers(model: onnx.ModelProto) -> list[NDArray[np.float32]]:
    session = onnxruntime.InferenceSession(model.SerializeToString())
    chance = np.random.default_rng(2)
    return [
        session.run(None, {"x": chance.normal(size=(1, tokens, WIDTH)).astype(np.float32)})[0]
        for tokens in (1, 2, 3, 12, 30, 128)
    ]


def test_the_first_token_has_the_same_result_if_other_tokens_are_not_computed() -> None:
    model = attention()
    expected = answers(model)
    first_query_only(model)
    assert "QAttention" not in [node.op_type for node in model.graph.node]
    assert [found.tobytes() for found in answers(model)] == [each.tobytes() for each in expected]


def test_an_attention_is_not_changed_if_every_token_is_read() -> None:
    model = attention()
    model.graph.node.append(helper.make_node("Identity", ["every"], ["all"]))
    first_query_only(model)
    assert "QAttention" in [node.op_type for node in model.graph.node]


def test_an_attention_is_not_changed_if_its_result_is_an_output_of_the_graph() -> None:
    model = attention()
    model.graph.output.append(
        helper.make_tensor_value_info("every", TensorProto.FLOAT, [1, "tokens", WIDTH])
    )
    first_query_only(model)
    assert "QAttention" in [node.op_type for node in model.graph.node]
