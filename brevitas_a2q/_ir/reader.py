"""From a QONNX file to its integer network.

The steps: check the file (:mod:`brevitas_a2q._ir.onnx_file`); keep the nodes that the outputs depend on, in topological
order; for each, apply its operator's rule, which checks the node, infers the shape, and finds its outputs' values in
the table of :mod:`brevitas_a2q._ranges`, much as SIRA does (arXiv 2508.21493). What depends on constants only is
computed and becomes a constant. What no rule states is unknown, up to the quantizer that bounds it again; a layer that
reads it is listed as not covered.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from brevitas_a2q._ir.budget import Budget
from brevitas_a2q._ir.fold import folded, is_approximate
from brevitas_a2q._ir.inputs import annotated_constants, assumptions_of, declared_range, input_tensor
from brevitas_a2q._ir.layers import DOT_PRODUCTS
from brevitas_a2q._ir.linear import with_quantizers
from brevitas_a2q._ir.names import FreshNames
from brevitas_a2q._ir.network import OPAQUE, Network, Node
from brevitas_a2q._ir.nodes import domains, expanded, needed_in_order, raw_nodes
from brevitas_a2q._ir.onnx_file import OnnxGraph, load
from brevitas_a2q._ir.rules.call import Call, Unstated, opaque
from brevitas_a2q._ir.rules.registry import ONNX_DOMAINS, OPSETS, QONNX_DOMAINS, QONNX_VERSIONS, entry_for
from brevitas_a2q._ir.shapes import unknown_outputs
from brevitas_a2q._ir.tensor import FLOAT32, Tensor
from brevitas_a2q._ranges import RangeError, Value
from brevitas_a2q.errors import OnnxFileError

__all__ = ["read_network"]

_QUANTIZERS: Final = ("BipolarQuant", "IntQuant", "MultiThreshold", "Quant", "Trunc")
_NEARLY: Final = 2.0**-12  # of a step
# Operators of ONNX that sum products; where no rule makes integers of them, the certificate says that it is silent.
_SUMMING: Final = frozenset(
    {"Attention", "Conv", "ConvInteger", "ConvTranspose", "DFT", "DeformConv", "Det", "Einsum", "FlexAttention", "GRU"}
    | {"Gemm", "LSTM", "LinearAttention", "MatMul", "MatMulInteger", "QLinearConv", "QLinearMatMul", "RNN", "STFT"}
)


def read_network(
    path: str | Path,
    *,
    input_range: tuple[float, float] | None = None,
    input_type: str | None = None,
    assume_input_range: bool = False,
    assume_defaults: bool = False,
) -> Network:
    """Read a QONNX file as an integer network.

    Args:
        path: The file. It is not trusted: nothing in it is executed, and memory and time are bounded.
        input_range: Lowest and highest value that the network's real-valued inputs can take, where it is narrower
            than their quantizer allows.
        input_type: QONNX data type of the network's inputs, such as ``UINT8``.
        assume_input_range: Whether to take the file's own word for its inputs (the property ``a2q.input_range``, data
            types that it gives to its inputs).
        assume_defaults: Whether to take it that nobody replaces initializers that are inputs too.

    Returns:
        The network, with what is known of every tensor. ``assumptions`` says what that rests on.

    Raises:
        OnnxFileError: Naming the file or node, what was found, what was expected, and a remedy.
    """
    graph = load(path)
    _refuse_other_meanings(graph)
    graph, nodes_in_file, read = with_quantizers(graph, raw_nodes(graph))
    declared = declared_range(graph, input_range, assume_input_range)
    tensors = {name: Tensor.named(name, Value.constant(value)) for name, value in graph.constants.items()}
    tensors.update({name: input_tensor(graph, name, declared, input_type) for name in graph.inputs})
    tensors.update(annotated_constants(graph, tensors))
    reader = _Reader(graph, tensors)
    nodes = reader.read(nodes_in_file)
    if not any(node.op in DOT_PRODUCTS for node in nodes):
        silent = f" ({'; '.join(reader.uncovered[:3])})" if reader.uncovered else ""
        raise OnnxFileError(
            f"holds no quantized layer whose inputs are integers{silent}",
            where=graph.file,
            expected="Quant nodes in front of Conv or MatMul, for inputs and weights",
            remedy="quantize inputs (a QuantIdentity in front) and weights, export with export_qonnx, or declare the "
            "input's type",
        )
    used = {name for node in nodes for name in (*node.inputs, *node.outputs)} | set(graph.outputs)
    return Network(
        file=graph.file,
        nodes=tuple(nodes),
        tensors={name: tensor for name, tensor in tensors.items() if name in used},
        inputs=tuple(name for name in graph.inputs if name in used),
        outputs=graph.outputs,
        data_types=reader.data_types,
        metadata=graph.metadata,
        input_range=declared,
        uncovered=tuple(reader.uncovered),
        assumptions=assumptions_of(
            graph,
            read=read | reader.read_names,
            input_range=input_range,
            input_type=input_type,
            assume_input_range=assume_input_range,
            assume_defaults=assume_defaults,
            approximate=reader.approximate,
        ),
    )


def _refuse_other_meanings(graph: OnnxGraph) -> None:
    """A file that gives an operator of ONNX or QONNX a meaning of its own, used or not."""
    for domain, op in sorted(graph.functions):
        if domain in (*ONNX_DOMAINS, *QONNX_DOMAINS):
            raise OnnxFileError(
                "is an operator that the file defines itself",
                where=f"{graph.file}, function {op} of domain {domain!r}",
                expected="operators of ONNX and QONNX",
            )


class _Reader:
    """Tensors as they become known, node by node."""

    def __init__(self, graph: OnnxGraph, tensors: dict[str, Tensor]) -> None:
        self.graph, self.tensors = graph, tensors
        self.data_types = dict(graph.data_types)
        self.uncovered: list[str] = []
        self.read_names: set[str] = set()
        self.approximate: list[str] = []  # nodes that make constants of which executors have their own
        self.budget = Budget(graph.file, sum(value.size for value in graph.constants.values()))

    def read(self, nodes_in_file: Sequence[Node]) -> list[Node]:
        """Every node that does not depend on constants only, in the integer network's words."""
        nodes: list[Node] = []
        written = (name for node in nodes_in_file for name in (*node.inputs, *node.outputs))
        fresh = FreshNames((*self.tensors, *written))
        for raw in needed_in_order(self.graph, nodes_in_file):
            self._check_version(raw)
            self.read_names.update(raw.inputs)
            for part in expanded(raw, self.tensors, fresh):
                if part.name == raw.name and raw.output in self.data_types:
                    self.data_types[part.output] = self.data_types[raw.output]
                node = self._apply(part)
                nodes += [] if node is None else [node]
        return nodes

    def _version(self, domain: str) -> int:
        if domain in ONNX_DOMAINS:
            versions = {self.graph.versions[name] for name in ONNX_DOMAINS if name in self.graph.versions}
            if len(versions) > 1:
                raise OnnxFileError(
                    f"found versions {sorted(versions)} of ONNX' operators", where=self.graph.file, expected="one"
                )
            return max(versions, default=0)
        return self.graph.versions.get(domain, 0)

    def _check_version(self, node: Node) -> None:
        domain, version = domains(node), self._version(domains(node))
        if (domain, node.op) in self.graph.functions:
            raise node.error("is an operator that the file defines itself", expected="operators of ONNX and QONNX")
        if domain in ONNX_DOMAINS and version not in OPSETS:
            raise node.error(
                f"found version {version} of ONNX' operators",
                expected=f"{OPSETS.start} to {OPSETS.stop - 1}",
                remedy="convert the file with onnx.version_converter",
            )
        if domain in QONNX_DOMAINS and version and version not in QONNX_VERSIONS:
            raise node.error(f"found version {version} of domain {domain!r}", expected="1 or 2")

    def _apply(self, node: Node) -> Node | None:
        """Apply the rule of a node; its outputs become known, and it is returned unless they are constants."""
        domain = domains(node)
        inputs = tuple(self.budget.read(node, self.tensors[name]) if name else None for name in node.inputs)
        if domain in ONNX_DOMAINS:
            value = folded(node, inputs)
            if value is not None:
                self.approximate += [node.name] * is_approximate(node, inputs, value)
                self._keep(node, Tensor.named(node.output, self._with_integers(node, domain, inputs, value)))
                return None
        try:
            normal, outputs = self._ruled(node, domain, inputs)
        except RangeError as error:
            raise node.error(str(error)) from error
        except Unstated as unstated:
            reason = str(unstated)
            normal = opaque(node, reason, self._version(domain), domain)
            outputs = unknown_outputs(node, domain, self._version(domain), inputs, reason)
        for tensor in outputs:
            self._keep(node, tensor)
        if normal.op == OPAQUE and self._sums(node, domain):
            self.uncovered.append(f"{node.name}: {normal.attributes['reason']}")
        return None if all(tensor.number is not None for tensor in outputs) else normal

    def _with_integers(self, node: Node, domain: str, inputs: tuple[Tensor | None, ...], value: Any) -> Value:
        """A computed constant, and the integers that it stands for where it comes of such (weights that are sliced)."""
        constant = Value.constant(value)
        if value.dtype.kind != "f" or not any(t is not None and t.codes is not None for t in inputs):
            return constant
        try:
            codes = self._ruled(node, domain, inputs)[1][0].codes
        except (RangeError, Unstated, OnnxFileError):
            return constant
        if codes is None or not np.array_equal(codes.lo, codes.hi) or codes.lo.shape not in ((), value.shape):
            return constant
        integers = np.broadcast_to(codes.lo, value.shape)  # one number where all are the same
        codes = replace(codes, lo=integers, hi=integers)
        exact = (np.abs(value / codes.scale - codes.lo) <= _NEARLY).all()
        return Value.constant(value, codes) if exact else constant

    def _ruled(self, node: Node, domain: str, inputs: tuple[Tensor | None, ...]) -> tuple[Node, list[Tensor]]:
        entry = entry_for(domain, node.op)
        if entry is None:
            raise Unstated("an operator that no rule states")
        attributes = {key: value for key, value in node.attributes.items() if not key.startswith("@")}
        unstated = set(attributes) - entry.attributes
        if unstated:
            raise Unstated(f"attribute {sorted(unstated)[0]!r}, which no rule states")
        version = self._version(domain)
        normal, values = entry.rule(Call(replace(node, attributes=attributes), inputs, version))
        if normal.op == OPAQUE:
            normal = opaque(node, normal.attributes["reason"], version, domain)
        named = [name for name in node.outputs if name]
        if len(named) > len(values) or any(not name for name in node.outputs[: len(values)]):
            raise Unstated("outputs that no rule states")
        element = next((t.element for t in inputs if t is not None), FLOAT32) if domain in ONNX_DOMAINS else FLOAT32
        # NaN is handed on up to a quantizer: it makes an integer of it, or the datapath has no such execution.
        nan = node.op not in _QUANTIZERS and any(t.maybe_nan for t in inputs if t is not None and t.number is None)
        return normal, [
            replace(Tensor.named(name, value, value.element if isinstance(value, Tensor) else element), nan=nan)
            for name, value in zip(node.outputs, values, strict=False)
        ]

    def _keep(self, node: Node, tensor: Tensor) -> None:
        self.tensors[tensor.name] = self.budget.keep(node, tensor)

    @staticmethod
    def _sums(node: Node, domain: str) -> bool:
        return node.op in _SUMMING if domain in ONNX_DOMAINS else entry_for(domain, node.op) is None
