"""Pools: maxima keep the integers of their input; averages are integer sums at a smaller scale."""

from __future__ import annotations

from dataclasses import replace
from math import prod
from typing import Any

import numpy as np

from brevitas_a2q.bounds import IntRange
from brevitas_a2q.ir.datatypes import IntType
from brevitas_a2q.ir.network import Node
from brevitas_a2q.ir.rules.call import Call, align_full
from brevitas_a2q.ir.rules.windows import read_window
from brevitas_a2q.ir.tensor import Codes, Tensor

__all__ = ["average_pool", "global_average_pool", "global_max_pool", "max_pool", "reduce_mean"]

Result = tuple[Node, tuple[Tensor, ...]]


def _over_image(annotation: Any, reduction: Any) -> Any:
    """An annotation that says the same of every pixel."""
    if annotation.ndim == 0:
        return annotation
    axes = tuple(range(2, annotation.ndim))
    if reduction is None:
        first = annotation[(slice(None), slice(None)) + (slice(0, 1),) * len(axes)]
        return first if (annotation == first).all() else None
    return reduction(annotation, axis=axes, keepdims=True)


def max_pool(call: Call) -> Result:
    """MaxPool; padding never wins, as in ONNX."""
    x = call.stream(3)
    kernel = call.sizes("kernel_shape", (1,) * (len(x.shape) - 2), required=True)
    window = read_window(call, kernel, x.shape[2:])
    ceil_mode = bool(call.attribute("ceil_mode", 0))
    shape = (*x.shape[:2], *window.output_size(x.shape[2:], ceil_mode))
    node = replace(call.node, outputs=call.node.outputs[:1], attributes={**window.attributes, "ceil_mode": ceil_mode})
    return node, (call.annotate(x, call.check_shape(shape), _over_image),)


def global_max_pool(call: Call) -> Result:
    """GlobalMaxPool as a MaxPool whose kernel is the image."""
    size = call.stream(3).shape[2:]
    attributes = {"kernel_shape": size, "strides": size}
    return max_pool(replace(call, node=replace(call.node, op="MaxPool", attributes=attributes)))


def average_pool(call: Call) -> Result:
    """AveragePool: the integer sum of the window, at the scale divided by the window's size."""
    x = call.stream(3)
    kernel = call.sizes("kernel_shape", (1,) * (len(x.shape) - 2), required=True)
    window = read_window(call, kernel, x.shape[2:])
    padded = any(window.pads)
    if padded and not call.attribute("count_include_pad", 0):
        raise call.error(
            "found an average that leaves padding out",
            expected="count_include_pad=1 or no padding",
            remedy="pad before",
        )
    if call.attribute("ceil_mode", 0):
        rank = len(kernel)
        free = [x.shape[2 + d] + window.pads[d] + window.pads[d + rank] - kernel[d] for d in range(rank)]
        if any(free[d] % window.strides[d] for d in range(rank)):
            raise call.error("found ceil_mode with windows that overhang", expected="windows that fit")
    if kernel == x.shape[2:] and not padded:
        return global_average_pool(call)
    shape = (*x.shape[:2], *window.output_size(x.shape[2:]))
    node = replace(call.node, attributes=window.attributes)
    return node, (_mean(call, x, call.check_shape(shape), prod(kernel), padded),)


def global_average_pool(call: Call) -> Result:
    """GlobalAveragePool: the sum over all pixels, at the scale divided by their number."""
    x = call.stream(3)
    shape = (*x.shape[:2], *(1 for _ in x.shape[2:]))
    node = replace(call.node, op="GlobalAveragePool", inputs=(x.name,), attributes={})
    return node, (_mean(call, x, shape, prod(x.shape[2:]), padded=False),)


def reduce_mean(call: Call) -> Result:
    """ReduceMean over all spatial axes, with or without keeping them."""
    x = call.stream(3)
    rank = len(x.shape)
    axes = call.axes()
    if sorted(call.axis(a, rank) for a in axes) != list(range(2, rank)):
        raise call.error(f"found a mean over axes {axes}", expected="a mean over all spatial axes")
    node, (kept,) = global_average_pool(call)
    if call.attribute("keepdims", 1):
        return node, (kept,)
    pooled = replace(node, attributes={"keepdims": 0})
    return pooled, (call.annotate(kept, x.shape[:2], lambda a, _: a if a.ndim == 0 else a.reshape(a.shape[:2])),)


def _mean(call: Call, x: Tensor, shape: tuple[int, ...], count: int, padded: bool) -> Tensor:
    rank = len(x.shape)
    ends = [_over_image(align_full(end, rank), reduce) for end, reduce in ((x.lo, np.min), (x.hi, np.max))]
    codes = x.codes
    scale = None if codes is None else _over_image(align_full(codes.scale, rank), None)
    if codes is None or scale is None:
        lo, hi = (np.minimum(ends[0], 0), np.maximum(ends[1], 0)) if padded else ends
        return call.of_interval(shape, lo, hi)
    lo, hi = _over_image(align_full(codes.lo, rank), np.min), _over_image(align_full(codes.hi, rank), np.max)
    if padded:
        lo, hi = np.minimum(lo, 0), np.maximum(hi, 0)
    lo, hi = lo * count, hi * count
    dtype = IntType.smallest(IntRange(int(lo.min()), int(hi.max())))
    return call.of_codes(shape, Codes(scale / count, lo, hi, dtype, np.zeros((), np.int64)))
