"""What a rule is given: one node and what is known of its inputs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from brevitas_a2q.errors import OnnxFileError
from brevitas_a2q.ir.network import Node
from brevitas_a2q.ir.onnx_file import MAX_ELEMENTS, MAX_RANK
from brevitas_a2q.ir.tensor import MAX_ANNOTATION, Codes, FloatArray, Tensor, compact

_Value = TypeVar("_Value", int, float, str, tuple[int, ...])

__all__ = ["Call", "Rule", "align", "align_full", "broadcast"]


@dataclass(frozen=True, eq=False)
class Call:
    """A node with its input tensors; a rule returns the node as normalised, and its output tensors."""

    node: Node
    inputs: tuple[Tensor | None, ...]

    def error(self, message: str, *, expected: str | None = None, remedy: str | None = None) -> OnnxFileError:
        """An error that names the node."""
        return self.node.error(message, expected=expected, remedy=remedy)

    def tensor(self, index: int) -> Tensor:
        """The input, which must be there."""
        found = self.inputs[index] if index < len(self.inputs) else None
        if found is None:
            raise self.error(f"has no input {index}", expected="a complete node")
        return found

    def stream(self, rank: int | None = None) -> Tensor:
        """Input 0, of at least this rank (at least 1)."""
        x = self.tensor(0)
        if len(x.shape) < (rank or 1):
            raise self.error(f"found an input of shape {x.shape}", expected=f"at least {rank or 1} dimensions")
        return x

    def optional(self, index: int) -> Tensor | None:
        """The input if it is there."""
        return self.inputs[index] if index < len(self.inputs) else None

    def constant(self, index: int, what: str) -> npt.NDArray[Any]:
        """The value of an input that must be constant."""
        tensor = self.tensor(index)
        if tensor.value is None:
            raise self.error(f"found a {what} that is computed from the input", expected=f"a constant {what}")
        return tensor.value

    def integers(self, index: int, what: str) -> list[int]:
        """A constant vector of integers (a shape, pads, axes)."""
        value = self.constant(index, what)
        if value.dtype.kind not in "iu" or value.size > 2 * MAX_RANK:
            raise self.error(f"found {value.size} values of type {value.dtype} as {what}", expected="a few integers")
        return [int(v) for v in value.reshape(-1)]

    def attribute(self, name: str, like: _Value, *, required: bool = False) -> _Value:
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

    def axes(self) -> list[int]:
        """Axes given as input 1 (later opsets) or as an attribute."""
        return self.integers(1, "axes") if self.optional(1) is not None else list(self.attribute("axes", ()))

    def axis(self, axis: int, rank: int) -> int:
        """An axis counted from the front."""
        if not -rank <= axis < rank:
            raise self.error(f"found axis {axis}", expected=f"an axis of {rank} dimensions")
        return axis % rank

    def check_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The output's shape, if it is neither empty nor absurdly large."""
        if any(size < 1 for size in shape) or int(np.prod(shape, dtype=object)) > MAX_ELEMENTS or len(shape) > MAX_RANK:
            raise self.error(f"found an output of shape {shape}", expected=f"1 to {MAX_ELEMENTS} elements")
        return shape

    def check_annotation(self, *annotations: npt.NDArray[Any]) -> None:
        """Refuse annotations that together would vary over too many elements to be held in memory."""
        shapes = [annotation.shape for annotation in annotations]
        if int(np.prod(broadcast(self, *shapes), dtype=object)) > MAX_ANNOTATION:
            raise self.error("combines constants that vary over too many elements", expected="constants per channel")

    def done(self, output: Tensor, **attributes: Any) -> tuple[Node, tuple[Tensor, ...]]:
        """The rule's result; keyword arguments replace or add attributes."""
        node = replace(self.node, attributes={**self.node.attributes, **attributes}) if attributes else self.node
        return node, (output,)

    def of_codes(self, shape: tuple[int, ...], codes: Codes) -> Tensor:
        """The output as integers, annotations compacted."""
        rank = len(shape)
        with np.errstate(all="ignore"):
            reach = np.abs(np.concatenate([end.reshape(-1) for end in codes.interval()])).max()
        if not reach <= np.finfo(np.float32).max:
            raise self.error("computes values beyond float32", expected="finite values", remedy="check the scales")
        return Tensor.of_codes(
            self.node.output,
            self.check_shape(shape),
            replace(
                codes,
                scale=align(codes.scale, rank),
                lo=align(codes.lo, rank),
                hi=align(codes.hi, rank),
                zero_point=align(codes.zero_point, rank),
            ),
        )

    def of_interval(self, shape: tuple[int, ...], lo: FloatArray, hi: FloatArray) -> Tensor:
        """The output as real values between two ends, in either order."""
        with np.errstate(all="ignore"):
            lo, hi = np.minimum(lo, hi), np.maximum(lo, hi)
        if not (np.isfinite(lo).all() and np.isfinite(hi).all()):
            raise self.error("computes values that are not finite", expected="finite constants", remedy="check them")
        return Tensor(self.node.output, self.check_shape(shape), align(lo, len(shape)), align(hi, len(shape)))

    def annotate(self, x: Tensor, shape: tuple[int, ...], change: Callable[[Any, Any], Any]) -> Tensor:
        """The output of an operation that moves elements: ``change(annotation, reduction)`` for each annotation."""
        if x.codes is None:
            return self.of_interval(shape, change(x.lo, np.min), change(x.hi, np.max))
        c = x.codes
        scale, zero_point = change(c.scale, None), change(c.zero_point, None)
        if scale is None or zero_point is None:  # elements of different scales meet: no integers behind them any more
            return self.of_interval(shape, change(x.lo, np.min), change(x.hi, np.max))
        lo, hi = change(c.lo, np.min), change(c.hi, np.max)
        return self.of_codes(shape, replace(c, scale=scale, zero_point=zero_point, lo=lo, hi=hi))


Rule = Callable[[Call], tuple[Node, tuple[Tensor, ...]]]


def align(array: npt.NDArray[Any], rank: int) -> npt.NDArray[Any]:
    """An annotation with no axis longer than it needs: 0-dimensional, or of the tensor's rank."""
    array = np.asarray(array)
    array = compact(array.reshape((1,) * (rank - array.ndim) + array.shape) if array.ndim < rank else array)
    return array.reshape(()) if array.size == 1 else array


def align_full(array: npt.NDArray[Any], rank: int) -> npt.NDArray[Any]:
    """An annotation of the tensor's full rank, its axes of length 1 where it does not vary."""
    return array.reshape((1,) * rank) if array.ndim == 0 else array


def broadcast(call: Call, *shapes: tuple[int, ...]) -> tuple[int, ...]:
    """The shape that shapes broadcast to."""
    try:
        return np.broadcast_shapes(*shapes)
    except ValueError as error:
        raise call.error(f"found shapes {shapes}", expected="shapes that broadcast") from error
