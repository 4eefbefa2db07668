"""qonnx' shape inference, in a time that grows with the graph and not with its square.

A ``ModelWrapper`` looks up every tensor of the graph in a list of all of them when it is made, to give initializers the
description that they may lack; for thousands of nodes that takes minutes. Here they are described in one pass.
"""

from __future__ import annotations

from typing import Any

from onnx import helper, shape_inference
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.transformation.base import Transformation

from brevitas_a2q._brevitas import _hide_finn_ops, _restore_finn_ops
from brevitas_a2q.export._indexed import Indexed

__all__ = ["InferShapes", "wrapped"]


def wrapped(model: Any) -> Any:
    """A model as qonnx wants it: wrapped, its initializers described.

    Args:
        model: An ``onnx.ModelProto``; changed in place.
    """
    graph = model.graph
    described = {info.name for infos in (graph.input, graph.output, graph.value_info) for info in infos}
    read = {name for node in graph.node for name in node.input}
    graph.value_info.extend(
        helper.make_tensor_value_info(tensor.name, tensor.data_type, list(tensor.dims))
        for tensor in graph.initializer
        if tensor.name in read - described
    )
    return ModelWrapper(model, fix_missing_initializer_valueinfo=False)


class InferShapes(Transformation):
    """Give every tensor a shape, as the transformation of this name in qonnx does."""

    def apply(self, model: Any) -> tuple[Any, bool]:
        """The model with shapes, and that this need not be repeated."""
        hidden = _hide_finn_ops(Indexed(model.model))
        shaped = wrapped(shape_inference.infer_shapes(model.model))
        _restore_finn_ops(shaped, hidden)
        return shaped, False
