"""Removes work for tokens whose result is not used.

The head of a classifier reads only the first token. So the last layer computes only this token,
with one exception: its attention computes the queries of the first two tokens. With two queries,
the numbers stay bit-identical (see `first_query_only`).
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any, Final

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import NodeProto, helper, numpy_helper

ROW_BY_ROW: Final = {"LayerNormalization", "Gelu", "Tanh", "Relu", "Erf"}
TOGETHER: Final = {"Add", "Sum", "Mul", "Sub", "Div"}
BOUNDS: Final = ("first_token", "second_token", "second_token")  # slice from 0 to 1 on axis 1
TWO: Final = "two_tokens"
MICROSOFT: Final = "com.microsoft"


def first_token_only(model: onnx.ModelProto) -> None:
    """Compute only the first token of a layer if nothing reads the other tokens.

    The layers are examined from the head backwards, up to the last attention.

    Tensors are (1, tokens, width). The head reads its token with a Gather of index 0 on axis 1. If
    the graph has no such Gather, nothing changes.
    """
    graph = model.graph
    constants = _constants(graph)
    readers: dict[str, list[NodeProto | None]] = defaultdict(list)
    for node in graph.node:
        for name in node.input:
            readers[name].append(node)
    for output in graph.output:
        readers[output.name].append(None)  # None: a graph output, which needs every token

    alone: set[str] = set()  # tensors of which only the first token is computed
    cut: set[str] = set()  # tensors of all tokens; some of their readers need only the first token
    for node in reversed(graph.node):
        if _reads_first_token(node, constants) and readers[node.input[0]] == [node]:
            alone.add(node.input[0])
        elif set(node.output) & alone:
            rows = _rows(node, constants)
            if not rows:  # the last attention, or an operator that is not known here
                alone.remove(node.output[0])
                cut.add(node.output[0])
            for name in (node.input[place] for place in rows):
                needed = {
                    reader is None or not set(reader.output) <= alone for reader in readers[name]
                }
                (cut if True in needed else alone).add(name)
    if alone:
        _insert_cuts(graph, alone, cut)


def first_query_only(model: onnx.ModelProto) -> None:
    """Compute only the first queries of an 8-bit attention if nothing reads the other queries.

    Keys and values are computed for all tokens. Two queries are computed instead of one, because
    for a matrix of one row, onnxruntime uses a kernel that adds in another order. With two queries,
    every number is bit-identical to that of the whole attention.
    """
    graph = model.graph
    weights = {value.name: numpy_helper.to_array(value) for value in graph.initializer}
    outputs = {output.name for output in graph.output}
    for place, node in enumerate(graph.node):
        if (
            _is_plain_attention(node)
            and node.output[0] not in outputs
            and all(
                list(reader.input[1:]) == list(BOUNDS)
                for reader in graph.node
                if node.output[0] in reader.input
            )
        ):
            nodes, values = _first_queries(node, weights)
            nodes = [*graph.node[:place], *nodes, *graph.node[place + 1 :]]
            values += [value for value in graph.initializer if value.name not in node.input]
            del graph.node[:], graph.initializer[:]
            graph.node.extend(nodes)
            graph.initializer.extend(values)
            return


def _is_plain_attention(node: NodeProto) -> bool:
    """Tell whether a node is an 8-bit attention with only one option, the number of heads.

    The attention must have no mask, and no input for keys and values of earlier tokens (`past`).
    """
    return (
        node.op_type == "QAttention"
        and [attribute.name for attribute in node.attribute] == ["num_heads"]
        and not any([*node.input[5:6], *node.input[8:]])
    )


def _first_queries(
    attention: NodeProto, weights: dict[str, NDArray[Any]]
) -> tuple[list[NodeProto], list[onnx.TensorProto]]:
    """Return nodes and constants that compute the first two tokens of an 8-bit attention."""
    tokens, matrix, bias, scale, scales, _, zero, zeros = attention.input[:8]
    name, heads, width = attention.name, attention.attribute[0].i, len(weights[bias]) // 3
    values = {
        TWO: np.array([2]),
        "by_head": np.array([-1, heads, width // heads]),
        "side_by_side": np.array([1, -1, width]),
    }
    nodes = list[NodeProto]()

    def add(kind: str, inputs: list[str], output: str, domain: str = "", **options: Any) -> str:
        nodes.append(helper.make_node(kind, inputs, [output], output, domain=domain, **options))
        return output

    def product(part: str, number: int, of: str) -> str:
        """Return queries, keys or values, in the shape (tokens, heads, width of a head)."""
        own = [f"{each}_{part}" for each in (matrix, scales, zeros, bias)]
        for whole, each in zip((matrix, scales, zeros, bias), own, strict=True):
            values[each] = np.split(weights[whole], 3, axis=-1)[number]
        inputs = [of, own[0], scale, own[1], zero, own[2], own[3]]
        flat = add("MatMulIntegerToFloat", inputs, f"{name}/{part}", MICROSOFT)
        return add("Reshape", [flat, "by_head"], f"{flat}/heads")

    first = add("Slice", [tokens, BOUNDS[0], TWO, BOUNDS[2]], f"{tokens}_first_two")
    query = product("query", 0, first)
    key = product("key", 1, tokens)
    value = product("value", 2, tokens)
    scores = add(
        "FusedMatMul", [query, key], f"{name}/scores", MICROSOFT,
        transBatchA=1, transBatchB=1, transB=1, alpha=(width // heads) ** -0.5,
    )  # fmt: skip
    shares = add("Softmax", [scores], f"{name}/shares")
    mixed = add("FusedMatMul", [shares, value], f"{name}/mixed", MICROSOFT, transBatchB=1)
    by_token = add("Transpose", [mixed], f"{name}/by_token", perm=[1, 0, 2])
    add("Reshape", [by_token, "side_by_side"], attention.output[0])
    return nodes, [numpy_helper.from_array(each, name) for name, each in values.items()]


def _insert_cuts(graph: onnx.GraphProto, alone: set[str], cut: set[str]) -> None:
    """Add a Slice of the first token behind each tensor in `cut`.

    Nodes that make a tensor in `alone` then read this slice.
    """
    nodes = []
    for node in graph.node:
        if set(node.output) & alone:
            for place, name in enumerate(node.input):
                if name in cut:
                    node.input[place] = f"{name}_first"
        nodes.append(node)
        nodes += [
            helper.make_node("Slice", [name, *BOUNDS], [f"{name}_first"])
            for name in node.output
            if name in cut
        ]
    del graph.node[:]
    graph.node.extend(nodes)
    graph.initializer.extend(
        numpy_helper.from_array(np.array([at]), name) for at, name in enumerate(BOUNDS[:2])
    )


def _constants(graph: onnx.GraphProto) -> dict[str, NDArray[Any] | None]:
    """Return the tensors that do not depend on the sentence.

    An initializer of several elements has None in place of its value.
    """
    found: dict[str, NDArray[Any] | None] = {
        value.name: numpy_helper.to_array(value) if np.prod(value.dims) == 1 else None
        for value in graph.initializer
    }
    return found | {
        node.output[0]: numpy_helper.to_array(node.attribute[0].t)
        for node in graph.node
        if node.op_type == "Constant"
    }


def _reads_first_token(node: NodeProto, constants: dict[str, NDArray[Any] | None]) -> bool:
    index = constants.get(node.input[1]) if node.op_type == "Gather" else None
    axis = next((attribute.i for attribute in node.attribute if attribute.name == "axis"), 0)
    return index is not None and axis == 1 and index.size == 1 and int(index.reshape(())) == 0


def _rows(node: NodeProto, constants: dict[str, NDArray[Any] | None]) -> list[int]:
    """Return the indices of the inputs that a node reads token by token.

    For a node that mixes tokens, or is not known here, the list is empty.
    """
    if node.op_type in ROW_BY_ROW or (node.op_type == "MatMul" and node.input[1] in constants):
        return [0]
    if node.op_type in TOGETHER:
        return [place for place, name in enumerate(node.input) if name not in constants]
    return []
