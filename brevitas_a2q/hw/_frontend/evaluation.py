"""Nodes computed on given values, by what the rest of the package computes with, or by ONNX' reference."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from onnx import helper
from onnx.reference import ReferenceEvaluator

from brevitas_a2q._ir.elementwise import ELEMENTWISE, evaluate
from brevitas_a2q._ir.network import OPAQUE, Network, Node

__all__ = ["computed", "is_elementwise"]

Array = npt.NDArray[Any]

_TWO_STREAMS: Final = {"Add": np.add, "Sub": np.subtract}
# Operators of ONNX that compute each element of their output from the elements at its place.
_BY_ELEMENT: Final = frozenset(
    {"Abs", "Add", "Celu", "Div", "Elu", "Erf", "Exp", "Gelu", "HardSigmoid", "HardSwish", "Log", "Max", "Min", "Mish"}
    | {"Mul", "Pow", "Reciprocal", "Selu", "Softplus", "Softsign", "Sqrt", "Sub", "Swish", "Tanh", "Sigmoid", "Neg"}
    | {"ThresholdedRelu", "Clip", "LeakyRelu", "PRelu", "Relu", "Identity", "Floor", "Ceil", "Round", "Sign"}
)


def is_elementwise(node: Node) -> bool:
    """Whether each element of a node's output follows from the elements at its place."""
    return (node.attributes["op"] if node.op == OPAQUE else node.op) in ({*ELEMENTWISE} | _BY_ELEMENT)


def computed(network: Network, node: Node, values: Mapping[str, Array]) -> list[Array]:
    """Outputs of a node.

    Args:
        network: Where its constants are.
        node: As the network has it.
        values: Its other inputs.

    Raises:
        OnnxFileError: The reference cannot compute it; names the node.
    """
    if node.op == OPAQUE:
        return _by_reference(network, node, values)
    streams = [values[name] for name in node.inputs if name in values]
    if len(streams) == 2:
        return [_TWO_STREAMS[node.op](*streams)]
    constants = [network.tensors[name].value for name in node.inputs if name not in values]
    return [evaluate(node.op, streams[0], [c for c in constants if c is not None], node.attributes)]


def _by_reference(network: Network, node: Node, values: Mapping[str, Array]) -> list[Array]:
    a = node.attributes
    made = helper.make_node(a["op"], node.inputs, node.outputs, domain=a["domain"], **a["attributes"])
    given = {}
    for name in filter(None, node.inputs):
        value = values[name] if name in values else network.tensors[name].value
        assert value is not None
        given[name] = value
    unknown = [helper.make_empty_tensor_value_info(name) for name in given]
    outputs = [helper.make_empty_tensor_value_info(name) for name in node.outputs]
    graph = helper.make_graph([made], "node", unknown, outputs)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid(a["domain"], a["opset"])])
    try:
        with np.errstate(all="ignore"):
            return [np.asarray(result) for result in ReferenceEvaluator(model).run(None, given)]
    except Exception as error:  # of any kind: what it does with a form that the standard does not know is its own
        remedy = "write the operator as its ONNX version says"
        raise node.error("found a form that ONNX' reference does not compute", remedy=remedy) from error
