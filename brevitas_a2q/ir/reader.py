"""From a QONNX file to its integer network.

The steps: check the file (:mod:`brevitas_a2q.ir.onnx_file`); keep the nodes that the outputs depend on, in topological
order; for each, apply its operator's rule, which checks the node, infers the shape, and propagates ranges and integers
as SIRA does (arXiv 2508.21493). What depends on constants only is computed and becomes a constant.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np
import onnx

from brevitas_a2q.errors import A2QError, OnnxFileError
from brevitas_a2q.ir.datatypes import IntType
from brevitas_a2q.ir.fold import folded
from brevitas_a2q.ir.layers import DOT_PRODUCTS
from brevitas_a2q.ir.metadata import INPUT_RANGE
from brevitas_a2q.ir.network import Network, Node
from brevitas_a2q.ir.nodes import domains, expanded, needed_in_order, raw_nodes
from brevitas_a2q.ir.onnx_file import OnnxGraph, load
from brevitas_a2q.ir.rules.call import Call
from brevitas_a2q.ir.rules.registry import ONNX_DOMAINS, QONNX_DOMAINS, rule_for
from brevitas_a2q.ir.tensor import Codes, Tensor

__all__ = ["read_network"]

_FLOAT_MAX: Final = float(np.finfo(np.float32).max)
_INTEGER_ELEMENTS: Final = {
    onnx.TensorProto.INT8: "INT8",
    onnx.TensorProto.UINT8: "UINT8",
    onnx.TensorProto.INT16: "INT16",
    onnx.TensorProto.UINT16: "UINT16",
}


def read_network(path: str | Path, *, input_range: tuple[float, float] | None = None) -> Network:
    """Read a QONNX file as an integer network.

    Args:
        path: The file. It is not trusted: nothing in it is executed, and memory and time are bounded.
        input_range: Lowest and highest value that the network's real-valued inputs can take, where it is narrower
            than their quantizer allows; the file's own declaration counts if none is given.

    Returns:
        The network, with ranges and integers for every tensor.

    Raises:
        OnnxFileError: Naming the file or node, what was found, what was expected, and a remedy.
    """
    graph = load(path)
    declared = input_range if input_range is not None else _declared_range(graph)
    tensors = {name: Tensor.of_value(name, value) for name, value in graph.constants.items()}
    tensors.update({name: _input(graph, name, declared) for name in graph.inputs})
    tensors.update(_annotated_constants(graph, tensors))
    data_types = dict(graph.data_types)
    nodes: list[Node] = []
    for raw in needed_in_order(graph, raw_nodes(graph)):
        for part in expanded(raw, tensors):
            if part.name == raw.name and raw.output in data_types:
                data_types[part.output] = data_types[raw.output]
            nodes += _apply(graph, part, tensors)
    if not any(node.op in DOT_PRODUCTS for node in nodes):
        raise OnnxFileError(
            "holds no quantized layer",
            where=graph.file,
            expected="Quant nodes in front of Conv or MatMul",
            remedy="export a quantized model with export_qonnx",
        )
    used = {name for node in nodes for name in (*node.inputs, *node.outputs)} | set(graph.outputs)
    return Network(
        file=graph.file,
        nodes=tuple(nodes),
        tensors={name: tensor for name, tensor in tensors.items() if name in used},
        inputs=tuple(name for name in graph.inputs if name in used),
        outputs=graph.outputs,
        data_types=data_types,
        metadata=graph.metadata,
        input_range=declared,
    )


def _apply(graph: OnnxGraph, node: Node, tensors: dict[str, Tensor]) -> list[Node]:
    """Apply the rule of a node; its outputs enter ``tensors``, and it is returned unless they are constants."""
    domain = domains(node)
    inputs = tuple(tensors[name] if name else None for name in node.inputs)
    if domain in ONNX_DOMAINS:
        value = folded(node, inputs)
        if value is not None:
            tensors[node.output] = Tensor.of_value(node.output, value)
            return []
    rule = rule_for(domain, node.op)
    if rule is None:
        raise node.error(
            f"found operator {node.op!r} of domain {domain!r}",
            expected=f"one that the reader knows, of ONNX or {QONNX_DOMAINS[0]}",
            remedy="export with export_qonnx, and see the documentation for the operators that are supported",
        )
    plain = replace(node, attributes={key: value for key, value in node.attributes.items() if key != "@domain"})
    normal, outputs = rule(Call(plain, inputs))
    if domain not in ONNX_DOMAINS and normal.op == "IntQuant":
        normal = replace(normal, op="Quant")
    tensors.update({tensor.name: tensor for tensor in outputs})
    return [] if all(tensor.value is not None for tensor in outputs) else [normal]


def _input(graph: OnnxGraph, name: str, declared: tuple[float, float] | None) -> Tensor:
    shape, element = graph.inputs[name]
    text = graph.data_types.get(name) or _INTEGER_ELEMENTS.get(element)
    dtype = _integer_type(text)
    if dtype is not None:
        zero = np.zeros((), np.int64)
        lo, hi = (np.asarray(end) for end in (dtype.range.lo, dtype.range.hi))
        if declared is not None:
            lo, hi = np.maximum(lo, int(np.ceil(declared[0]))), np.minimum(hi, int(np.floor(declared[1])))
        return Tensor.of_codes(name, shape, Codes(np.ones(()), lo, hi, dtype, zero))
    low, high = declared if declared is not None else (-_FLOAT_MAX, _FLOAT_MAX)
    return Tensor(name, shape, np.asarray(float(low)), np.asarray(float(high)))


def _annotated_constants(graph: OnnxGraph, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Constants that are integers already, as their QONNX data type says (files that FINN has streamlined)."""
    found = {}
    for name, text in graph.data_types.items():
        dtype, value = _integer_type(text), graph.constants.get(name)
        if dtype is None or value is None or value.dtype.kind not in "fiu" or not value.size:
            continue
        low, high = float(value.min()), float(value.max())
        if not dtype.range.lo <= low <= high <= dtype.range.hi or (np.round(value) != value).any():
            raise OnnxFileError(
                f"found values that are not {dtype.name}",
                where=f"{graph.file}, initializer {name}",
                expected=dtype.name,
            )
        integers, zero = value.astype(np.int64), np.zeros((), np.int64)
        found[name] = replace(
            tensors[name], codes=Codes(np.ones(()), integers, integers, dtype, zero), integers=integers
        )
    return found


def _integer_type(text: str | None) -> IntType | None:
    try:
        dtype = IntType.parse(text or "")
    except A2QError:  # FLOAT32, SCALEDINT and the like say nothing about integers
        return None
    return dtype if dtype.bit_width <= 32 else None


def _declared_range(graph: OnnxGraph) -> tuple[float, float] | None:
    text = graph.metadata.get(INPUT_RANGE)
    if text is None:
        return None
    try:
        low, high = (float(part) for part in text.split(","))
    except ValueError as error:
        raise OnnxFileError(
            f"found {INPUT_RANGE} = {text[:40]!r}", where=graph.file, expected="two numbers, as in '0.0,1.0'"
        ) from error
    if not -_FLOAT_MAX <= low <= high <= _FLOAT_MAX:
        raise OnnxFileError(f"found {INPUT_RANGE} = {text[:40]!r}", where=graph.file, expected="lowest,highest")
    return low, high
