"""Shapes of what no rule states: ONNX' own shape inference, one node at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any, Final

import numpy as np
import onnx
from onnx import helper, numpy_helper

from brevitas_a2q._ir.network import Node
from brevitas_a2q._ir.onnx_file import MAX_ELEMENTS, MAX_RANK
from brevitas_a2q._ir.rules.registry import ONNX_DOMAINS, QONNX_DOMAINS
from brevitas_a2q._ir.tensor import FLOAT32, Tensor
from brevitas_a2q._ranges import Value

__all__ = ["unknown_outputs"]

_MAX_CONSTANT: Final = 1 << 10  # elements of constants that shapes may depend on
_ONNXRUNTIME: Final = "com.microsoft"  # where its quantizer's QOperator format and its optimizer put their operators
_ELEMENTWISE: Final = ("Quant", "IntQuant", "BipolarQuant", "Trunc", "MultiThreshold", "FloatQuant")


def unknown_outputs(node: Node, domain: str, version: int, inputs: Sequence[Tensor | None], why: str) -> list[Tensor]:
    """The outputs of a node of which only the shapes are known.

    Raises:
        OnnxFileError: Where not even they are.
    """
    origin = f"{why} ({node.op} {node.name})"
    if domain in QONNX_DOMAINS and node.op in _ELEMENTWISE:
        shapes = [t.shape for t in inputs[: 1 if node.op in ("MultiThreshold", "Trunc") else 3] if t is not None]
        try:
            return [Tensor.named(node.output, Value.unknown(np.broadcast_shapes(*shapes), origin))]
        except ValueError as error:
            raise node.error(f"found shapes {shapes}", expected="shapes that broadcast") from error
    if domain == _ONNXRUNTIME:
        raise node.error(
            "is an operator of onnxruntime alone",
            expected="operators of ONNX or QONNX",
            remedy="quantize with quant_format=QuantFormat.QDQ, and leave out onnxruntime's optimizations",
        )
    found = _inferred(node, domain, version, inputs) if domain in ONNX_DOMAINS else {}
    return [_tensor(node, name, found.get(name), origin) for name in node.outputs if name]


def _tensor(node: Node, name: str, kind: Any, origin: str) -> Tensor:
    dims = kind.tensor_type.shape.dim if kind is not None and kind.tensor_type.HasField("shape") else None
    if dims is None or any(not d.HasField("dim_value") or d.dim_value < 1 for d in dims):
        raise node.error(
            f"makes a tensor {name!r} whose shape cannot be told ({origin})",
            expected="operators of ONNX or QONNX, with static shapes",
            remedy="simplify the file (constant folding, static shapes), or leave the operator out",
        )
    shape = tuple(int(d.dim_value) for d in dims)
    if len(shape) > MAX_RANK or prod(shape) > MAX_ELEMENTS:
        raise node.error(f"found an output of shape {shape}", expected=f"at most {MAX_ELEMENTS} elements")
    try:
        element = np.dtype(helper.tensor_dtype_to_np_dtype(kind.tensor_type.elem_type))
    except (KeyError, TypeError):
        element = FLOAT32
    return Tensor.named(name, Value.unknown(shape, origin), element)


def _inferred(node: Node, domain: str, version: int, inputs: Sequence[Tensor | None]) -> Mapping[str, Any]:
    try:
        schema = onnx.defs.get_schema(node.op, max(version, 1), "")
        attributes = {key: _plain(value) for key, value in node.attributes.items() if not key.startswith("@")}
        proto = helper.make_node(node.op, list(node.inputs), list(node.outputs), **attributes)
        types, data = {}, {}
        for name, tensor in zip(node.inputs, inputs, strict=True):
            if tensor is None:
                continue
            types[name] = helper.make_tensor_type_proto(helper.np_dtype_to_tensor_dtype(tensor.element), tensor.shape)
            if tensor.number is not None and tensor.number.size <= _MAX_CONSTANT:
                data[name] = numpy_helper.from_array(np.ascontiguousarray(tensor.number), name)
        found = onnx.shape_inference.infer_node_outputs(
            schema, proto, types, data, opset_imports=[helper.make_opsetid("", max(version, 1))]
        )
    except Exception:  # whatever onnx' inference raises on a node that is not valid
        return {}
    return dict(found)


def _plain(value: Any) -> Any:
    return numpy_helper.from_array(np.ascontiguousarray(value)) if isinstance(value, np.ndarray) else value
