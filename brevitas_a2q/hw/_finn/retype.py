"""Data types that follow from a node's producers: FINN's ``infer_node_datatype`` of every kind.

Source: FINN ``custom_op/fpgadataflow/*.py``; the sum of two streams on dev after ``ElementwiseAdd`` in
``elementwise_binary.py``.
"""

from __future__ import annotations

from collections.abc import Sequence

from brevitas_a2q.hw._finn.data_types import DataType
from brevitas_a2q.hw._finn.network import FinnLayer

__all__ = ["retyped"]


def retyped(layer: FinnLayer, producers: Sequence[DataType]) -> FinnLayer:
    """The layer with the input types, and what it copies from them, that its producers give it.

    Args:
        layer: Any layer; the op type may or may not say how it is implemented.
        producers: Output type of each producer, in the order of the layer's inputs.
    """
    first = producers[0].name
    kind = layer.op_type.split("_hls")[0].split("_rtl")[0]
    if kind == "ConvolutionInputGenerator":
        return layer.with_attributes(inputDataType=first, outputDataType=first)
    if layer.attributes.get("binaryXnorMode"):
        return layer  # it reads the same bit as BINARY
    if kind == "StreamingMaxPool":
        return layer.with_attributes(dataType=first)
    if kind == "Pool":
        is_max = layer.attributes["Function"] == "MaxPool"
        return layer.with_attributes(InputDataType=first, **({"OutputDataType": first} if is_max else {}))
    if kind == "ElementwiseMul":
        return layer.with_attributes(lhs_dtype=first)
    if kind == "ElementwiseAdd":
        second = producers[1]
        return layer.with_attributes(lhs_dtype=first, rhs_dtype=second.name, out_dtype=_sum(producers[0], second))
    if "inputDataTypes" in layer.attributes:
        return layer.with_attributes(inputDataTypes=[kind.name for kind in producers])
    # On main a sum or a concatenation has one input type; FINN wants equal ones, here the widest is taken.
    return layer.with_attributes(inputDataType=max(producers, key=lambda kind: kind.bits).name)


def _sum(a: DataType, b: DataType) -> str:
    wider, narrower = (b, a) if b.bits > a.bits else (a, b)
    extra = 2 if narrower.signed and not wider.signed else 1
    return f"{'INT' if a.signed or b.signed else 'UINT'}{wider.bits + extra}"
