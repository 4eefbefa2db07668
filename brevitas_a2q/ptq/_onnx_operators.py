"""ONNX operators without weights, as torch computes them; each takes the node's inputs and attributes.

Beside its own attributes a node has two more: the version of the operators that its file asks for, and how many outputs
it has, for some operators mean something else by them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import reduce
from math import prod
from typing import Any, Final, TypeAlias

import numpy as np
import onnx
import torch
import torch.nn.functional as F
from onnx import numpy_helper
from torch import Tensor, nn

__all__ = ["OPERATORS", "OPSET", "OUTPUTS", "Function"]

OPSET: Final = "opset of the file"
OUTPUTS: Final = "number of outputs"

Values: TypeAlias = Sequence[Any]  # tensors, None where an optional input is absent
Attributes: TypeAlias = Mapping[str, Any]
Operator: TypeAlias = Callable[[Values, Attributes], Any]


def _ints(value: Any) -> list[int]:
    return (
        [] if value is None else [int(v) for v in (value.reshape(-1).tolist() if isinstance(value, Tensor) else value)]
    )


def _axes(x: Values, a: Attributes, place: int = 1) -> list[int]:
    return _ints(a["axes"]) if "axes" in a else _ints(x[place]) if len(x) > place else []


def _unary(function: Callable[[Tensor], Tensor]) -> Operator:
    return lambda x, a: function(x[0])


def _binary(function: Callable[[Any, Any], Any]) -> Operator:
    return lambda x, a: function(x[0], x[1])


def _folded(function: Callable[[Tensor, Tensor], Tensor]) -> Operator:
    return lambda x, a: reduce(function, x)


def _reduce(function: Callable[[Tensor, list[int], bool], Tensor]) -> Operator:
    def compute(x: Values, a: Attributes) -> Tensor:
        axes = _axes(x, a)
        if not axes and a.get("noop_with_empty_axes"):
            return x[0]  # type: ignore[no-any-return]
        axes = axes or list(range(x[0].dim()))
        return function(x[0], axes, bool(a.get("keepdims", 1)))

    return compute


def _divide(x: Tensor, y: Tensor) -> Tensor:
    return x / y if x.is_floating_point() else torch.div(x, y, rounding_mode="trunc")


def _reshape(x: Values, a: Attributes) -> Tensor:
    shape = _ints(x[1])
    sizes = [x[0].shape[i] if size == 0 and not a.get("allowzero") else size for i, size in enumerate(shape)]
    return x[0].reshape(tuple(sizes))  # type: ignore[no-any-return]


def _squeeze(x: Values, a: Attributes) -> Tensor:
    axes = _axes(x, a)
    return x[0].squeeze(tuple(axes)) if axes else x[0].squeeze()  # type: ignore[no-any-return]


def _unsqueeze(x: Values, a: Attributes) -> Tensor:
    found = x[0]
    total = found.dim() + len(_axes(x, a))
    for axis in sorted(axis % total for axis in _axes(x, a)):
        found = found.unsqueeze(axis)
    return found  # type: ignore[no-any-return]


def _slice(x: Values, a: Attributes) -> Tensor:
    if "starts" in a:
        starts, ends, axes, steps = _ints(a["starts"]), _ints(a["ends"]), _ints(a.get("axes")), []
    else:
        starts, ends = _ints(x[1]), _ints(x[2])
        axes, steps = (_ints(x[i]) if len(x) > i else [] for i in (3, 4))
    found = x[0]
    for i, (start, end) in enumerate(zip(starts, ends, strict=True)):
        axis, step = axes[i] if axes else i, steps[i] if steps else 1
        size = found.shape[axis]
        index = torch.arange(size)[slice(start, None if step < 0 and end < -size else end, None)] if step > 0 else (
            torch.from_numpy(np.arange(size)[slice(start, None if end < -size else end, step)].copy())
        )  # fmt: skip
        found = found.index_select(axis, index[::step] if step > 1 else index)
    return found  # type: ignore[no-any-return]


def _cast(x: Values, a: Attributes) -> Tensor:
    kind = onnx.helper.tensor_dtype_to_np_dtype(a["to"])
    return x[0].to(torch.from_numpy(np.zeros(1, kind)).dtype)  # type: ignore[no-any-return]


def _expand(x: Values, a: Attributes) -> Tensor:
    shape = torch.broadcast_shapes(tuple(x[0].shape), tuple(_ints(x[1])))
    return x[0].expand(shape)  # type: ignore[no-any-return]


def _pad(x: Values, a: Attributes) -> Tensor:
    pads = _ints(a["pads"]) if "pads" in a else _ints(x[1])
    axes, rank = len(pads) // 2, x[0].dim()
    sides = {axis: (pads[axis], pads[axes + axis]) for axis in range(axes)}
    if len(x) > 3 and x[3] is not None:
        sides = {axis % rank: sides[place] for place, axis in enumerate(_ints(x[3]))}
    ends = [side for axis in reversed(range(rank)) for side in sides.get(axis, (0, 0))]
    mode = a.get("mode", b"constant").decode()
    if mode == "constant":
        fill = float(x[2]) if len(x) > 2 and x[2] is not None else float(a.get("value", 0.0))
        return F.pad(x[0], ends, value=fill)
    while len(ends) > 2 and ends[-2:] == [0, 0]:
        ends = ends[:-2]
    return F.pad(x[0], ends, mode={"reflect": "reflect", "edge": "replicate", "wrap": "circular"}[mode])


def _average_pool(x: Values, a: Attributes) -> Tensor:
    kernel = _ints(a["kernel_shape"])
    axes, pads = len(kernel), _ints(a.get("pads", [0] * 2 * len(kernel)))
    ends = [side for axis in reversed(range(axes)) for side in (pads[axis], pads[axes + axis])]
    pool = {1: F.avg_pool1d, 2: F.avg_pool2d, 3: F.avg_pool3d}[axes]

    steps, up, whole = _ints(a.get("strides", [1] * axes)), bool(a.get("ceil_mode")), bool(a.get("count_include_pad"))
    if pads[:axes] == pads[axes:] and all(2 * pad <= size for pad, size in zip(pads, kernel, strict=False)):
        return pool(x[0], kernel, steps, pads[:axes], up, whole)

    def mean(y: Tensor) -> Tensor:
        return pool(F.pad(y, ends), kernel, steps, 0, up)

    found = mean(x[0])
    return found if whole else found / mean(torch.ones_like(x[0]))  # each window's share that is no padding


def _softmax(function: Callable[[Tensor, int], Tensor]) -> Operator:
    def compute(x: Values, a: Attributes) -> Tensor:
        if a[OPSET] >= 13:
            return function(x[0], a.get("axis", -1))
        return function(_flatten(x, a), 1).reshape(x[0].shape)  # of all axes from that one on

    return compute


def _flatten(x: Values, a: Attributes) -> Tensor:
    shape = x[0].shape
    axis = a.get("axis", 1)
    before = prod(shape[:axis])
    return x[0].reshape(before, prod(shape) // max(before, 1))  # type: ignore[no-any-return]


def _split(x: Values, a: Attributes) -> tuple[Tensor, ...]:
    sizes = _ints(a["split"]) if "split" in a else _ints(x[1]) if len(x) > 1 else []
    axis = a.get("axis", 0)
    return tuple(x[0].split(sizes, axis) if sizes else x[0].chunk(a[OUTPUTS], axis))


def _gather(x: Values, a: Attributes) -> Tensor:
    axis, index = a.get("axis", 0), x[1].long()
    size = x[0].shape[axis]
    flat = torch.where(index < 0, index + size, index).reshape(-1)
    found = x[0].index_select(axis, flat)
    return found.reshape(*x[0].shape[:axis], *index.shape, *x[0].shape[axis % x[0].dim() + 1 :])  # type: ignore[no-any-return]


def _layer_norm(x: Values, a: Attributes) -> Tensor:
    axis = a.get("axis", -1) % x[0].dim()
    found = F.layer_norm(x[0], x[0].shape[axis:], eps=a.get("epsilon", 1e-5)) * x[1]
    return found if len(x) < 3 or x[2] is None else found + x[2]  # type: ignore[no-any-return]


def _gemm(x: Values, a: Attributes) -> Tensor:
    left, right = x[0].T if a.get("transA") else x[0], x[1].T if a.get("transB") else x[1]
    found = a.get("alpha", 1.0) * (left @ right)
    return found if len(x) < 3 or x[2] is None else found + a.get("beta", 1.0) * x[2]  # type: ignore[no-any-return]


def _clip(x: Values, a: Attributes) -> Tensor:
    low = x[1] if len(x) > 1 else a.get("min")
    high = x[2] if len(x) > 2 else a.get("max")
    if low is None and high is None:
        return x[0]  # type: ignore[no-any-return]
    return x[0].clamp(None if low is None else float(low), None if high is None else float(high))  # type: ignore[no-any-return]


def _constant_of_shape(x: Values, a: Attributes) -> Tensor:
    value = torch.from_numpy(numpy_helper.to_array(a["value"]).copy()) if "value" in a else torch.zeros(1)
    return value.reshape(()).expand(_ints(x[0])).clone()


def _gelu(x: Values, a: Attributes) -> Tensor:
    return F.gelu(x[0], approximate=a.get("approximate", b"none").decode())


def _matmul(x: Values, a: Attributes) -> Tensor:
    return x[0] @ x[1]  # type: ignore[no-any-return]


OPERATORS: Final[dict[str, Operator]] = {
    "Abs": _unary(torch.abs),
    "Add": _binary(lambda x, y: x + y),
    "AveragePool": _average_pool,
    "Cast": _cast,
    "Clip": _clip,
    "Concat": lambda x, a: torch.cat([torch.as_tensor(one) for one in x], a["axis"]),
    "ConstantOfShape": _constant_of_shape,
    "Cos": _unary(torch.cos),
    "Div": _binary(_divide),
    "Elu": lambda x, a: F.elu(x[0], a.get("alpha", 1.0)),
    "Equal": _binary(torch.eq),
    "Erf": _unary(torch.erf),
    "Exp": _unary(torch.exp),
    "Expand": _expand,
    "Flatten": _flatten,
    "Gather": _gather,
    "Gelu": _gelu,
    "Gemm": _gemm,
    "GlobalAveragePool": lambda x, a: x[0].mean(tuple(range(2, x[0].dim())), keepdim=True),
    "GlobalMaxPool": lambda x, a: x[0].amax(tuple(range(2, x[0].dim())), keepdim=True),
    "Greater": _binary(torch.gt),
    "GreaterOrEqual": _binary(torch.ge),
    "HardSigmoid": lambda x, a: (x[0] * a.get("alpha", 0.2) + a.get("beta", 0.5)).clamp(0, 1),
    "InstanceNormalization": lambda x, a: F.instance_norm(x[0], weight=x[1], bias=x[2], eps=a.get("epsilon", 1e-5)),
    "LayerNormalization": _layer_norm,
    "LeakyRelu": lambda x, a: F.leaky_relu(x[0], a.get("alpha", 0.01)),
    "Less": _binary(torch.lt),
    "LessOrEqual": _binary(torch.le),
    "Log": _unary(torch.log),
    "LogSoftmax": _softmax(lambda x, axis: x.log_softmax(axis)),
    "MatMul": _matmul,
    "Max": _folded(torch.maximum),
    "Mean": lambda x, a: reduce(torch.add, x) / len(x),
    "Min": _folded(torch.minimum),
    "Mul": _binary(lambda x, y: x * y),
    "Neg": _unary(torch.neg),
    "Not": _unary(torch.logical_not),
    "PRelu": lambda x, a: torch.where(x[0] < 0, x[0] * x[1], x[0]),
    "Pad": _pad,
    "Pow": _binary(lambda x, y: x**y),
    "Range": lambda x, a: torch.arange(float(x[0]), float(x[1]), float(x[2])).to(x[0].dtype),
    "Reciprocal": _unary(torch.reciprocal),
    "ReduceMax": _reduce(lambda x, axes, keep: x.amax(axes, keep)),
    "ReduceMean": _reduce(lambda x, axes, keep: x.mean(axes, keep)),
    "ReduceMin": _reduce(lambda x, axes, keep: x.amin(axes, keep)),
    "ReduceSum": _reduce(lambda x, axes, keep: x.sum(axes, keep)),
    "ReduceL2": _reduce(lambda x, axes, keep: x.square().sum(axes, keep).sqrt()),
    "Reshape": _reshape,
    "Shape": lambda x, a: torch.tensor(x[0].shape[a.get("start", 0) : a.get("end")], dtype=torch.int64),
    "Sin": _unary(torch.sin),
    "Slice": _slice,
    "Softmax": _softmax(lambda x, axis: x.softmax(axis)),
    "Softplus": _unary(F.softplus),
    "Split": _split,
    "Sqrt": _unary(torch.sqrt),
    "Squeeze": _squeeze,
    "Sub": _binary(lambda x, y: x - y),
    "Sum": _folded(torch.add),
    "Tile": lambda x, a: x[0].repeat(_ints(x[1])),
    "Transpose": lambda x, a: x[0].permute(_ints(a.get("perm")) or list(reversed(range(x[0].dim())))),
    "Unsqueeze": _unsqueeze,
    "Where": lambda x, a: torch.where(x[0], x[1], x[2]),
}


class Function(nn.Module):
    """A node: its operator with the inputs that are constants.

    Args:
        op: Name in :data:`OPERATORS`.
        attributes: Of the node.
        fixed: Inputs, None for those that are given in each call (or absent).
        places: Of those that are given.
    """

    def __init__(self, op: str, attributes: Attributes, fixed: Sequence[Tensor | None], places: Sequence[int]) -> None:
        super().__init__()
        self.op, self.attributes, self.places = op, dict(attributes), tuple(places)
        self.count = len(fixed)
        for i, value in enumerate(fixed):
            self.register_buffer(f"input_{i}", None if value is None else value)

    def forward(self, *given: Tensor) -> Any:
        """The node's output."""
        values: list[Any] = [getattr(self, f"input_{i}") for i in range(self.count)]
        for place, value in zip(self.places, given, strict=True):
            values[place] = value
        return OPERATORS[self.op](values, self.attributes)
