"""What every unit of a graph writes for given integers, computed with exact integers; accumulators wrap at P bits.

Arrays are batches of images, shape (images, height, width, channels); windows have their taps in front of the channels.
Products of matrices are taken in float64, which is exact below 2^53; what could exceed that is computed with int64.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from brevitas_a2q._ir.dot_product import IntArray
from brevitas_a2q.errors import RtlError
from brevitas_a2q.hw._ir import (
    AddStreams,
    ChannelwiseOp,
    Concat,
    DepthToSpace,
    DownSampler,
    DuplicateStreams,
    GlobalAccPool,
    Graph,
    LabelSelect,
    MaxPool,
    MulStreams,
    Mvau,
    Padding,
    PixelPadding,
    Pool,
    SelectChannels,
    SlidingWindow,
    Thresholding,
    Unit,
    Upsample,
    Vvau,
)

__all__ = ["outputs_of", "unit_output"]

_EXACT = 1 << 53


def outputs_of(graph: Graph, inputs: IntArray) -> dict[str, IntArray]:
    """Every unit's output by name, and the input under ``""``.

    Args:
        graph: The network with the accumulator widths in force.
        inputs: Integers, shape (images, height, width, channels).
    """
    values: dict[str, IntArray] = {"": inputs}
    for unit in graph.units:
        values[unit.name] = unit_output(unit, [values[name] for name in unit.inputs])
    return values


def unit_output(unit: Unit, inputs: list[IntArray]) -> IntArray:
    """What one unit makes of its inputs, which are streams of pixels: the unit knows the height and width it reads."""
    height, width = getattr(unit, "input_dim", inputs[0].shape[1:3])
    images = [x.reshape(len(x), height, width, *x.shape[3:]) for x in inputs]
    found: IntArray = _STEPS[type(unit)](unit, *images)
    return found


def _codes(unit: Mvau | Vvau | Thresholding, values: IntArray) -> IntArray:
    """Thresholds reached, by binary search in every channel."""
    if unit.thresholds is None:
        return values
    table = np.sort(np.broadcast_to(unit.thresholds, (values.shape[-1], unit.thresholds.shape[1])), axis=1)
    found = np.empty_like(values)
    for channel, row in enumerate(table):
        found[..., channel] = np.searchsorted(row, values[..., channel], side="right")
    return 2 * found - 1 if unit.output_type.name == "BIPOLAR" else found + unit.activation_bias


def _wrapped(sums: IntArray, bits: int) -> IntArray:
    """The value that a signed accumulator of so many bits holds."""
    if bits >= 64:
        return sums
    half = 1 << (bits - 1)
    return ((sums + half) & ((1 << bits) - 1)) - half


def _product(vectors: IntArray, rows: IntArray) -> IntArray:
    """Vectors times the transposed rows, exactly."""
    largest = int(np.abs(rows).sum(axis=1).max()) * int(np.abs(vectors).max(initial=0))
    if largest < _EXACT:
        return np.asarray(np.rint(vectors.astype(np.float64) @ rows.T.astype(np.float64)), np.int64)
    return np.asarray(vectors @ rows.T, np.int64)


def _mvau(unit: Mvau, x: IntArray) -> IntArray:
    width = unit.matrix_width
    if unit.groups == 1:
        vectors = x.reshape(len(x), -1, width)
        height = x.shape[1] if vectors.shape[1] == x.shape[1] * x.shape[2] else 1
        sums = _product(vectors.reshape(-1, width), unit.weights).reshape(len(x), height, -1, unit.matrix_height)
    else:
        taps = _taps(x)
        parts = np.split(taps, unit.groups, axis=-1)
        rows = np.split(unit.weights, unit.groups)
        flat = [p.reshape(-1, width) for p in parts]
        sums = np.concatenate([_product(v, r) for v, r in zip(flat, rows, strict=True)], axis=-1)
        sums = sums.reshape(*taps.shape[:3], -1)
    return _codes(unit, _wrapped(sums, unit.accumulator_type.bit_width))


def _vvau(unit: Vvau, x: IntArray) -> IntArray:
    sums = np.einsum("nhwtc,ct->nhwc", _taps(x), unit.weights)
    return _codes(unit, _wrapped(sums, unit.accumulator_type.bit_width))


def _taps(x: IntArray) -> IntArray:
    """Windows, also those of one pixel, which no unit has made."""
    return x if x.ndim == 5 else x[:, :, :, None]


def _windows(unit: SlidingWindow, x: IntArray) -> IntArray:
    (kh, kw), (sh, sw), (dh, dw), (oh, ow) = unit.kernel, unit.stride, unit.dilation, unit.output_dim
    taps = [
        x[:, i * dh : i * dh + (oh - 1) * sh + 1 : sh, j * dw : j * dw + (ow - 1) * sw + 1 : sw]
        for i in range(kh)
        for j in range(kw)
    ]
    return np.stack(taps, axis=3)


def _pixel_padding(unit: PixelPadding, x: IntArray) -> IntArray:
    (h, w), (sh, sw) = unit.input_dim, unit.stride
    spread = np.zeros((len(x), (h - 1) * sh + 1, (w - 1) * sw + 1, x.shape[-1]), np.int64)
    spread[:, ::sh, ::sw] = x
    return spread


def _max_pool(unit: MaxPool, x: IntArray) -> IntArray:
    (h, w), (kh, kw) = unit.input_dim, unit.kernel
    return np.asarray(x.reshape(len(x), h // kh, kh, w // kw, kw, -1).max(axis=(2, 4)))


def _pool(unit: Pool, x: IntArray) -> IntArray:
    taps = _taps(x)
    return np.asarray(taps.max(axis=3) if unit.function == "max" else taps.sum(axis=3))


def _depth_to_space(unit: DepthToSpace, x: IntArray) -> IntArray:
    (h, w), b = unit.input_dim, unit.block_size
    blocks = x.reshape(-1, h, w, unit.channels, b, b).transpose(0, 1, 4, 2, 5, 3)
    return np.asarray(blocks.reshape(-1, h * b, w * b, unit.channels))


def _padding(unit: Padding, x: IntArray) -> IntArray:
    top, left, bottom, right = unit.pads
    return np.pad(x, ((0, 0), (top, bottom), (left, right), (0, 0)))


def _channelwise(unit: ChannelwiseOp, x: IntArray) -> IntArray:
    if unit.parameters is None:
        raise RtlError("has no parameters", where=f"{unit.kind} {unit.name}", expected="one integer per channel")
    match unit.function:
        case "add":
            return x + unit.parameters
        case "mul":
            return x * unit.parameters
        case "cmp_le":
            return (x <= unit.parameters).astype(np.int64)
        case _:
            return (x >= unit.parameters).astype(np.int64)


def _label_select(unit: LabelSelect, x: IntArray) -> IntArray:
    order = np.argsort(-x.reshape(len(x), -1), axis=-1, kind="stable")[:, : unit.k]
    return order.reshape(len(x), 1, 1, unit.k)


_STEPS: Mapping[type[Unit], Callable[..., Any]] = {
    AddStreams: lambda u, a, b: a + b,
    ChannelwiseOp: _channelwise,
    Concat: lambda u, *xs: np.concatenate(xs, axis=-1),
    DepthToSpace: _depth_to_space,
    DownSampler: lambda u, x: x[:, :: u.stride[0], :: u.stride[1]],
    DuplicateStreams: lambda u, x: x,
    GlobalAccPool: lambda u, x: x.sum(axis=(1, 2), keepdims=True),
    LabelSelect: _label_select,
    MaxPool: _max_pool,
    MulStreams: lambda u, a, b: a * b,
    Mvau: _mvau,
    Padding: _padding,
    PixelPadding: _pixel_padding,
    Pool: _pool,
    SelectChannels: lambda u, x: x[..., list(u.selected)],
    SlidingWindow: _windows,
    Thresholding: lambda u, x: _codes(u, x),
    Upsample: lambda u, x: x.repeat(u.scale[0], axis=1).repeat(u.scale[1], axis=2),
    Vvau: _vvau,
}
