"""Operations that move, copy or select elements: values stay what they are, only their places change."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import prod
from typing import Any

import numpy as np

from brevitas_a2q.bounds import IntRange
from brevitas_a2q.ir.datatypes import IntType
from brevitas_a2q.ir.network import Node
from brevitas_a2q.ir.rules.call import Call, align, align_full, broadcast
from brevitas_a2q.ir.tensor import MAX_ANNOTATION, Codes, Tensor

__all__ = [
    "concat",
    "depth_to_space",
    "flatten",
    "label",
    "pad",
    "reshape",
    "resize",
    "softmax",
    "squeeze",
    "transpose",
    "unsqueeze",
    "upsample",
]

Result = tuple[Node, tuple[Tensor, ...]]


def _moved(call: Call, node: Node, x: Tensor, shape: tuple[int, ...], move: Callable[[Any], Any]) -> Result:
    """The output of ``move``, applied to a constant or, spread over all elements, to each annotation."""
    call.check_shape(shape)

    def spread(annotation: Any) -> Any:
        if annotation.size == 1:
            return annotation.reshape(())
        return align(move(np.broadcast_to(annotation, x.shape)), len(shape))

    if x.value is not None:
        if x.codes is None or x.integers is None:
            return node, (Tensor.of_value(node.output, move(x.value)),)
        integers = np.ascontiguousarray(move(x.integers))
        codes = replace(
            x.codes, scale=spread(x.codes.scale), zero_point=spread(x.codes.zero_point), lo=integers, hi=integers
        )
        return node, (Tensor.of_value(node.output, move(x.value), codes, integers),)

    def change(annotation: Any, reduction: Any) -> Any:
        if annotation.size == 1:
            return annotation.reshape(())
        if x.size > MAX_ANNOTATION:
            return None if reduction is None else np.asarray(reduction(annotation))
        return move(np.broadcast_to(annotation, x.shape))

    return node, (call.annotate(x, shape, change),)


def _as_reshape(call: Call, shape: tuple[int, ...]) -> Result:
    x = call.tensor(0)
    if prod(shape) != prod(x.shape):
        raise call.error(f"found shape {shape} for {prod(x.shape)} elements", expected="as many elements as before")
    node = replace(call.node, op="Reshape", inputs=(x.name,), attributes={"shape": shape})
    return _moved(call, node, x, shape, lambda array: array.reshape(shape))


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
    x = call.tensor(0)
    axes = call.axes()
    drop = {call.axis(a, len(x.shape)) for a in axes} if axes else {d for d, n in enumerate(x.shape) if n == 1}
    if any(x.shape[d] != 1 for d in drop):
        raise call.error(f"found axes {sorted(drop)} of shape {x.shape}", expected="axes of length 1")
    return _as_reshape(call, tuple(n for d, n in enumerate(x.shape) if d not in drop))


def unsqueeze(call: Call) -> Result:
    """Unsqueeze; axes as input (opset 13 on) or attribute."""
    x, axes = call.tensor(0), call.axes()
    rank = len(x.shape) + len(axes)
    places = {call.axis(a, rank) for a in axes}
    if len(places) != len(axes):
        raise call.error(f"found axes {axes}", expected="each axis once")
    sizes = iter(x.shape)
    return _as_reshape(call, tuple(1 if d in places else next(sizes) for d in range(rank)))


def transpose(call: Call) -> Result:
    """Transpose."""
    x = call.tensor(0)
    order = call.attribute("perm", tuple(reversed(range(len(x.shape)))))
    if sorted(order) != list(range(len(x.shape))):
        raise call.error(f"found perm {order}", expected=f"a permutation of {len(x.shape)} axes")
    node = replace(call.node, attributes={"perm": order})
    return _moved(call, node, x, tuple(x.shape[d] for d in order), lambda array: array.transpose(order))


def concat(call: Call) -> Result:
    """Concat of streams, of constants, or of both."""
    parts = [call.tensor(i) for i in range(len(call.inputs))]
    rank = len(call.tensor(0).shape)
    axis = call.axis(call.attribute("axis", 0, required=True), rank)
    rest = {tuple(n for d, n in enumerate(p.shape) if d != axis) for p in parts}
    if len(rest) != 1 or any(len(p.shape) != rank for p in parts):
        raise call.error(
            f"found shapes {[p.shape for p in parts]}", expected=f"shapes that differ along axis {axis} only"
        )
    shape = list(parts[0].shape)
    shape[axis] = sum(p.shape[axis] for p in parts)
    node = replace(call.node, attributes={"axis": axis})
    if all(p.value is not None for p in parts):
        return node, (Tensor.of_value(node.output, np.concatenate([p.value for p in parts], axis=axis)),)

    def join(arrays: list[Any]) -> Any:
        full = [align_full(a, rank) for a in arrays]
        common = broadcast(call, *(tuple(1 if d == axis else n for d, n in enumerate(a.shape)) for a in full))
        if prod(common) * shape[axis] > MAX_ANNOTATION:
            raise call.error("joins ranges that vary over too many elements", expected="ranges per channel")
        spread = [
            np.broadcast_to(a, tuple(p.shape[axis] if d == axis else n for d, n in enumerate(common)))
            for a, p in zip(full, parts, strict=True)
        ]
        return np.concatenate(spread, axis=axis)

    if any(p.codes is None for p in parts):
        return node, (call.of_interval(tuple(shape), join([p.lo for p in parts]), join([p.hi for p in parts])),)
    codes = [p.codes for p in parts if p.codes is not None]
    types = {c.dtype.name for c in codes}
    lo, hi = join([c.lo for c in codes]), join([c.hi for c in codes])
    joined = Codes(
        scale=join([c.scale for c in codes]),
        lo=lo,
        hi=hi,
        dtype=codes[0].dtype if len(types) == 1 else IntType.smallest(IntRange(int(lo.min()), int(hi.max()))),
        zero_point=join([c.zero_point for c in codes]) if len(types) == 1 else np.zeros((), np.int64),
        narrow=all(c.narrow for c in codes),
    )
    return node, (call.of_codes(tuple(shape), joined),)


def pad(call: Call) -> Result:
    """Pad with zeros."""
    x = call.stream(1)
    rank = len(x.shape)
    pads = call.integers(1, "pads") if call.optional(1) is not None else list(call.attribute("pads", ()))
    value = call.constant(2, "pad value") if call.optional(2) is not None else np.asarray(call.attribute("value", 0.0))
    if call.optional(3) is not None:
        raise call.error("found pads of chosen axes", expected="pads of all axes")
    if len(pads) != 2 * rank or any(not 0 <= p < 1 << 20 for p in pads):
        raise call.error(f"found pads {pads}", expected=f"{2 * rank} integers from 0 up")
    if call.attribute("mode", "constant") != "constant" or value.size != 1 or float(value.reshape(())) != 0:
        raise call.error("found padding with something else than zeros", expected="zeros")
    shape = tuple(n + pads[d] + pads[d + rank] for d, n in enumerate(x.shape))
    padded = tuple(d for d in range(rank) if pads[d] or pads[d + rank])

    def change(annotation: Any, reduction: Any) -> Any:
        if annotation.ndim == 0:
            return annotation if reduction is None else reduction([annotation, 0])
        if reduction is None:
            first = annotation.take([0], axis=padded[0]) if len(padded) == 1 else annotation
            return annotation if all(annotation.shape[d] == 1 for d in padded) else (first if first.size == 1 else None)
        bound = reduction(annotation, axis=padded, keepdims=True)
        return np.minimum(bound, 0) if reduction is np.min else np.maximum(bound, 0)

    node = replace(call.node, inputs=(x.name,), attributes={"pads": tuple(pads)})
    if not padded:
        return replace(node, op="Identity", attributes={}), (replace(x, name=node.output),)
    return node, (call.annotate(x, call.check_shape(shape), change),)


def upsample(call: Call) -> Result:
    """Upsample (opset 9): nearest neighbours by constant scales."""
    if call.attribute("mode", "nearest") != "nearest":
        raise call.error("interpolates", expected="nearest neighbours", remedy="use mode='nearest'")
    return _nearest(call, [float(v) for v in call.constant(1, "scales").reshape(-1)])


def resize(call: Call) -> Result:
    """Resize: nearest neighbours by integer factors, given as scales or as sizes."""
    x = call.stream(3)
    if call.attribute("mode", "nearest") != "nearest":
        raise call.error("interpolates", expected="nearest neighbours", remedy="use mode='nearest'")
    where = call.attribute("coordinate_transformation_mode", "half_pixel")
    rounding = call.attribute("nearest_mode", "round_prefer_floor")
    # For an integer factor f both of these read pixel floor(i / f); other combinations do not.
    if (where, rounding) != ("asymmetric", "floor") and (where, rounding[:5]) != ("half_pixel", "round"):
        raise call.error(
            f"found coordinates {where}, {rounding}", expected="asymmetric with floor, or half_pixel with round"
        )
    sizes = call.optional(3)
    if sizes is not None and sizes.value is not None and sizes.value.size:
        return _nearest(call, [v / n for v, n in zip(call.integers(3, "sizes"), x.shape, strict=False)])
    return _nearest(call, [float(v) for v in call.constant(2, "scales").reshape(-1)])


def _nearest(call: Call, factors: list[float]) -> Result:
    x = call.stream(3)
    whole = [int(f) if 1 <= f < 1 << 16 and f % 1 == 0 else 0 for f in factors]
    if len(whole) != len(x.shape) or not all(whole) or any(f != 1 for f in whole[:2]):
        raise call.error(f"found factors {factors}", expected="integer factors of the spatial dimensions")
    node = replace(call.node, op="Upsample", inputs=(x.name,), attributes={"scales": tuple(whole)})
    shape = call.check_shape(tuple(n * f for n, f in zip(x.shape, whole, strict=True)))

    def change(annotation: Any, reduction: Any) -> Any:
        if annotation.ndim == 0 or all(n == 1 for n in annotation.shape[2:]):
            return annotation
        return None if reduction is None else np.asarray(reduction(annotation))

    return node, (call.annotate(x, shape, change),)


def depth_to_space(call: Call) -> Result:
    """DepthToSpace (pixel shuffle), modes DCR and CRD."""
    x, block, mode = call.stream(4), call.attribute("blocksize", 1, required=True), call.attribute("mode", "DCR")
    n, c, h, w = x.shape if len(x.shape) == 4 else (0, 0, 0, 0)
    if not 1 <= block <= 1 << 10 or n == 0 or c % block**2 or mode not in ("DCR", "CRD"):
        raise call.error(f"found block size {block}, mode {mode}, shape {x.shape}", expected="channels in blocks")
    shape = (n, c // block**2, h * block, w * block)
    node = replace(call.node, attributes={"blocksize": block, "mode": mode})

    def change(annotation: Any, reduction: Any) -> Any:
        if annotation.ndim == 0:
            return annotation
        if reduction is None:
            return None
        split = (block**2, c // block**2) if mode == "DCR" else (c // block**2, block**2)
        per_channel = np.broadcast_to(reduction(annotation, axis=(0, 2, 3)), (c,)).reshape(split)
        return reduction(per_channel, axis=0 if mode == "DCR" else 1).reshape(1, -1, 1, 1)

    return node, (call.annotate(x, call.check_shape(shape), change),)


def label(call: Call) -> Result:
    """TopK and ArgMax along the last axis: indices of the highest values."""
    x, top = call.stream(1), call.node.op == "TopK"
    axis = call.axis(call.attribute("axis", -1 if top else 0), len(x.shape))
    k = call.integers(1, "k")[0] if top and call.integers(1, "k") else 1
    if x.shape[axis] != prod(x.shape[1:]) or not 1 <= k <= x.shape[axis] or not call.attribute("largest", 1):
        raise call.error(f"found the {k} highest along axis {axis} of {x.shape}", expected="one vector of labels")
    keep = top or call.attribute("keepdims", 1)
    shape = tuple(k if d == axis else n for d, n in enumerate(x.shape) if keep or d != axis)
    zero, last = np.zeros((), np.int64), np.asarray(x.shape[axis] - 1)
    codes = Codes(np.ones(()), zero, last, IntType.smallest(IntRange(0, x.shape[axis] - 1)), zero)
    indices = Tensor.of_codes(call.node.outputs[-1], call.check_shape(shape), codes)
    node = replace(call.node, inputs=(x.name,), attributes={"axis": axis, "k": k, "keepdims": int(bool(keep))})
    if not top:
        return node, (indices,)
    if len(node.outputs) != 2:
        raise call.error(f"has {len(node.outputs)} outputs", expected="values and indices")
    return node, (Tensor(node.outputs[0], shape, np.asarray(x.lo.min()), np.asarray(x.hi.max())), indices)


def softmax(call: Call) -> Result:
    """Softmax and LogSoftmax, after which nothing can be computed on integers."""
    x, log = call.stream(1), call.node.op == "LogSoftmax"
    axis = call.axis(call.attribute("axis", -1), len(x.shape))
    node = replace(call.node, attributes={"axis": axis})
    lo = np.asarray(float((x.lo.min() - x.hi.max()) - np.log(x.shape[axis])) if log else 0.0)
    return node, (call.of_interval(x.shape, lo, np.asarray(0.0 if log else 1.0)),)
