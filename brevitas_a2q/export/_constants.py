"""Fold constants of an exported graph in one pass.

qonnx folds one node at a time and infers the shapes of the whole graph after each, which takes minutes where thousands
of nodes only compute shapes (ShuffleNet, Swin). Repeated, with shapes inferred between, until it folds none, it leaves
nothing to qonnx.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from onnx import AttributeProto, ValueInfoProto, helper, numpy_helper

__all__ = ["fold_constants_", "part_constants_"]

_GRAPH: Final = AttributeProto.GRAPH
_IR_VERSION: Final = 8  # that every onnxruntime of late reads
_KEPT: Final = ("Quant", "BipolarQuant", "QuantizeLinear", "DequantizeLinear")  # integers are made there


def fold_constants_(model: Any) -> int:
    """Replace every node that computes a constant by the constant, in place.

    Args:
        model: ``onnx.ModelProto``, its nodes in topological order, with shapes where they are known.

    Returns:
        How many nodes there were.
    """
    graph = model.graph
    values: dict[str, NDArray[Any]] = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    shapes = _static_shapes(graph)
    outputs = {tensor.name for tensor in graph.output}
    opset = next(entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx"))
    folded, made = [], dict[str, NDArray[Any]]()
    for node in graph.node:
        if node.domain not in ("", "ai.onnx") or node.op_type in _KEPT:
            continue
        if len(node.output) != 1 or node.output[0] in outputs or any(a.type == _GRAPH for a in node.attribute):
            continue
        if node.op_type == "Shape" and node.input[0] in shapes and not node.attribute:
            found = np.array(shapes[node.input[0]], np.int64)
        elif all(name in values for name in node.input if name):
            found = _result(node, values, opset)
        else:
            continue
        values[node.output[0]] = made[node.output[0]] = found
        folded.append(node)
    for node in folded:
        graph.node.remove(node)
    read = {name for node in graph.node for name in node.input}
    graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in made.items() if name in read)
    return len(folded)


def part_constants_(model: Any) -> None:
    """Give every reader of a constant one of its own, in place, as qonnx' ``GiveUniqueParameterTensors`` does.

    qonnx looks through the whole graph for each of them.

    Args:
        model: ``onnx.ModelProto``.
    """
    graph = model.graph
    constants = {tensor.name: tensor for tensor in graph.initializer}
    annotations = {annotation.tensor_name: annotation for annotation in graph.quantization_annotation}
    taken = {name for node in graph.node for name in (*node.input, *node.output)} | set(constants)
    read: dict[str, int] = {}
    for node in graph.node:
        for place, name in enumerate(node.input):
            if name not in constants:
                continue
            count = read[name] = read.get(name, -1) + 1
            if not count:
                continue
            own = f"{name}.{count}"
            while own in taken:
                own += "'"
            taken.add(own)
            graph.initializer.add().CopyFrom(constants[name])
            graph.initializer[-1].name = node.input[place] = own
            if name in annotations:
                graph.quantization_annotation.add().CopyFrom(annotations[name])
                graph.quantization_annotation[-1].tensor_name = own


def _result(node: Any, values: Mapping[str, NDArray[Any]], opset: int) -> NDArray[Any]:
    """What onnxruntime makes of one node."""
    import onnxruntime

    names = list(dict.fromkeys(name for name in node.input if name))
    given = [
        helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(values[name].dtype), values[name].shape)
        for name in names
    ]
    graph = helper.make_graph([node], "constant", given, [ValueInfoProto(name=node.output[0])])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=_IR_VERSION)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {name: values[name] for name in names})[0])


def _static_shapes(graph: Any) -> dict[str, list[int]]:
    """Shapes without an unknown or symbolic size."""
    found = {}
    for tensor in (*graph.input, *graph.value_info, *graph.output):
        kind = tensor.type.tensor_type
        sizes = kind.shape.dim
        if kind.HasField("shape") and all(size.HasField("dim_value") for size in sizes):
            found[tensor.name] = [size.dim_value for size in sizes]
    return found
