"""An ONNX graph in the form that every later step expects, by qonnx' own steps; no torch."""

from __future__ import annotations

from typing import Any

from qonnx.transformation.general import GiveUniqueNodeNames, RemoveStaticGraphInputs, RemoveUnusedTensors
from qonnx.transformation.quant_constant_folding import FoldTransposeIntoQuantInit

from brevitas_a2q.errors import ExportError
from brevitas_a2q.export._constants import fold_constants_, part_constants_
from brevitas_a2q.export._indexed import FoldConstants, GiveReadableTensorNames
from brevitas_a2q.export._shapes import InferShapes, wrapped

__all__ = ["clean", "get_property", "set_property", "tidied"]


def get_property(node: Any, key: str) -> str | None:
    """A node's property, or None."""
    return next((str(pair.value) for pair in node.metadata_props if pair.key == key), None)


def set_property(holder: Any, key: str, value: object) -> None:
    """Set a property of a node or model, in place of one of the same key."""
    for pair in holder.metadata_props:
        if pair.key == key:
            pair.value = str(value)
            return
    holder.metadata_props.add(key=key, value=str(value))


def clean(model: Any) -> Any:
    """qonnx's clean-up with shapes inferred: constants folded, parameters no graph inputs, dead nodes gone."""
    return _cleaned(model).transform(InferShapes()).model


def tidied(model: Any) -> Any:
    """What an exporter wrote, cleaned.

    Raises:
        ExportError: It holds what neither qonnx nor onnxruntime computes.
    """
    try:
        return clean(model)
    except Exception as error:  # theirs are of many types, a bare Exception among them
        reason = str(error).strip().split("\n")[0]
        raise ExportError(
            f"cannot be tidied ({type(error).__name__}: {reason})",
            where=f"file of model {model.graph.name}",
            expected="operators that qonnx and onnxruntime compute",
        ) from error


def _cleaned(model: Any) -> Any:
    """The steps of qonnx' ``cleanup_model``, which tidies the whole graph after each of them; here once, at the end."""
    wrapper = wrapped(model).transform(InferShapes(), cleanup=False)
    # A folded constant may tell the shape that the next one is made of, as padding to a multiple of a window does.
    while fold_constants_(wrapper.model):
        wrapper = wrapper.transform(InferShapes(), make_deepcopy=False, cleanup=False)
    part_constants_(wrapper.model)
    for domain_less in ("Quant", "Trunc", "BipolarQuant"):
        for node in wrapper.get_nodes_by_op_type(domain_less):
            node.domain = "qonnx.custom_op.general"
    # A node with a graph of its own reads tensors that its inputs do not name.
    kept = ["Quant", "BipolarQuant", "QuantizeLinear", "DequantizeLinear", "If", "Loop", "Scan"]
    for step in (
        InferShapes(),
        FoldConstants(exclude_op_types=kept),
        FoldTransposeIntoQuantInit(),
        RemoveUnusedTensors(),
        RemoveStaticGraphInputs(),
    ):
        wrapper = wrapper.transform(step, make_deepcopy=False, cleanup=False)
    wrapper.cleanup()
    for step in (GiveUniqueNodeNames(), GiveReadableTensorNames()):
        wrapper = wrapper.transform(step, make_deepcopy=False, cleanup=False)
    return wrapper
