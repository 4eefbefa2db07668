"""Which integers reach a layer's input together, where its type holds more than that.

A type does not say everything: thresholds leave some of its codes out, narrow ranges the lowest one, and behind a
zero-point few of them occur. The layer knows what does (:attr:`brevitas_a2q.hw._units.matrix.MatrixUnit.arriving`).
Behind zeros between pixels (a transposed convolution) only the weights of one phase meet pixels at a time.
"""

from __future__ import annotations

import numpy as np

from brevitas_a2q._ir.dot_product import IntArray
from brevitas_a2q.bounds import IntRange, required_bit_width
from brevitas_a2q.hw._ir import Graph, Mvau, Padding, PixelPadding, SlidingWindow, Vvau

__all__ = ["input_values", "rows_at_once", "sums_of"]


def sums_of(rows: IntArray, values: IntRange) -> tuple[IntArray, IntArray]:
    """Lowest and highest term of every product of weights, of the same shape as they."""
    low, high = rows * values.lo, rows * values.hi
    return np.minimum(low, high), np.maximum(low, high)


def rows_at_once(graph: Graph, unit: Mvau | Vvau) -> IntArray:
    """The weights that can meet pixels together, zeros in place of the others; shape (phases, channels, products)."""
    window = graph[unit.inputs[0]] if unit.inputs[0] else None
    if not isinstance(window, SlidingWindow):
        return unit.weights[None]
    before = window.inputs[0]
    while before and isinstance(graph[before], Padding):
        before = graph[before].inputs[0]
    spread = graph[before] if before else None
    if not isinstance(spread, PixelPadding):
        return unit.weights[None]
    steps = (np.arange(n) * d % s for n, d, s in zip(window.kernel, window.dilation, spread.stride, strict=True))
    places = np.add.outer(*(step * factor for step, factor in zip(steps, (spread.stride[1], 1), strict=True)))
    phase = np.repeat(places.reshape(-1), unit.products // window.taps)  # taps outside, channels inside
    return np.stack([unit.weights * (phase == one) for one in np.unique(phase)])


def input_values(graph: Graph, unit: Mvau | Vvau) -> IntRange:
    """The range of a layer's inputs: their type's if the accumulator holds its sums, else what analysis leaves."""
    wire = unit.input_type.range
    known = [IntRange(max(v.lo, wire.lo), min(v.hi, wire.hi)) for v in unit.arriving] or [wire]
    rows = rows_at_once(graph, unit)
    return next((values for values in known if _held(unit, rows, values)), known[-1])


def _held(unit: Mvau | Vvau, rows: IntArray, values: IntRange) -> bool:
    least, most = (terms.sum(axis=-1) for terms in sums_of(rows, values))
    return required_bit_width(int(least.min()), int(most.max())) <= unit.accumulator_type.bit_width
