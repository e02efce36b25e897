"""Removes work for tokens whose result is not used.

A head that reads only the first token needs only the first token of the last layer.
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


def first_token_only(model: onnx.ModelProto) -> None:
    """Compute only the first token of a layer if nothing reads the others.

    The change goes from the head backwards to the last attention.

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
    cut: set[str] = set()  # computed for all tokens, but with a reader that needs only the first
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
    """Return the tensors that do not depend on the sentence; those of one element with value."""
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
    """Return the indices of the inputs from which a node computes each token separately.

    For a node that mixes tokens, or is not known here, the list is empty.
    """
    if node.op_type in ROW_BY_ROW or (node.op_type == "MatMul" and node.input[1] in constants):
        return [0]
    if node.op_type in TOGETHER:
        return [place for place, name in enumerate(node.input) if name not in constants]
    return []
