"""Operations that move, copy or select elements: values stay what they are, only their places change."""

from __future__ import annotations

import itertools
from math import prod

import numpy as np

from brevitas_a2q._ir.rules.call import Call, Result, Unstated
from brevitas_a2q._ir.tensor import Tensor
from brevitas_a2q._ranges import Codes, Value, table
from brevitas_a2q._ranges.annotation import broadcast_shape

__all__ = [
    "concat",
    "expand",
    "flatten",
    "gather",
    "label",
    "pad",
    "reshape",
    "slice_",
    "split",
    "squeeze",
    "tile",
    "transpose",
    "unsqueeze",
]


def _as_reshape(call: Call, shape: tuple[int, ...]) -> Result:
    call.check_shape(shape)
    return call.done(table.reshape(call.tensor(0), shape), op="Reshape", inputs=1, attributes={"shape": shape})


def reshape(call: Call) -> Result:
    """Reshape to a constant shape; 0 copies a dimension, -1 is inferred."""
    x, wanted = call.tensor(0), call.integers(1, "shape")
    copied = not call.attribute("allowzero", 0)
    shape = [x.shape[d] if v == 0 and copied and d < len(x.shape) else v for d, v in enumerate(wanted)]
    if shape.count(-1) > 1 or any(v < -1 or v == 0 for v in shape):
        raise call.error(f"found shape {wanted}", expected="static, positive dimensions")
    known = prod(v for v in shape if v != -1)
    return _as_reshape(call, tuple(prod(x.shape) // known if v == -1 else v for v in shape))


def flatten(call: Call) -> Result:
    """Flatten to two dimensions around an axis."""
    x = call.tensor(0)
    axis = call.attribute("axis", 1)
    if not -len(x.shape) <= axis <= len(x.shape):
        raise call.error(f"found axis {axis}", expected=f"an axis of {len(x.shape)} dimensions")
    axis = axis + len(x.shape) if axis < 0 else axis
    return _as_reshape(call, (prod(x.shape[:axis]), prod(x.shape[axis:])))


def squeeze(call: Call) -> Result:
    """Squeeze; axes as input (opset 13 on) or attribute."""
    x, axes = call.tensor(0), call.axes()
    drop = {call.axis(a, len(x.shape)) for a in axes} if axes else {d for d, n in enumerate(x.shape) if n == 1}
    if any(x.shape[d] != 1 for d in drop):
        raise call.error(f"found axes {sorted(drop)} of shape {x.shape}", expected="axes of length 1")
    return _as_reshape(call, tuple(n for d, n in enumerate(x.shape) if d not in drop))


def unsqueeze(call: Call) -> Result:
    """Unsqueeze; axes as input (opset 13 on) or attribute."""
    x, axes = call.tensor(0), call.axes() or []
    rank = len(x.shape) + len(axes)
    places = {call.axis(a, rank) for a in axes}
    if len(places) != len(axes):
        raise call.error(f"found axes {axes}", expected="each axis once")
    sizes = iter(x.shape)
    return _as_reshape(call, tuple(1 if d in places else next(sizes) for d in range(rank)))


def transpose(call: Call) -> Result:
    """Transpose: axes in another order."""
    x = call.tensor(0)
    order = call.attribute("perm", tuple(reversed(range(len(x.shape)))))
    return call.done(table.permute(x, order), attributes={"perm": order})


def concat(call: Call) -> Result:
    """Concat of streams, of constants, or of both."""
    parts = [call.tensor(i) for i in range(len(call.inputs))]
    if len({part.element for part in parts}) > 1:
        raise call.error(f"found elements of {len({part.element for part in parts})} types", expected="one type")
    axis = call.axis(call.attribute("axis", 0, required=True), len(parts[0].shape))
    if all(len(part.shape) == len(parts[0].shape) for part in parts):
        joined = sum(part.shape[axis] for part in parts)
        call.check_shape(tuple(joined if d == axis else n for d, n in enumerate(parts[0].shape)))
    return call.done(table.concat(parts, axis), attributes={"axis": axis})


def pad(call: Call) -> Result:
    """Pad with a value, or with copies of elements; pads as inputs (opset 11 on) or attributes."""
    x, mode = call.tensor(0), call.attribute("mode", "constant")
    rank = len(x.shape)
    if call.opset >= 11:
        pads, given = call.integers(1, "pads"), call.optional(2)
        value = call.constant(2, "pad value") if given is not None else np.zeros((), x.element)
    else:
        pads, value = list(call.attribute("pads", (), required=True)), np.asarray(call.attribute("value", 0.0))
    axes = [call.axis(a, rank) for a in call.integers(3, "axes")] if call.optional(3) is not None else list(range(rank))
    if len(pads) != 2 * len(axes) or len(set(axes)) != len(axes) or any(abs(p) >= 1 << 20 for p in pads):
        raise call.error(f"found pads {pads}", expected=f"{2 * len(axes)} small integers")
    if value.size != 1:
        raise call.error(f"found {value.size} pad values", expected="one")
    sides = [(0, 0)] * rank
    for index, axis in enumerate(axes):
        sides[axis] = (pads[index], pads[index + len(axes)])
    fill = float(value.reshape(()))
    call.check_shape(tuple(max(1, n + before + behind) for n, (before, behind) in zip(x.shape, sides, strict=True)))
    result = table.pad(x, sides, fill, mode)
    if not any(before or behind for before, behind in sides):
        return call.done(x, op="Identity", inputs=1)
    plain = mode == "constant" and fill == 0 and all(min(side) >= 0 for side in sides)
    everywhere = tuple(before for before, _ in sides) + tuple(behind for _, behind in sides)
    return (
        call.done(result, inputs=1, attributes={"pads": everywhere})
        if plain
        else call.island(result, reason="padding with other than zeros")
    )


def slice_(call: Call) -> Result:
    """Slice by constants, given as inputs (opset 10 on) or attributes."""
    x = call.tensor(0)
    rank = len(x.shape)
    if call.opset >= 10:
        starts, ends = call.integers(1, "starts"), call.integers(2, "ends")
        axes = call.integers(3, "axes") if call.optional(3) is not None else list(range(len(starts)))
        steps = call.integers(4, "steps") if call.optional(4) is not None else [1] * len(starts)
    else:
        starts, ends = list(call.attribute("starts", ())), list(call.attribute("ends", ()))
        axes, steps = list(call.attribute("axes", tuple(range(len(starts))))), [1] * len(starts)
    if not len(starts) == len(ends) == len(axes) == len(steps) or 0 in steps:
        raise call.error(f"found starts {starts}, ends {ends}, axes {axes}, steps {steps}", expected="as many of each")
    result: Value = x
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        place = call.axis(axis, rank)
        places = range(x.shape[place])[slice(start, end, step)]
        if not len(places):
            raise Unstated("a slice without elements")
        result = table.take(result, place, places)
    return call.island(result, reason="a slice")


def split(call: Call) -> Result:
    """Split in equal or given parts."""
    x = call.tensor(0)
    axis = call.axis(call.attribute("axis", 0), len(x.shape))
    size, count = x.shape[axis], len(call.node.outputs)
    if call.opset >= 13:
        sizes = call.integers(1, "parts") if call.optional(1) is not None else None
    else:
        sizes = list(call.attribute("split", ())) or None
    if sizes is None:
        if size % count and call.opset < 18:
            raise call.error(f"found {size} elements in {count} parts", expected="equal parts")
        each = -(-size // count)
        sizes = [each] * (count - 1) + [size - each * (count - 1)]
    if sum(sizes) != size or len(sizes) != count or min(sizes) < 1:
        raise call.error(f"found parts {sizes} of {size} elements", expected=f"{count} parts")
    edges = np.cumsum([0, *sizes])
    parts = (table.take(x, axis, range(a, b)) for a, b in itertools.pairwise(edges.tolist()))
    return call.island(*parts, reason="a split")


def gather(call: Call) -> Result:
    """Gather along an axis, by constant indices or by indices that are data."""
    x, indices = call.tensor(0), call.tensor(1)
    axis = call.axis(call.attribute("axis", 0), len(x.shape))
    shape = call.check_shape((*x.shape[:axis], *indices.shape, *x.shape[axis + 1 :]))
    count = prod(indices.shape)
    if indices.number is None:
        return call.island(table.reshape(table.take_any(x, axis, count), shape), reason="a gather")
    taken = table.take(x, axis, indices.number.reshape(-1).astype(np.int64))
    return call.island(table.reshape(taken, shape), reason="a gather")


def expand(call: Call) -> Result:
    """Expand to a shape that both broadcast to."""
    x = call.tensor(0)
    shape = call.check_shape(broadcast_shape(x.shape, tuple(call.integers(1, "shape"))))
    return call.island(table.expand(x, shape), reason="an expansion")


def tile(call: Call) -> Result:
    """Tile: the whole tensor repeated along each axis."""
    x, repeats = call.tensor(0), call.integers(1, "repeats")
    if len(repeats) != len(x.shape) or any(not 1 <= n < 1 << 20 for n in repeats):
        raise call.error(f"found repeats {repeats}", expected=f"{len(x.shape)} counts")
    call.check_shape(tuple(n * m for n, m in zip(x.shape, repeats, strict=True)))
    return call.island(table.tile(x, repeats), reason="a tiling")


def label(call: Call) -> Result:
    """TopK and ArgMax: indices of the highest values along an axis."""
    x, top = call.stream(1), call.node.op == "TopK"
    axis = call.axis(call.attribute("axis", -1 if top else 0), len(x.shape))
    k = _count(call) if top else 1
    if not 1 <= k <= x.shape[axis]:
        raise call.error(f"found the {k} highest of {x.shape[axis]}", expected="no more than there are")
    keep = top or bool(call.attribute("keepdims", 1))
    shape = tuple(k if d == axis else n for d, n in enumerate(x.shape) if keep or d != axis)
    codes = Codes.plain(np.ones(()), np.zeros((), np.int64), np.asarray(x.shape[axis] - 1))
    indices = Tensor.named("", Value.of_codes(shape, codes, "an index"), np.dtype(np.int64))
    values = table.take_any(x, axis, k)
    outputs = (values, indices)[: len(call.node.outputs)] if top else (indices,)
    usual = x.shape[axis] == prod(x.shape[1:]) and call.attribute("largest", 1) and (not top or len(outputs) == 2)
    if not usual or call.attribute("select_last_index", 0) or call.node.op == "ArgMin":
        return call.island(*outputs, reason="labels of several vectors")
    return call.done(*outputs, inputs=1, attributes={"axis": axis, "k": k, "keepdims": int(keep)})


def _count(call: Call) -> int:
    if call.opset < 10:
        return call.attribute("k", 0, required=True)
    found = call.integers(1, "k")
    if len(found) != 1:
        raise call.error(f"found k = {found}", expected="one number")
    return found[0]
