"""Pools and reductions: maxima keep the integers of their input; averages are integer sums at a smaller scale."""

from __future__ import annotations

from dataclasses import replace
from math import prod

import numpy as np

from brevitas_a2q._ir.rules.call import Call, Result, Unstated
from brevitas_a2q._ir.rules.windows import read_window, window_attributes
from brevitas_a2q._ir.tensor import Tensor
from brevitas_a2q._ranges import Codes, Value, table

__all__ = ["average_pool", "global_average_pool", "global_max_pool", "max_pool", "reduction"]


def max_pool(call: Call) -> Result:
    """MaxPool; padding never wins, as in ONNX. Its second output is a place in the input."""
    x = call.stream(3)
    kernel = call.sizes("kernel_shape", (1,) * (len(x.shape) - 2), required=True)
    ceil_mode = bool(call.attribute("ceil_mode", 0))
    window = read_window(call, kernel, x.shape[2:], ceil_mode)
    result = table.max_pool(x, window)
    places = Codes.plain(np.ones(()), np.zeros((), np.int64), np.asarray(prod(x.shape) - 1))
    indices = Tensor.named("", Value.of_codes(result.shape, places, "an index"), np.dtype(np.int64))
    if len(call.node.outputs) > 1:
        return call.island(result, indices, reason="places of maxima")
    return call.done(result, attributes={**window_attributes(window), "ceil_mode": ceil_mode})


def global_max_pool(call: Call) -> Result:
    """GlobalMaxPool as a MaxPool whose kernel is the image."""
    size = call.stream(3).shape[2:]
    attributes = {"kernel_shape": size, "strides": size}
    return max_pool(replace(call, node=replace(call.node, op="MaxPool", attributes=attributes)))


def average_pool(call: Call) -> Result:
    """AveragePool: the integer sum of the window, at the scale divided by the window's size."""
    x = call.stream(3)
    kernel = call.sizes("kernel_shape", (1,) * (len(x.shape) - 2), required=True)
    window = read_window(call, kernel, x.shape[2:], bool(call.attribute("ceil_mode", 0)))
    include = bool(call.attribute("count_include_pad", 0))
    size = x.shape[2:]
    if kernel == size and not window.padded and not window.overhangs(size):
        return global_average_pool(replace(call, node=replace(call.node, attributes={})))
    result = table.average_pool(x, window, count_include_pad=include)
    if window.overhangs(size) or (window.padded and not include):
        return call.island(result, reason="windows of several sizes")
    if window.dilation != (1,) * len(kernel):
        return call.island(result, reason="an average of spread elements")
    return call.done(result, attributes=window_attributes(window))


def global_average_pool(call: Call) -> Result:
    """GlobalAveragePool: the sum over all pixels, at the scale divided by their number."""
    x = call.stream(3)
    return call.done(table.mean(x, range(2, len(x.shape))), op="GlobalAveragePool", inputs=1)


def reduction(call: Call) -> Result:
    """ReduceMean, ReduceSum, ReduceMax, ReduceMin over constant axes."""
    x, op = call.stream(), call.node.op
    rank = len(x.shape)
    axes = call.axes()
    keep = bool(call.attribute("keepdims", 1))
    if not axes:
        if call.attribute("noop_with_empty_axes", 0):
            raise Unstated("a reduction over no axes")
        axes = list(range(rank))
    places = tuple(sorted(call.axis(a, rank) for a in axes))
    operation = {"ReduceMean": table.mean, "ReduceSum": table.total}.get(op, table.extremum_along)
    result = operation(x, places, keep)
    if op == "ReduceMean" and rank >= 3 and places == tuple(range(2, rank)):
        return call.done(result, op="GlobalAveragePool", inputs=1, attributes={} if keep else {"keepdims": 0})
    return call.island(result, reason="a reduction")
