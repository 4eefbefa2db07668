"""What a rule is given: one node and what is known of its inputs; and what it returns."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from math import prod
from types import MappingProxyType
from typing import Any, Final, TypeVar

import numpy.typing as npt

from brevitas_a2q._ir.network import OPAQUE, Node
from brevitas_a2q._ir.onnx_file import MAX_ELEMENTS, MAX_RANK
from brevitas_a2q._ir.tensor import Tensor
from brevitas_a2q._ranges import Value
from brevitas_a2q._ranges.annotation import MAX_ANNOTATION
from brevitas_a2q.errors import OnnxFileError

_Attribute = TypeVar("_Attribute", int, float, str, tuple[int, ...])

__all__ = ["Call", "Result", "Rule", "Unstated", "opaque"]

Result = tuple[Node, tuple[Value, ...]]

_REAL: Final = ("float32", "float64")
_NONE: Final[Mapping[str, Any]] = MappingProxyType({})


class Unstated(Exception):  # noqa: N818  # not an error: what follows is unknown, and the file is read on
    """A form of an operator that no rule states; its outputs are unknown."""


def opaque(node: Node, reason: str, opset: int, domain: str = "") -> Node:
    """A node as the file has it, for what the integer network has no word for."""
    attributes = {
        "op": node.op,
        "domain": domain,
        "opset": opset,
        "reason": reason,
        "attributes": {key: value for key, value in node.attributes.items() if not key.startswith("@")},
    }
    return replace(node, op=OPAQUE, attributes=attributes)


@dataclass(frozen=True, eq=False)
class Call:
    """A node with its input tensors; a rule returns the node as normalised, and the values of its outputs."""

    node: Node
    inputs: tuple[Tensor | None, ...]
    opset: int

    def error(self, message: str, *, expected: str | None = None, remedy: str | None = None) -> OnnxFileError:
        """An error that names the node."""
        return self.node.error(message, expected=expected, remedy=remedy)

    def tensor(self, index: int) -> Tensor:
        """The input, which must be there."""
        found = self.inputs[index] if index < len(self.inputs) else None
        if found is None:
            raise self.error(f"has no input {index}", expected="a complete node")
        return found

    def stream(self, rank: int = 0, index: int = 0) -> Tensor:
        """An input of at least this rank, of real numbers in single or double precision."""
        x = self.numbers(rank, index)
        if x.element.name not in _REAL:
            raise Unstated(f"arithmetic on elements of type {x.element}")
        return x

    def numbers(self, rank: int = 0, index: int = 0) -> Tensor:
        """An input of at least this rank, of real numbers or integers in any precision."""
        x = self.tensor(index)
        if len(x.shape) < rank:
            raise self.error(f"found an input of shape {x.shape}", expected=f"at least {rank} dimensions")
        if x.element.kind not in "fiu":
            raise Unstated(f"arithmetic on elements of type {x.element}")
        return x

    def optional(self, index: int) -> Tensor | None:
        """The input if it is there."""
        return self.inputs[index] if index < len(self.inputs) else None

    def constant(self, index: int, what: str) -> npt.NDArray[Any]:
        """The value of an input that must be constant."""
        tensor = self.tensor(index)
        if tensor.number is None:
            raise Unstated(f"a {what} that is no constant")
        return tensor.number

    def integers(self, index: int, what: str) -> list[int]:
        """A constant vector of integers (a shape, pads, axes)."""
        value = self.constant(index, what)
        if value.dtype.kind not in "iu" or value.size > 2 * MAX_RANK:
            raise self.error(f"found {value.size} values of type {value.dtype} as {what}", expected="a few integers")
        return [int(v) for v in value.reshape(-1)]

    def attribute(self, name: str, like: _Attribute, *, required: bool = False) -> _Attribute:
        """An attribute of the type of ``like``, which is also its default unless it is required."""
        value = self.node.attributes.get(name)
        if value is None:
            if required:
                raise self.error(f"has no attribute {name!r}", expected="a complete node")
            return like
        value = float(value) if isinstance(like, float) and type(value) is int else value
        if type(value) is not type(like) or (type(value) is tuple and not all(type(v) is int for v in value)):
            raise self.error(f"found {name} = {str(value)[:40]}", expected=f"a value like {like!r}")
        return value

    def sizes(self, name: str, default: tuple[int, ...], *, low: int = 1, required: bool = False) -> tuple[int, ...]:
        """An attribute of as many integers as the default has, each at least ``low`` and of a sane size."""
        value = self.attribute(name, default, required=required)
        if len(value) != len(default) or any(not low <= v < 1 << 20 for v in value):
            raise self.error(
                f"found {name} = {str(value)[:40]}", expected=f"{len(default)} integers from {low} to {(1 << 20) - 1}"
            )
        return value

    def axes(self) -> list[int] | None:
        """Axes given as input 1 (later opsets) or as an attribute; None: none are given."""
        if self.optional(1) is not None:
            return self.integers(1, "axes")
        return list(self.attribute("axes", ())) if "axes" in self.node.attributes else None

    def axis(self, axis: int, rank: int) -> int:
        """An axis counted from the front."""
        if not -rank <= axis < rank:
            raise self.error(f"found axis {axis}", expected=f"an axis of {rank} dimensions")
        return axis % rank

    def check_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The output's shape, if it is neither empty nor absurdly large; of constants, if it is not large."""
        constants = [t.size for t in self.inputs if t is not None]
        is_constant = all(t.number is not None for t in self.inputs if t is not None)
        limit = max([MAX_ANNOTATION, *constants]) if is_constant else MAX_ELEMENTS
        if any(size < 1 for size in shape) or prod(shape) > limit or len(shape) > MAX_RANK:
            raise self.error(f"found an output of shape {shape}", expected=f"1 to {limit} elements")
        return shape

    def done(
        self, *outputs: Value, op: str | None = None, inputs: int | None = None, attributes: Mapping[str, Any] = _NONE
    ) -> Result:
        """The node in the integer network's words, with exactly these attributes, and its outputs."""
        node = self.node
        names = node.inputs if inputs is None else node.inputs[:inputs]
        plain = replace(
            node, op=op or node.op, inputs=names, outputs=node.outputs[: len(outputs)], attributes=dict(attributes)
        )
        return plain, outputs

    def island(self, *outputs: Value, reason: str = "real arithmetic") -> Result:
        """The node as the file has it: what it makes is known, but the integer network has no word for it."""
        return opaque(self.node, reason, self.opset), outputs


Rule = Callable[[Call], Result]
