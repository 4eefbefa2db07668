"""Which tensors of a float model are to be integers, and which of them share a quantizer.

Layers, sums and averages read integers. What they read is traced back, through operations that only move elements, to
where it is made; a quantizer right there serves every reader, and hardware never has to hold a real number on a stream.
Tensors that are concatenated have one scale, and so have the operands of a residual sum. Operands of a sum that are
never negative keep a quantizer of their own for their other readers, without a sign bit, and pass through the sum's
besides. Sums that only real arithmetic reads stay real, and read what no quantizer has rounded
(:mod:`brevitas_a2q.convert._real_sums`).

The operators listed here are no second table of ranges. They say where a quantizer is *put*: behind what makes a value,
not behind what moves it, which is a question of the hardware to be built (a max pool chooses, and its output needs no
quantizer). One that is missing here gets a quantizer, which is never wrong; whether values are negative, and which
integers then arrive at a layer, is asked of the one table (:mod:`brevitas_a2q.convert._signedness`, and the trace of
the converted model). A test holds every operator that is said to move against the table.
"""

from __future__ import annotations

import builtins
import operator
from dataclasses import dataclass, field
from typing import Final

import torch
import torch.nn.functional as F
from torch import nn
from torch.fx import Graph, Node

from brevitas_a2q.convert._real_sums import real_sums
from brevitas_a2q.convert._signedness import never_negative

__all__ = ["VALUE_QUANTIZERS", "Dataflow", "Value", "dataflow", "name_of"]

VALUE_QUANTIZERS: Final = "value_quantizers"  # the submodule that a converted model has them in

_MOVING_MODULES: Final = (
    nn.Identity,
    nn.Dropout,
    nn.Dropout2d,
    nn.Dropout3d,
    nn.Flatten,
    nn.MaxPool1d,
    nn.MaxPool2d,
    nn.MaxPool3d,
    nn.PixelShuffle,
    nn.PixelUnshuffle,
    nn.UpsamplingNearest2d,
)
_MOVING_FUNCTIONS: Final = (
    torch.flatten,
    torch.reshape,
    torch.transpose,
    torch.permute,
    F.dropout,
    F.max_pool2d,
    F.pixel_shuffle,
    F.pixel_unshuffle,
)
_MOVING_METHODS: Final = ("contiguous", "flatten", "permute", "reshape", "squeeze", "transpose", "unsqueeze", "view")
_AVERAGES: Final = (
    nn.AvgPool1d,
    nn.AvgPool2d,
    nn.AvgPool3d,
    nn.AdaptiveAvgPool1d,
    nn.AdaptiveAvgPool2d,
    nn.AdaptiveAvgPool3d,
    F.avg_pool2d,
    F.adaptive_avg_pool2d,
    torch.mean,
    "mean",
)
_SUMS: Final = (operator.add, operator.iadd, torch.add, "add", "add_")
_SIZES: Final = (builtins.getattr, "size", "dim", "numel")


@dataclass(eq=False)
class Value:
    """Integers of one scale: every tensor that is the same but for moved elements, and all that share its quantizer.

    Attributes:
        origins: Nodes that make them; a quantizer goes behind each.
        unsigned: Whether they are never negative.
        layers: Names of the layers that read them.
        sums: Operands of sums, by position, that are other values and pass through this one's quantizer as well.
        is_read: Whether a layer, a sum, a concatenation or an average reads them.
        only_layers: Whether nothing but layers reads them.
    """

    origins: list[Node]
    unsigned: bool
    layers: list[str] = field(default_factory=list)
    sums: list[tuple[Node, int]] = field(default_factory=list)
    is_read: bool = False
    only_layers: bool = True


@dataclass(frozen=True, eq=False)
class Dataflow:
    """Where integers are to flow in a graph.

    Attributes:
        values: Those that need a quantizer, in the order in which they are made.
        layers: Nodes whose weights multiply integers.
        sums: Nodes that add two values of one scale.
        moves: Nodes that move elements, or choose among them.
        real: Nodes that sum, or move to such a sum, what is to stay real; they read a value past its quantizer.
        tensors: Nodes that are tensors made from the model's input; others are parameters, or sizes.
    """

    values: tuple[Value, ...]
    layers: frozenset[Node]
    sums: frozenset[Node]
    moves: frozenset[Node]
    real: frozenset[Node]
    tensors: frozenset[Node]


def dataflow(graph: Graph, modules: dict[str, nn.Module], layer_types: tuple[type[nn.Module], ...]) -> Dataflow:
    """Find the values of a float model and what reads them.

    Args:
        graph: Of the model.
        modules: Its modules by name.
        layer_types: Types of layers that read integers.
    """
    analysis = _Analysis(graph, modules, layer_types)
    return Dataflow(
        values=tuple(value for value in analysis.values() if value.is_read),
        layers=frozenset(filter(analysis.is_layer, graph.nodes)),
        sums=frozenset(filter(analysis.is_sum, graph.nodes)),
        moves=frozenset(filter(analysis.moves, graph.nodes)),
        real=analysis.real,
        tensors=analysis.tensors,
    )


def name_of(value: Value) -> str:
    """Name of a value's quantizer among :data:`VALUE_QUANTIZERS`."""
    return value.origins[0].name


class _Analysis:
    """Groups of nodes, joined as the graph is read (a union-find forest of nodes)."""

    def __init__(self, graph: Graph, modules: dict[str, nn.Module], layer_types: tuple[type[nn.Module], ...]) -> None:
        self.nodes = list(graph.nodes)
        self.modules = modules
        self.layer_types = layer_types
        self.parent: dict[Node, Node] = {}
        self.tensors = self._tensors()
        self.real_sums, self.real = real_sums(self.nodes, self.tensors, self._key, self._adds, self.moves)
        self.unsigned = never_negative(graph, modules, self.tensors, self.moves)
        for node in self.nodes:
            if self.moves(node):
                for source in self._sources(node):
                    self._join(source, node)

    def values(self) -> list[Value]:
        """Every value, read or not."""
        self._align_sums()
        values: dict[Node, Value] = {}
        for node in self.nodes:
            if node in self.tensors and not self.moves(node):
                value = values.setdefault(self._root(node), Value([], unsigned=True))
                value.origins.append(node)
                # An average of integers is one again where its quantizer is signed, as FINN's pools have it.
                value.unsigned &= node in self.unsigned and self._key(node) not in _AVERAGES
        for node in self.nodes:
            self._note_readers(node, values)
        return list(values.values())

    def _note_readers(self, node: Node, values: dict[Node, Value]) -> None:
        if self.is_layer(node):
            for source in self._sources(node):
                values[self._root(source)].layers.append(str(node.target))
                values[self._root(source)].is_read = True
            return
        if node.target not in _SIZES and (not self.moves(node) or node.target is torch.cat):
            for source in self._sources(node):
                # A real sum reads past the quantizer, unless something stands between that others read, too.
                past = node in self.real_sums and (source in self.real or not self.moves(source))
                values[self._root(source)].only_layers &= past
        if self.is_sum(node):
            operands = [values[self._root(operand)] for operand in self._sources(node)]
            shared = min(operands, key=lambda value: value.unsigned)
            shared.is_read = True
            shared.sums += [(node, index) for index, value in enumerate(operands) if value is not shared]
        elif self._key(node) in _AVERAGES or node.target is torch.cat:
            for source in self._sources(node):
                values[self._root(source)].is_read = True

    def _align_sums(self) -> None:
        """Join the operands of each sum that have the same sign; the sign of a group does not change by that."""
        made = [node for node in self.tensors if not self.moves(node)]
        signed = {self._root(n) for n in made if n not in self.unsigned or self._key(n) in _AVERAGES}
        for node in self.nodes:
            if self.is_sum(node):
                first, second = self._sources(node)
                if (self._root(first) in signed) == (self._root(second) in signed):
                    is_signed = self._root(first) in signed
                    self._join(first, second)
                    signed |= {self._root(first)} if is_signed else set()

    def _tensors(self) -> frozenset[Node]:
        """Nodes that are tensors made from the model's input; not parameters, and not sizes."""
        found: set[Node] = set()
        for node in self.nodes:
            made = node.op == "placeholder" or any(source in found for source in node.all_input_nodes)
            if made and node.op != "output" and node.target not in _SIZES:
                found.add(node)
        return frozenset(found)

    def _key(self, node: Node) -> object:
        """What a node calls: the type of its module, its function, or the name of its method."""
        return type(self.modules[str(node.target)]) if node.op == "call_module" else node.target

    def _sources(self, node: Node) -> list[Node]:
        return [source for source in node.all_input_nodes if source in self.tensors]

    def is_layer(self, node: Node) -> bool:
        return node.op == "call_module" and type(self.modules[str(node.target)]) in self.layer_types

    def is_sum(self, node: Node) -> bool:
        """A sum of integers."""
        return self._adds(node) and node not in self.real_sums

    def _adds(self, node: Node) -> bool:
        """A plain sum of two tensors."""
        operands = self._sources(node)
        return len(operands) == 2 and node.args == tuple(operands) and not node.kwargs and self._key(node) in _SUMS

    def moves(self, node: Node) -> bool:
        """Whether its elements are those of its inputs, moved or left out; such as maximum pooling, for it chooses."""
        if node not in self.tensors or node.op not in ("call_module", "call_function", "call_method"):
            return False
        if node.op == "call_module" and isinstance(self.modules[str(node.target)], nn.Upsample):
            return str(self.modules[str(node.target)].mode) == "nearest"
        if node.target is F.interpolate:
            return bool(node.kwargs.get("mode", "nearest") == "nearest")
        if node.target is torch.cat:
            return len(self._sources(node)) == len(node.all_input_nodes)
        key = self._key(node)
        return key in _MOVING_MODULES or key in _MOVING_FUNCTIONS or key in _MOVING_METHODS

    def _root(self, node: Node) -> Node:
        while node in self.parent:
            node = self.parent[node]
        return node

    def _join(self, one: Node, other: Node) -> None:
        a, b = self._root(one), self._root(other)
        if a is not b:
            self.parent[b] = a
