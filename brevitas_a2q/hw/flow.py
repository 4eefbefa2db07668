"""When a unit needs its inputs and how fast it works: what a schedule of the whole network is computed from.

Pixels are counted in raster order. A unit finishes output pixel p no earlier than ``interval[p]`` cycles after pixel
p - 1, and no earlier than ``tail`` cycles after the last input pixel that it needs, ``need[p]``, has arrived.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from brevitas_a2q.hw.ir import (
    DepthToSpace,
    DownSampler,
    Folding,
    GlobalAccPool,
    MaxPool,
    Mvau,
    Padding,
    PixelPadding,
    SlidingWindow,
    Unit,
    Upsample,
)

__all__ = ["Flow", "flow_of", "input_pixels"]

_SPATIAL = (DepthToSpace, DownSampler, GlobalAccPool, MaxPool, Padding, PixelPadding, SlidingWindow, Upsample)
Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Flow:
    """How one folded unit turns pixels into pixels; times in cycles."""

    inputs: int  # pixels read from each input per image
    need: Ints  # shape: (output pixels,): last input pixel needed, never decreasing; -1: none of this image
    interval: Floats  # shape: (output pixels,)
    read: float  # to read one input pixel at full speed
    tail: float  # from the last input pixel needed to the last word of the output pixel
    span: float  # from the first to the last word of an output pixel
    reads_ahead: bool = False  # whether the next pixels of an image are read while this one is written
    spare: int = 0  # pixels beyond those needed that the unit has room for

    @property
    def pixels(self) -> int:
        """Output pixels per image."""
        return len(self.need)


def input_pixels(unit: Unit, producer: Unit | None) -> int:
    """Pixels per image on the unit's input: its producer's, or what its own shape says at the network's input."""
    if isinstance(unit, _SPATIAL):
        return unit.input_dim[0] * unit.input_dim[1]
    return unit.pixels if producer is None else producer.pixels


def flow_of(unit: Unit, folding: Folding, cycles: int, inputs: int) -> Flow:
    """The flow of a folded unit.

    Args:
        unit: The unit.
        folding: Its folding.
        cycles: Cycles per image, from its cost.
        inputs: Pixels per image on its input, see :func:`input_pixels`.
    """
    if isinstance(unit, SlidingWindow):
        return _window(unit, folding, inputs)
    need = np.maximum.accumulate(_need(unit, inputs))
    interval = cycles / unit.pixels
    read, tail, span = interval * unit.pixels / inputs, 0.0, interval
    if isinstance(unit, Mvau):
        first_outputs = unit.matrix_width / folding.simd  # cycles until the first PE outputs are complete
        read, tail = min(read, first_outputs * unit.pixels / inputs), max(0.0, interval - first_outputs)
        span = tail
    elif isinstance(unit, GlobalAccPool):
        tail = span = unit.channels / folding.pe
        read = (interval - tail) / inputs
    return Flow(inputs, need, np.full(unit.pixels, interval), read, tail, span)


def _window(unit: SlidingWindow, folding: Folding, inputs: int) -> Flow:
    """A buffer reads the pixels of the next windows while it writes this one, but not those of the next image.

    So each image starts with filling the buffer, and every row of windows takes the longer of writing it and of reading
    what it needs beyond the row before, as in FINN's own cycle formula.
    """
    words = unit.channels // folding.simd
    writing = words * (1 if folding.parallel_window else unit.kernel[0] * unit.kernel[1])
    need = _need(unit, inputs)
    row = unit.output_dim[1]
    reading = np.diff(need[row - 1 :: row], prepend=need[0]) * words / row  # per window of each row
    interval = np.repeat(np.maximum(writing, reading), row).astype(np.float64)
    left_over = (inputs - 1 - int(need[-1])) * words  # behind the last window
    interval[0] = (int(need[0]) + 1) * words + max(writing, left_over)
    return Flow(inputs, need, interval, words, writing, writing, reads_ahead=True, spare=_skipped(unit))


def _skipped(unit: SlidingWindow) -> int:
    """Pixels that a strided window's buffer holds beyond the window (FINN, ``convolutioninputgenerator_rtl.py``)."""
    taps = unit.kernel[0] * unit.kernel[1]
    return max(0, unit.stride[1] - 1 - taps) + max(0, (unit.stride[0] - 1) * unit.input_dim[1] - taps)


def _need(unit: Unit, inputs: int) -> Ints:
    """Last input pixel that each output pixel needs; shape: (output pixels,)."""
    if isinstance(unit, Padding):
        return _padded(unit)
    places = _places(unit)
    if places is None:  # one output for every so many inputs: dense layers, elementwise kinds, global pools
        return np.asarray(-(-(np.arange(unit.pixels, dtype=np.int64) + 1) * inputs // unit.pixels) - 1)
    rows, columns, width = places
    return (rows[:, None] * width + columns[None]).reshape(-1)


def _places(unit: Unit) -> tuple[Ints, Ints, int] | None:
    """Input row needed by each output row, input column by each output column, and the input's width."""
    if isinstance(unit, SlidingWindow):
        rows, columns = (_strided(unit, axis) for axis in (0, 1))
    elif isinstance(unit, MaxPool):  # its outputs leave when a whole row of them is complete
        rows = _pooled(unit, 0)
        columns = np.full(len(_pooled(unit, 1)), unit.input_dim[1] - 1, dtype=np.int64)
    elif isinstance(unit, PixelPadding):
        rows, columns = (np.arange((i - 1) * s + 1) // s for i, s in zip(unit.input_dim, unit.stride, strict=True))
    elif isinstance(unit, Upsample):
        rows, columns = (np.arange(i * s) // s for i, s in zip(unit.input_dim, unit.scale, strict=True))
    elif isinstance(unit, DepthToSpace):
        rows, columns = (np.arange(i * unit.block_size) // unit.block_size for i in unit.input_dim)
    elif isinstance(unit, DownSampler):
        rows, columns = (np.arange(0, i, s) for i, s in zip(unit.input_dim, unit.stride, strict=True))
    else:
        return None
    return rows, columns, unit.input_dim[1]


def _strided(unit: SlidingWindow, axis: int) -> Ints:
    reach = (unit.kernel[axis] - 1) * unit.dilation[axis]
    last = np.arange(unit.output_dim[axis], dtype=np.int64) * unit.stride[axis] + reach
    return np.minimum(last, unit.input_dim[axis] - 1)


def _pooled(unit: MaxPool, axis: int) -> Ints:
    size, kernel = unit.input_dim[axis], unit.kernel[axis]
    outputs = -(-size // kernel) if unit.ceil_mode else size // kernel
    return np.minimum((np.arange(outputs, dtype=np.int64) + 1) * kernel, size) - 1


def _padded(unit: Padding) -> Ints:
    """The pixels read so far; -1 above the first one, where only zeros are written."""
    (top, left, bottom, right), (height, width) = unit.pads, unit.input_dim
    inside = np.zeros((top + height + bottom, left + width + right), dtype=np.int64)
    inside[top : top + height, left : left + width] = 1
    return np.cumsum(inside) - 1
