"""``QuantizeLinear`` and ``DequantizeLinear`` as QONNX' ``Quant``: what onnxruntime's quantizer and QCDQ files hold.

1. ``QuantizeLinear``, any ``Clip`` of its integers, ``DequantizeLinear``, of one constant scale and zero-point: one
   ``Quant`` of the integers that are left. Both round half to even and saturate; but ``QuantizeLinear`` adds the
   zero-point behind the rounding, which is another integer half-way between two where the zero-point is odd. Then the
   node is one of :data:`FUSED`, which no file can hold.
2. ``DequantizeLinear`` of constant integers of up to 16 bits: a ``Quant`` of the real numbers that they stand for,
   which gives the same integers again. Wider ones (a bias of 32 bits) are real constants, as the operator defines them.

Anything else stays as it is, and no rule states it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from brevitas_a2q._ir.names import FreshNames
from brevitas_a2q._ir.network import Node
from brevitas_a2q._ir.onnx_file import OnnxGraph

__all__ = ["FUSED", "with_quantizers"]

FUSED: Final = "brevitas_a2q: QuantizeLinear and DequantizeLinear"
"""Domain of a ``Quant`` that rounds before it adds its zero-point."""

Array = npt.NDArray[Any]
_ONNX: Final = ("", "ai.onnx")
_QONNX: Final = "qonnx.custom_op.general"
_WIDEST: Final = 16
_LONGEST: Final = 64  # Identities one after the other


def with_quantizers(graph: OnnxGraph, nodes: tuple[Node, ...]) -> tuple[OnnxGraph, tuple[Node, ...], frozenset[str]]:
    """The graph with its pairs fused; constants that this needs are added.

    Args:
        graph: As it was read.
        nodes: Its raw nodes.

    Returns:
        The graph, its nodes, and which of its constants were read for that.
    """
    writer = {node.output: node for node in nodes if node.attributes["@domain"] in _ONNX}
    names = (name for node in nodes for name in (*node.inputs, *node.outputs))
    constants, found = _Read(graph.constants, writer, FreshNames((*graph.constants, *graph.inputs, *names))), []
    for node in nodes:
        fused = None
        if node.op == "DequantizeLinear" and node.attributes["@domain"] in _ONNX and len(node.inputs) > 1:
            fused = _fused(node, writer, constants)
        found.append(node if fused is None else fused)
    return replace(graph, constants=dict(constants)), tuple(found), frozenset(constants.read & set(graph.constants))


class _Read(dict[str, Array]):
    """Constants, those of nodes (and behind ``Identity``) among them, that remember which of them were asked for."""

    def __init__(self, constants: Mapping[str, Array], writer: Mapping[str, Node], fresh: FreshNames) -> None:
        super().__init__(constants)
        self._fresh = fresh
        self.read: set[str] = set()
        self._writer = writer

    def add(self, wanted: str, value: Array) -> str:
        """Add a constant under this name, or one like it that the file does not use."""
        name = self._fresh(wanted)
        self[name] = value
        return name

    def get(self, name: str, default: Any = None) -> Any:
        for _ in range(_LONGEST):
            node = self._writer.get(name)
            if name in self or node is None or node.op != "Identity":
                break
            name = node.inputs[0] if node.inputs else ""
        self.read.add(name)
        if name not in self and node is not None and node.op == "Constant":
            value = node.attributes.get("value")
            return value if isinstance(value, np.ndarray) else default
        return super().get(name, default)


def _fused(node: Node, writer: Mapping[str, Node], constants: _Read) -> Node | None:
    known = _parameters(node, constants)
    if known is None:
        return None
    scale, point = known
    integers = constants.get(node.inputs[0])
    if integers is not None:
        return _constant(node, integers, scale, point, constants)
    source, limits = writer.get(node.inputs[0]), None
    if source is not None and source.op == "Clip":
        limits = [constants.get(name) for name in source.inputs[1:3]]
        if len(limits) < 2 or any(limit is None or limit.size != 1 for limit in limits):
            return None
        source = writer.get(source.inputs[0])
    if source is None or source.op != "QuantizeLinear":
        return None
    before = _parameters(source, constants)
    if before is None or not (np.array_equal(before[0], scale) and np.array_equal(before[1], point)):
        return None
    kind = before[1].dtype if len(source.inputs) > 2 and source.inputs[2] else np.dtype(np.uint8)
    info = np.iinfo(kind)
    ends = (
        (info.min, info.max)
        if limits is None
        else tuple(int(limit.reshape(())) for limit in limits if limit is not None)
    )
    found = _type(max(ends[0], info.min), min(ends[1], info.max))
    if found is None or scale.size != 1:
        return None
    fused = _quant(node, source.inputs[0], (scale, point), found, constants)
    odd = bool((point.astype(np.int64) % 2).any())
    return replace(fused, attributes={**fused.attributes, "@domain": FUSED}) if odd else fused


def _constant(node: Node, integers: Array, scale: Array, point: Array, constants: _Read) -> Node | None:
    axis = int(node.attributes.get("axis", 1))
    if scale.size > 1:
        if scale.ndim != 1 or not -integers.ndim <= axis < integers.ndim or scale.size != integers.shape[axis]:
            return None
        shape = [1] * integers.ndim
        shape[axis] = scale.size
        scale, point = scale.reshape(shape), np.broadcast_to(point, scale.shape).reshape(shape)
    bits = 8 * integers.dtype.itemsize
    real = ((integers.astype(np.int64) - point.astype(np.int64)) * scale.astype(np.float32)).astype(np.float32)
    name = constants.add(f"{node.output}/real", real)
    if bits > _WIDEST:
        return Node(node.name, "Identity", (name,), node.outputs, {"@domain": ""}, node.metadata)
    signed = integers.dtype.kind == "i"
    # Weights of int8 that never use -128 are narrow, whoever wrote them.
    narrow = signed and int(integers.min(initial=0)) > np.iinfo(integers.dtype).min
    return _quant(node, name, (scale, point), (bits, signed, narrow), constants)


def _parameters(node: Node, constants: Mapping[str, Array]) -> tuple[Array, Array] | None:
    """Scale and zero-point of a node, where both are constant."""
    scale = constants.get(node.inputs[1]) if len(node.inputs) > 1 else None
    if scale is None or scale.dtype != np.float32 or set(node.attributes) - {"axis", "@domain"}:
        return None  # a scale in half precision makes what follows half precision, too
    if len(node.inputs) > 2 and node.inputs[2]:
        point = constants.get(node.inputs[2])
        return None if point is None or point.dtype.kind not in "iu" else (scale, point)
    return scale, np.zeros((), np.uint8 if node.op == "QuantizeLinear" else np.int8)


def _type(low: int, high: int) -> tuple[int, bool, bool] | None:
    """Bits, sign and narrow range of a type with these ends; None where no type has them."""
    for bits in range(1, _WIDEST + 1):
        half = 1 << (bits - 1)
        for signed, narrow, ends in (
            (False, False, (0, 2 * half - 1)),
            (True, False, (-half, half - 1)),
            (True, True, (1 - half, half - 1)),
            (False, True, (0, 2 * half - 2)),
        ):
            if ends == (low, high) and high > low:
                return bits, signed, narrow
    return None


def _quant(
    node: Node,
    source: str,
    parameters: tuple[Array, Array],
    kind: tuple[int, bool, bool],
    constants: _Read,
) -> Node:
    values = {"scale": parameters[0], "zero_point": parameters[1], "bits": np.array(kind[0])}
    names = [constants.add(f"{node.output}/{what}", value.astype(np.float32)) for what, value in values.items()]
    attributes = {"signed": int(kind[1]), "narrow": int(kind[2]), "rounding_mode": "ROUND", "@domain": _QONNX}
    return Node(node.name, "Quant", (source, *names), node.outputs, attributes, node.metadata)
