"""Nodes whose inputs are constants, computed once: the shape arithmetic and constants that exporters leave behind."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

from brevitas_a2q._ir.elementwise import evaluate
from brevitas_a2q._ir.network import Node
from brevitas_a2q._ir.onnx_file import MAX_RANK
from brevitas_a2q._ir.tensor import MAX_ANNOTATION, Tensor

__all__ = ["folded", "is_approximate"]

Array = npt.NDArray[Any]

_UNARY: dict[str, Callable[[Array], Array]] = {
    "Abs": np.abs,
    "Ceil": np.ceil,
    "Floor": np.floor,
    "Neg": np.negative,
    "Reciprocal": lambda x: 1 / x,
    "Relu": lambda x: np.maximum(x, 0),
    "Round": np.round,
    "Sqrt": np.sqrt,
}

# Functions of which every executor computes an approximation of its own.
_ELEMENTARY: dict[str, Callable[..., Array]] = {"Exp": np.exp, "Log": np.log, "Pow": np.power}

_CASTS = {
    onnx.TensorProto.FLOAT: np.float32,
    onnx.TensorProto.DOUBLE: np.float64,
    onnx.TensorProto.INT32: np.int32,
    onnx.TensorProto.INT64: np.int64,
}


def folded(node: Node, inputs: Sequence[Tensor | None]) -> Array | None:
    """The value of a node that needs no input of the network; None where this node is not of that kind.

    Raises:
        OnnxFileError: Where the operation cannot be carried out on these constants.
    """
    if node.op == "Constant":
        return _constant(node)
    if node.op == "Shape" and inputs and inputs[0] is not None:
        # From opset 15 on a part of the shape may be asked for; ends are cut off as Python cuts them.
        part = slice(node.attributes.get("start", 0), node.attributes.get("end"))
        return np.array(inputs[0].shape[part], np.int64)
    values = [None if tensor is None else tensor.value for tensor in inputs]
    if not values or any(v is None for v in values):
        return None
    arrays = [v for v in values if v is not None]
    try:
        return _computed(node, arrays)
    except (ValueError, IndexError, TypeError, OverflowError) as error:
        raise node.error(f"cannot be computed ({error})", expected="constants that fit the operator") from error


def _constant(node: Node) -> Array:
    for name, dtype in (("value", None), ("value_float", np.float32), ("value_floats", np.float32)):
        if name in node.attributes:
            return np.asarray(node.attributes[name], dtype)
    for name in ("value_int", "value_ints"):
        if name in node.attributes:
            return np.asarray(node.attributes[name], np.int64)
    raise node.error("has no value", expected="a tensor or numbers")


def _computed(node: Node, arrays: list[Array]) -> Array | None:
    a = node.attributes
    if node.op in ("Add", "Sub", "Mul", "Div") and len(arrays) == 2:
        shape = np.broadcast_shapes(arrays[0].shape, arrays[1].shape)
        if prod(shape) > max(MAX_ANNOTATION, arrays[0].size, arrays[1].size):
            raise ValueError(f"a result of shape {shape}")
        if node.op == "Div" and arrays[0].dtype.kind in "iu":
            if (arrays[1] == 0).any():
                raise ValueError("division by zero")
            quotient = np.abs(arrays[0]) // np.abs(arrays[1])  # rounded toward zero, as in C
            return np.asarray(quotient * np.sign(arrays[0]) * np.sign(arrays[1]), arrays[0].dtype)
        return _finite(evaluate(node.op, arrays[0], arrays[1:], {}))
    if node.op in _UNARY and len(arrays) == 1:
        with np.errstate(all="ignore"):
            return _finite(np.asarray(_UNARY[node.op](arrays[0])))
    if node.op in _ELEMENTARY and len(arrays) == (2 if node.op == "Pow" else 1):
        return _elementary(_ELEMENTARY[node.op], arrays)
    if node.op == "ConstantOfShape" and len(arrays) == 1 and arrays[0].dtype.kind in "iu":
        shape = tuple(int(n) for n in arrays[0].reshape(-1))
        if len(shape) > MAX_RANK or any(n < 0 for n in shape) or prod(shape) > MAX_ANNOTATION:
            raise ValueError(f"a tensor of shape {shape}")
        return np.full(shape, a.get("value", np.zeros(1, np.float32)).reshape(-1)[0])
    if node.op == "Cast" and len(arrays) == 1 and a.get("to") in _CASTS:
        with np.errstate(all="ignore"):
            return _finite(arrays[0].astype(_CASTS[a["to"]]))
    if node.op == "Gather" and len(arrays) == 2 and arrays[1].dtype.kind in "iu" and arrays[1].size <= 1 << 10:
        return np.asarray(np.take(arrays[0], arrays[1], axis=int(a.get("axis", 0))))
    if node.op == "Slice" and 3 <= len(arrays) <= 5 and all(v.size <= MAX_RANK for v in arrays[1:]):
        starts, ends = arrays[1].reshape(-1), arrays[2].reshape(-1)
        axes = arrays[3].reshape(-1) if len(arrays) > 3 else np.arange(starts.size)
        steps = arrays[4].reshape(-1) if len(arrays) > 4 else np.ones_like(starts)
        index: list[slice] = [slice(None)] * arrays[0].ndim
        for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
            index[int(axis)] = slice(int(start), int(end), int(step))
        return arrays[0][tuple(index)]
    return None


def _elementary(function: Callable[..., Array], arrays: list[Array]) -> Array | None:
    """The result nearest to that of real numbers; of integers only where it is one that double precision holds."""
    dtype = arrays[0].dtype
    if len(arrays) == 2 and 1 not in (array.size for array in arrays):
        return None
    with np.errstate(all="ignore"):
        real = function(*(array.astype(np.float64) for array in arrays))
        found = real.astype(dtype)
    if dtype.kind == "f":
        return _finite(found)
    return found if (np.abs(real) < 2.0**53).all() and np.array_equal(found, real) else None


def is_approximate(node: Node, inputs: Sequence[Tensor | None], value: Array) -> bool:
    """Whether executors may compute a constant otherwise, in its last places."""
    function = _ELEMENTARY.get(node.op)
    if function is None:
        return False
    with np.errstate(all="ignore"):
        real = function(*(tensor.value.astype(np.float64) for tensor in inputs if tensor and tensor.value is not None))
    return not np.array_equal(value, real)


def _finite(value: Array) -> Array:
    if value.dtype.kind == "f" and not np.isfinite(value).all():
        raise ValueError("the result is not finite")
    return value
