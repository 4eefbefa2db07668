"""Nodes of an ONNX graph as values: attributes read, order checked, combined operators taken apart."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import onnx

from brevitas_a2q._ir.names import FreshNames
from brevitas_a2q._ir.network import Node
from brevitas_a2q._ir.onnx_file import OnnxGraph, constant_array, text, unique
from brevitas_a2q._ir.tensor import Tensor
from brevitas_a2q.errors import OnnxFileError

__all__ = ["domains", "expanded", "needed_in_order", "raw_nodes"]


def raw_nodes(graph: OnnxGraph) -> tuple[Node, ...]:
    """Every node of a file, in the file's order, with a unique name; ``attributes["@domain"]`` is its domain."""
    own = [text(proto.name, f"{graph.file}, node {index}") for index, proto in enumerate(graph.nodes)]
    fresh, seen = FreshNames(own), set[str]()
    nodes = []
    for index, proto in enumerate(graph.nodes):
        where = f"{graph.file}, node {index}"
        op, name = text(proto.op_type, where), own[index]
        if not name or name in seen:  # names are for messages and certificates; nothing else goes by them in a file
            name = fresh(f"{name or op}_{index}")
        seen.add(name)
        inputs, outputs = (tuple(text(n, where) for n in names) for names in (proto.input, proto.output))
        node = Node(name, op, inputs, outputs)
        attributes = unique(((text(a.name, where), _attribute(node, a)) for a in proto.attribute), where)
        metadata = unique(((text(pair.key, where), text(pair.value, where)) for pair in proto.metadata_props), where)
        if not node.outputs or not node.outputs[0]:
            raise node.error("has no output", expected="an undamaged file")
        nodes.append(replace(node, attributes={**attributes, "@domain": text(proto.domain, where)}, metadata=metadata))
    return tuple(nodes)


def _attribute(node: Node, attribute: Any) -> Any:
    kinds = onnx.AttributeProto
    if attribute.ref_attr_name:
        message = f"found an attribute {attribute.name!r} that is another's"
        raise node.error(message, expected="references in functions only, which are not supported")
    if attribute.type == kinds.INT:
        return int(attribute.i)
    if attribute.type == kinds.FLOAT:
        return float(attribute.f)
    if attribute.type == kinds.STRING:
        return bytes(attribute.s).decode("utf-8", errors="replace")
    if attribute.type == kinds.INTS:
        return tuple(int(v) for v in attribute.ints)
    if attribute.type == kinds.FLOATS:
        return tuple(float(v) for v in attribute.floats)
    if attribute.type == kinds.TENSOR:
        return constant_array(attribute.t, f"node {node.name} ({node.op}), attribute {attribute.name}")
    raise node.error(
        f"found an attribute {attribute.name!r} of kind {attribute.type}",
        expected="numbers, text or tensors",
        remedy="control flow and subgraphs are not supported",
    )


def domains(node: Node) -> str:
    """The domain a raw node's operator belongs to."""
    return str(node.attributes["@domain"])


def needed_in_order(graph: OnnxGraph, nodes: Sequence[Node]) -> list[Node]:
    """The nodes that the outputs depend on, each after what it reads, otherwise in the given order.

    Raises:
        OnnxFileError: Where two nodes write one tensor, a tensor that is read is never written, or nodes form a cycle.
    """
    writer: dict[str, Node] = {}
    for node in nodes:
        for output in filter(None, node.outputs):
            if output in writer or output in graph.constants or output in graph.inputs:
                raise node.error(f"writes tensor {output!r}, which has a value already", expected="one writer each")
            writer[output] = node
    if not graph.outputs:
        raise OnnxFileError("has no outputs", where=graph.file, expected="a QONNX model")
    needed: set[str] = set()
    queue = deque((name, "the network's outputs") for name in graph.outputs)
    while queue:
        tensor, reader = queue.popleft()
        if tensor in graph.constants or tensor in graph.inputs:
            continue
        if tensor not in writer:
            raise OnnxFileError(
                f"found tensor {tensor!r}, which nothing computes",
                where=f"{graph.file}, {reader}",
                expected="an initializer, an input, or a node's output",
            )
        if writer[tensor].name not in needed:
            needed.add(writer[tensor].name)
            queue.extend((name, f"node {writer[tensor].name}") for name in writer[tensor].inputs if name)
    return _topological(graph, [node for node in nodes if node.name in needed])


def _topological(graph: OnnxGraph, nodes: list[Node]) -> list[Node]:
    known = {*graph.constants, *graph.inputs, ""}
    waiting = {node.name: len(set(node.inputs) - known) for node in nodes}
    readers: dict[str, list[Node]] = {}
    for node in nodes:
        for name in set(node.inputs) - known:
            readers.setdefault(name, []).append(node)
    ready = deque(node for node in nodes if not waiting[node.name])
    order = []
    while ready:
        node = ready.popleft()
        order.append(node)
        for output in node.outputs:
            for reader in readers.get(output, ()):
                waiting[reader.name] -= 1
                if not waiting[reader.name]:
                    ready.append(reader)
    if len(order) < len(nodes):
        stuck = next(node for node in nodes if waiting[node.name])
        raise stuck.error("is part of a cycle, or behind one", expected="a graph without cycles")
    position = {node.name: index for index, node in enumerate(nodes)}
    in_file_order = all(
        position[reader.name] > position[node.name]
        for node in nodes
        for output in node.outputs
        for reader in readers.get(output, ())
    )
    return nodes if in_file_order else order


def expanded(node: Node, tensors: Mapping[str, Tensor], fresh: FreshNames) -> tuple[Node, ...]:
    """A combined operator as its parts; any other node as it is.

    ``Conv`` and ``ConvTranspose`` with a bias become the products and an ``Add``; ``Gemm`` becomes ``Transpose`` (of
    the constant), ``MatMul`` and ``Add``. The products keep the node's name, the sum its output.

    Args:
        node: As the file has it.
        tensors: What is known of its inputs.
        fresh: Gives names to the tensors between its parts.
    """
    output = node.output
    if domains(node) not in ("", "ai.onnx"):
        return (node,)
    if node.op in ("Conv", "ConvTranspose") and len(node.inputs) > 2 and node.inputs[2] and node.inputs[1] in tensors:
        bias, column = node.inputs[2], fresh(f"{output}/bias")
        products = replace(node, outputs=(fresh(f"{output}/sum"),))
        rank = len(tensors[node.inputs[1]].shape)
        domain = {"@domain": ""}
        axes = {"axes": (0, *range(2, rank)), **domain}
        return (
            replace(products, inputs=node.inputs[:2]),
            Node(f"{node.name}/unsqueeze", "Unsqueeze", (bias,), (column,), axes),
            Node(f"{node.name}/bias", "Add", (products.output, column), (output,), domain),
        )
    if node.op == "MatMul" and len(node.inputs) == 2 and set(node.inputs) <= set(tensors):
        return _turned(node, tensors, fresh)
    return _gemm(node, tensors, fresh) if node.op == "Gemm" else (node,)


def _turned(node: Node, tensors: Mapping[str, Tensor], fresh: FreshNames) -> tuple[Node, ...]:
    """A product whose constant matrix lies on the left, or has leading axes of one, with a matrix on the right."""
    x, y = (tensors[name] for name in node.inputs)
    domain = {"@domain": ""}
    if y.number is not None and 2 < len(y.shape) <= len(x.shape) and set(y.shape[:-2]) == {1}:
        matrix = fresh(f"{node.output}/matrix")
        axes = {"axes": tuple(range(len(y.shape) - 2)), **domain}
        squeeze = Node(f"{node.name}/squeeze", "Squeeze", (node.inputs[1],), (matrix,), axes)
        return squeeze, replace(node, inputs=(node.inputs[0], matrix))
    if x.number is None or y.number is not None or len(x.shape) != 2 or len(y.shape) < 2:
        return (node,)
    matrix, columns, sums = (fresh(f"{node.output}/{what}") for what in ("matrix", "columns", "sum"))
    last = {"perm": (*range(len(y.shape) - 2), len(y.shape) - 1, len(y.shape) - 2), **domain}
    return (
        Node(f"{node.name}/matrix", "Transpose", (node.inputs[0],), (matrix,), domain),
        Node(f"{node.name}/columns", "Transpose", (node.inputs[1],), (columns,), last),
        replace(node, inputs=(columns, matrix), outputs=(sums,)),
        Node(f"{node.name}/rows", "Transpose", (sums,), (node.output,), last),
    )


def _gemm(node: Node, tensors: Mapping[str, Tensor], fresh: FreshNames) -> tuple[Node, ...]:
    """``Gemm`` as ``alpha = m 2^k`` says, with m from 1 to 2: ``(x (m W)) 2^k + beta bias``.

    Rounding m times the matrix is one more step of each product, for which the sums' error has room; no sum on the way
    is larger than one of these. A bias is taken times ``beta`` where that rounds no number.
    """
    a, domain = node.attributes, {"@domain": ""}
    if set(a) - {"transA", "transB", "alpha", "beta", "@domain"}:
        return (node,)
    if len(node.inputs) < 2:
        raise node.error(f"has {len(node.inputs)} inputs", expected="2 or 3")
    x, matrix = node.inputs[:2]
    bias = node.inputs[2] if len(node.inputs) > 2 else ""
    alpha, beta = (a.get(name, 1.0) for name in ("alpha", "beta"))
    if not (_scales(tensors.get(matrix), alpha) and (not bias or _scales_exactly(tensors.get(bias), beta))):
        return (node,)
    parts: list[Node] = []

    def put(what: str, op: str, *inputs: str, **attributes: Any) -> str:
        name = fresh(f"{node.output}/{what}")
        parts.append(Node(f"{node.name}/{what}", op, inputs, (name,), {**attributes, **domain}))
        return name

    def times(what: str, name: str, factor: float) -> str:
        return name if factor == 1 else put(f"times {what}", "Mul", name, put(what, "Constant", value_float=factor))

    mantissa, exponent = math.frexp(np.float32(alpha))
    x = put("columns", "Transpose", x) if a.get("transA", 0) else x
    matrix = put("transpose", "Transpose", matrix) if a.get("transB", 0) else matrix
    matrix = times("mantissa", matrix, 2 * mantissa)
    sums = fresh(f"{node.output}/sum")
    parts.append(replace(node, op="MatMul", inputs=(x, matrix), outputs=(sums,), attributes=domain))
    total = times("power", sums, 2.0 ** (exponent - 1))
    if bias:
        put("bias", "Add", total, times("beta", bias, beta))
    parts[-1] = replace(parts[-1], outputs=node.outputs)
    return tuple(parts)


def _scales(matrix: Tensor | None, factor: Any) -> bool:
    """Whether a matrix times a factor stays far from the ends of single precision, or the factor is one."""
    if factor == 1:
        return True
    if matrix is None or matrix.number is None or not isinstance(factor, float) or not 2**-60 < abs(factor) < 2**60:
        return False
    sizes = np.abs(matrix.number.astype(np.float64))
    return bool(((sizes == 0) | ((sizes > 2**-60) & (sizes < 2**60))).all())


def _scales_exactly(bias: Tensor | None, factor: Any) -> bool:
    """Whether every number of a constant times a factor is one of single precision, or the factor is one."""
    if factor == 1:
        return True
    if bias is None or bias.number is None or not isinstance(factor, float):
        return False
    with np.errstate(all="ignore"):
        real = bias.number.astype(np.float64) * np.float64(np.float32(factor))
        return bool((real.astype(np.float32) == real).all())
