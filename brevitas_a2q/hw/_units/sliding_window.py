"""Convolution input generator: turns an image into the windows that a convolution or pool reads."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from brevitas_a2q.hw._cost.synthesis.bill import Bill, compared, counter_bits, wrapped_bits
from brevitas_a2q.hw._devices.part import Part
from brevitas_a2q.hw._memory import place_memory
from brevitas_a2q.hw._units.base import Memory, Unit, divisors
from brevitas_a2q.hw._units.finn import Node, Version, window_node
from brevitas_a2q.hw._units.flow import Flow, Ints, raster
from brevitas_a2q.hw._units.folding import Folding

__all__ = ["SlidingWindow"]

_SHORTEST_DELAY = 2  # words that stay plain registers


@dataclass(frozen=True, eq=False, kw_only=True)
class SlidingWindow(Unit):
    """Convolution input generator: turns an image into the windows that a convolution or pool reads."""

    kind: ClassVar[str] = "SlidingWindow"
    input_dim: tuple[int, int]  # after padding
    output_dim: tuple[int, int]
    kernel: tuple[int, int]
    stride: tuple[int, int]
    dilation: tuple[int, int]
    depthwise: bool

    @property
    def taps(self) -> int:
        """Pixels of one window."""
        return self.kernel[0] * self.kernel[1]

    @property
    def simd_limit(self) -> int:
        return self.channels

    def foldings(self, part: Part, unrolled: bool = False) -> Iterator[Folding]:
        """A parallel window needs all channels in a word, or channels that do not meet (depthwise)."""
        yield from super().foldings(part, unrolled)
        for simd in divisors(self.simd_limit) if self.depthwise else (self.channels,):
            yield Folding(simd=simd, parallel_window=True)

    def input_elements(self, folding: Folding, port: int = 0) -> int:
        return folding.simd

    def output_elements(self, folding: Folding) -> int:
        return folding.simd * (self.taps if folding.parallel_window else 1)

    @property
    def elements_per_pixel(self) -> int:
        return self.channels * self.taps

    def input_pixels(self, written: int) -> int:
        return self.input_dim[0] * self.input_dim[1]

    @property
    def input_shape(self) -> tuple[int, int]:
        return self.input_dim[0] * self.input_dim[1], self.channels

    def cycles(self, folding: Folding) -> int:
        """First window filled, then the larger of reading windows and writing the rows a stride needs."""
        fold = self.channels // folding.simd
        (h, w), (oh, ow) = self.input_dim, self.output_dim
        (kh, kw), (sh, sw), (dh, dw) = self.kernel, self.stride, self.dilation
        if folding.parallel_window or self.taps == 1:
            return h * w * fold
        if h == 1 and kh == 1:
            skip = fold * (kw - 1) * (sw - 1) - (kw - 1) if self.depthwise else 0
            return ow * kw * fold + skip + 2
        row = max(ow * kw * kh * fold, sw * w * fold) + (ow * (sw - 1) * (fold - 1) if self.depthwise else 0)
        first = ((kh - 1) * dh * w + (kw - 1) * dw + 1) * fold
        return first + oh * row + ((sh - 1) * w * fold if self.depthwise else 0)

    def need(self, inputs: int) -> Ints:
        places = []
        for axis in (0, 1):
            reach = (self.kernel[axis] - 1) * self.dilation[axis]
            last = np.arange(self.output_dim[axis], dtype=np.int64) * self.stride[axis] + reach
            places.append(np.minimum(last, self.input_dim[axis] - 1).tolist())
        return raster(places[0], places[1], self.input_dim[1])

    def flow(self, folding: Folding, cycles: int, inputs: int) -> Flow:
        """A buffer reads the pixels of the next windows while it writes this one, but not those of the next image.

        So each image starts with filling the buffer, and every row of windows takes the longer of writing it and of
        reading what it needs beyond the row before, as in FINN's own cycle formula.
        """
        words = self.channels // folding.simd
        writing = words * (1 if folding.parallel_window else self.taps)
        need = self.need(inputs)
        row = self.output_dim[1]
        reading = np.diff(need[row - 1 :: row], prepend=need[0]) * words / row  # per window of each row
        interval = np.repeat(np.maximum(writing, reading), row).astype(np.float64)
        left_over = (inputs - 1 - int(need[-1])) * words  # behind the last window
        interval[0] = (int(need[0]) + 1) * words + max(writing, left_over)
        return Flow(inputs, need, interval, words, writing, writing, reads_ahead=True, spare=self._skipped)

    @property
    def _skipped(self) -> int:
        """Pixels that a strided window's buffer holds beyond the window, as in FINN's RTL."""
        (sh, sw), width = self.stride, self.input_dim[1]
        return max(0, sw - 1 - self.taps) + max(0, (sh - 1) * width - self.taps)

    def buffer_words(self, simd: int) -> int:
        """Words that the window buffer must hold: the rows of the window but its last, and what a stride skips.

        ``((kh - 1) dh w + (kw - 1) dw + 1) cf`` and the excess of a stride over the kernel; source: FINN
        ``convolutioninputgenerator_rtl.py``.
        """
        (kh, kw), (dh, dw) = self.kernel, self.dilation
        window = (kh - 1) * dh * self.input_dim[1] + (kw - 1) * dw + 1
        return self.channels // simd * (window + self._skipped)

    def memories(self, folding: Folding) -> tuple[Memory, ...]:
        return (Memory(("ram_style",), None, initialised=False),)

    def finn(self, vectors: list[int], version: Version) -> list[Node]:
        sizes = (list(self.input_dim), list(self.output_dim))
        return [window_node(self, *sizes, self.kernel, self.stride, self.dilation, self.depthwise)]

    def bill(self, folding: Folding, part: Part) -> Bill:
        """A circular buffer and the counters that walk it, or line buffers and a window of registers."""
        if folding.parallel_window or self.taps == 1:
            return self._parallel(folding, part)
        bill = Bill()
        fold = self.channels // folding.simd
        (kh, kw), (oh, ow), (h, w) = self.kernel, self.output_dim, self.input_dim
        words = self.buffer_words(folding.simd)
        features = {
            "control.counters": sum(limit > 1 for limit in (oh, ow, kh, kw, fold, words)),
            "control.kernel": len(compared(kh, kw)),
            "control.each": 1,
            "addresses.bits": counter_bits(h * w * fold),
        }
        bill.circuit("sliding window", features)
        width = folding.simd * self.input_type.bit_width
        bill.memory("window buffer", place_memory(words, width, folding.ram_style, part, writable=True))
        return bill

    def _parallel(self, folding: Folding, part: Part) -> Bill:
        bill = Bill()
        fold = self.channels // folding.simd
        width = folding.simd * self.input_type.bit_width
        (kh, kw), (h, w) = self.kernel, self.input_dim
        line = (w - ((kw - 1) * self.dilation[1] + 1) + w * (self.dilation[0] - 1)) * fold
        features = {
            "control.image": len(compared(h, w)),
            "control.address": wrapped_bits(max(1, line + 1)),
            "control.inside": _inside_bits(h, kh) + _inside_bits(w, kw),
            "control.strides": sum(s > 1 for s in self.stride),
            "control.each": 1,
        }
        bill.circuit("parallel window", features)
        if fold > _SHORTEST_DELAY:
            # Neighbouring pixels of a channel are `fold` words apart: shift registers, 32 words of a bit in a LUT.
            bill.exact("window delays", kh * (kw - 1) * width * -(-fold // 32))
        bill.memory("line buffers", place_memory(line, width, folding.ram_style, part, writable=True), kh - 1)
        return bill


def _inside_bits(size: int, kernel: int) -> int:
    """Bits of a counter up to ``size`` that say whether it has reached ``kernel - 1``: from that one's highest on."""
    return counter_bits(size) - (kernel - 1).bit_length() + 1 if kernel > 1 else 0
