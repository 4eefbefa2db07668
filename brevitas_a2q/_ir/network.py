"""The integer network: nodes in the order of computation, and what is known of every tensor between them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final

from brevitas_a2q._ir.tensor import Tensor
from brevitas_a2q.errors import OnnxFileError

__all__ = ["OPAQUE", "Assumption", "Network", "Node"]

OPAQUE: Final = "Opaque"
"""Operator of a node that the integer network has no word for; ``attributes`` say what the file calls it, and why."""


@dataclass(frozen=True, eq=False)
class Node:
    """One operation. Attributes are complete: defaults are filled in, ``auto_pad`` is resolved.

    Operators are ONNX's and QONNX's, less those that say the same as another: ``Gemm`` is a ``MatMul`` and an
    ``Add``; a bias of Conv and ConvTranspose is an ``Add``; ``IntQuant`` is a ``Quant``; global pools and means over
    the image are ``GlobalAveragePool``, which drops the image's axes where its attribute ``keepdims`` is 0; what
    changes only the layout of elements is ``Reshape``.

    Anything else is :data:`OPAQUE`: real arithmetic between integers, kept as the file has it in the attributes ``op``,
    ``domain``, ``opset`` and ``attributes``, with the ``reason``.
    """

    name: str
    op: str
    inputs: tuple[str, ...]  # "" where an optional input is absent
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any] = field(default_factory=dict)
    metadata: Mapping[str, str] = field(default_factory=dict)

    @property
    def output(self) -> str:
        """The first output."""
        return self.outputs[0]

    @property
    def file_op(self) -> str:
        """The operator for people to read: what the file calls it where the integer network has no word for it."""
        return str(self.attributes["op"]) if self.op == OPAQUE else self.op

    def error(self, message: str, *, expected: str | None = None, remedy: str | None = None) -> OnnxFileError:
        """An error that names this node and its operator; to be raised by the caller."""
        return OnnxFileError(message, where=f"node {self.name} ({self.file_op})", expected=expected, remedy=remedy)


@dataclass(frozen=True)
class Assumption:
    """Something that a network's ranges rest on and that nothing in it enforces.

    Args:
        text: What is assumed, in words.
        accepted: Whether the caller vouches for it; else it is only the file's own word.
        used: Whether any range rests on it; a claim that is not used is only mentioned.
    """

    text: str
    accepted: bool
    used: bool = True

    def __str__(self) -> str:
        """The text, behind a word for how it stands."""
        standing = "assumed" if self.accepted else "ASSUMED BY THE FILE ALONE"
        return f"{standing if self.used else 'noted'}: {self.text}"


@dataclass(frozen=True, eq=False)
class Network:
    """What a QONNX file computes. Constants are folded: only nodes that depend on an input are listed.

    A quantizing node (Quant, BipolarQuant, Trunc, MultiThreshold) holds its arithmetic as ``attributes["quantizer"]``,
    an :class:`brevitas_a2q._ir.quantizer.IntegerFunction`; the elementwise nodes are those that
    :func:`brevitas_a2q._ir.elementwise.evaluate` computes.
    """

    file: str
    nodes: tuple[Node, ...]  # in topological order
    tensors: Mapping[str, Tensor]  # every tensor that a node reads or writes, constants included
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    data_types: Mapping[str, str] = field(default_factory=dict)  # tensor -> QONNX data type, as annotated in the file
    metadata: Mapping[str, str] = field(default_factory=dict)
    input_range: tuple[float, float] | None = None  # as declared by the caller, or by the file and accepted
    uncovered: tuple[str, ...] = ()  # layers whose sums are no integers, each as "name: reason"
    assumptions: tuple[Assumption, ...] = ()

    def consumers(self, tensor: str) -> tuple[Node, ...]:
        """Nodes that read a tensor, once each, in order."""
        return self._links[0].get(tensor, ())

    def producer(self, tensor: str) -> Node | None:
        """The node that writes a tensor; None for inputs and constants."""
        return self._links[1].get(tensor)

    @cached_property
    def _links(self) -> tuple[dict[str, tuple[Node, ...]], dict[str, Node]]:
        readers: dict[str, list[Node]] = {}
        for node in self.nodes:
            for name in dict.fromkeys(node.inputs):
                readers.setdefault(name, []).append(node)
        return {name: tuple(nodes) for name, nodes in readers.items()}, {
            name: node for node in self.nodes for name in node.outputs
        }
