"""Cycles from the first to the last word of one image, at one word per cycle and without stalls.

Where not derived in a comment these are FINN's ``get_exp_cycles``, which count words of the folded stream.
"""

from __future__ import annotations

from brevitas_a2q.hw.ir import (
    AddStreams,
    ChannelwiseOp,
    Concat,
    DataWidthConverter,
    DepthToSpace,
    DownSampler,
    DuplicateStreams,
    Fifo,
    Folding,
    GlobalAccPool,
    LabelSelect,
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

__all__ = ["unit_cycles"]


def unit_cycles(unit: Unit, folding: Folding) -> int:
    """Cycles of one folded unit for one image.

    Args:
        unit: Any kind of :mod:`brevitas_a2q.hw.ir`.
        folding: A legal folding of it.
    """
    match unit:
        case Mvau() | Vvau():
            if folding.compute == "unrolled":
                return unit.pixels
            outputs, products = unit.weights.shape
            return int(unit.pixels * (outputs // folding.pe) * (products // folding.simd))
        case SlidingWindow():
            return _window(unit, folding)
        case Padding():
            top, left, bottom, right = unit.pads
            h, w = unit.input_dim
            return (h + top + bottom) * (w + left + right) * (unit.channels // folding.simd)
        case PixelPadding():
            (h, w), (sh, sw) = unit.input_dim, unit.stride
            return ((h - 1) * sh + 1) * ((w - 1) * sw + 1) * (unit.channels // folding.simd)
        case DownSampler():
            return unit.input_dim[0] * unit.input_dim[1] * (unit.channels // folding.simd)
        case Pool():
            return unit.pixels * (unit.channels // folding.pe) * unit.kernel[0] * unit.kernel[1]
        case GlobalAccPool():
            fold = unit.channels // folding.pe
            return (unit.input_dim[0] * unit.input_dim[1] + 1) * fold  # the sums leave after the last pixel
        case LabelSelect():
            return unit.labels // folding.pe
        case MaxPool():
            h, w = unit.input_dim
            return h * w + -(-w // unit.kernel[1]) * -(-h // unit.kernel[0])  # every pixel in, every maximum out
        case Thresholding() | AddStreams() | ChannelwiseOp() | DuplicateStreams():
            return unit.pixels * (unit.channels // folding.pe)
        case Concat() | Upsample() | DepthToSpace():
            return unit.pixels
        case DataWidthConverter():
            return unit.pixels * max(1, -(-max(unit.input_width, unit.output_width) // unit.output_width))
        case Fifo():
            return unit.pixels
    raise TypeError(f"no cycle model for units of type {type(unit).__name__}")


def _window(unit: SlidingWindow, folding: Folding) -> int:
    """First window filled, then the larger of reading windows and writing the rows a stride needs."""
    fold = unit.channels // folding.simd
    (h, w), (oh, ow) = unit.input_dim, unit.output_dim
    (kh, kw), (sh, sw), (dh, dw) = unit.kernel, unit.stride, unit.dilation
    if folding.parallel_window or (kh, kw) == (1, 1):
        return h * w * fold + 2
    if h == 1 and kh == 1:
        skip = fold * (kw - 1) * (sw - 1) - (kw - 1) if unit.depthwise else 0
        return ow * kw * fold + skip + 2
    row = max(ow * kw * kh * fold, sw * w * fold) + (ow * (sw - 1) * (fold - 1) if unit.depthwise else 0)
    first = ((kh - 1) * dh * w + (kw - 1) * dw + 1) * fold
    return first + oh * row + ((sh - 1) * w * fold if unit.depthwise else 0)
