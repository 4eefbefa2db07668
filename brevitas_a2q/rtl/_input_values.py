"""Which integers reach a layer's input, where its type holds more than that.

A type does not say everything: thresholds leave some of its codes out, narrow ranges the lowest one, and behind a
zero-point few of them occur. The unit's ``accumulator_range`` was computed with what does occur.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from brevitas_a2q._ir.dot_product import IntArray
from brevitas_a2q.bounds import IntRange
from brevitas_a2q.hw._ir import (
    DepthToSpace,
    DownSampler,
    DuplicateStreams,
    Graph,
    MaxPool,
    Mvau,
    Padding,
    PixelPadding,
    Pool,
    SlidingWindow,
    Thresholding,
    Unit,
    Upsample,
    Vvau,
)

__all__ = ["input_values", "sums_of"]

_MOVES = (DepthToSpace, DownSampler, DuplicateStreams, MaxPool, Padding, PixelPadding, SlidingWindow, Upsample)


def sums_of(unit: Mvau | Vvau, values: IntRange) -> tuple[IntArray, IntArray]:
    """Lowest and highest term of every product; shapes (channels, products)."""
    low, high = unit.weights * values.lo, unit.weights * values.hi
    return np.minimum(low, high), np.maximum(low, high)


def input_values(graph: Graph, unit: Mvau | Vvau) -> IntRange:
    """The range of a layer's inputs: the widest that is known whose sums lie in the layer's ``accumulator_range``."""
    lo, hi = unit.accumulator_range
    fitting = []
    for values in _candidates(graph, unit):
        least, most = sums_of(unit, values)
        if lo <= least.sum(axis=1).min() and most.sum(axis=1).max() <= hi:
            fitting.append(values)
    return max(fitting, key=lambda v: v.hi - v.lo, default=unit.input_type.range)


def _candidates(graph: Graph, unit: Mvau | Vvau) -> Iterator[IntRange]:
    whole = unit.input_type.range
    yield whole
    yield IntRange(whole.lo + 1, whole.hi) if unit.input_type.signed else IntRange(whole.lo, whole.hi - 1)
    producer, zero = unit.inputs[0], False
    while producer:
        before: Unit = graph[producer]
        if isinstance(before, Mvau | Vvau | Thresholding) and before.thresholds is not None:
            steps, bias = before.thresholds.shape[1], before.activation_bias
            written = before.output_type.range if before.output_type.name == "BIPOLAR" else IntRange(bias, bias + steps)
            yield written.with_zero() if zero else written
            return
        if not (isinstance(before, _MOVES) or (isinstance(before, Pool) and before.function == "max")):
            return
        zero |= isinstance(before, Padding | PixelPadding)
        producer = before.inputs[0]
