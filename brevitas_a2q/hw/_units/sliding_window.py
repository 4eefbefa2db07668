"""Convolution input generator: turns an image into the windows that a convolution or pool reads."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from brevitas_a2q.hw._cost.synthesis.bill import Bill, counter_bits
from brevitas_a2q.hw._devices.part import Part
from brevitas_a2q.hw._memory import MemoryCost, place_memory
from brevitas_a2q.hw._units.base import Memory, Unit, divisors
from brevitas_a2q.hw._units.finn import window_node
from brevitas_a2q.hw._units.finn_node import Node, Version
from brevitas_a2q.hw._units.flow import Flow, paced, raster
from brevitas_a2q.hw._units.folding import Folding
from brevitas_a2q.hw._units.runs import Runs

__all__ = ["SlidingWindow"]

_SHORTEST_DELAY = 2  # words that stay plain registers


@dataclass(frozen=True, eq=False, kw_only=True)
class SlidingWindow(Unit):
    """Convolution input generator: turns an image into the windows that a convolution or pool reads."""

    kind: ClassVar[str] = "SlidingWindow"
    bursts: ClassVar[bool] = True
    input_dim: tuple[int, int]  # after padding
    output_dim: tuple[int, int]
    kernel: tuple[int, int]
    stride: tuple[int, int]
    dilation: tuple[int, int]
    depthwise: bool
    groups: int = 1  # of channels, each streamed with all its taps, for a grouped convolution

    @property
    def taps(self) -> int:
        """Pixels of one window."""
        return self.kernel[0] * self.kernel[1]

    @property
    def simd_limit(self) -> int:
        return self.channels // self.groups

    def foldings(self, part: Part, unrolled: bool = False) -> Iterator[Folding]:
        """A parallel window needs all channels in a word, or channels that do not meet (depthwise)."""
        yield from super().foldings(part, unrolled)
        if self.groups == 1:
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
        (oh, ow), (inner, row, image, _) = self.output_dim, self._paces(folding)
        return oh * (ow - 1) * inner + (oh - 1) * row + image

    def finn_cycles(self, folding: Folding) -> int:
        """FINN's unit fills its first window, then reads windows or writes the rows of a stride, whichever is more."""
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

    def _paces(self, folding: Folding) -> tuple[int, int, int, int]:
        """Cycles to the next window within a row, to the first of a row, of an image, and of an image alone.

        While a window is written its new pixels come, a word a cycle, into the room that the one before left: those of
        a column, of the rest of a row and the rows between, or of the rest of the image and a whole window. A word that
        has yet to come is waited for, and all words of an image have to come.
        """
        (h, w), (oh, ow), (sh, sw) = self.input_dim, self.output_dim, self.stride
        words = self.channels // folding.simd
        fresh = sw, sh * w - (ow - 1) * sw, h * w - (oh - 1) * sh * w - (ow - 1) * sw
        (kh, kw), (dh, dw) = self.kernel, self.dilation
        whole = (kh - 1) * dh * w + (kw - 1) * dw + 1
        if folding.parallel_window or self.taps == 1:
            inner, row, image, first = (pixels * words for pixels in (*fresh, whole))
            return inner, row, image, first
        down, across = (np.arange(n) * d for n, d in zip(self.kernel, self.dilation, strict=True))
        places = (down[:, None] * w + across).reshape(-1)  # of a window's pixels behind its first
        written = np.arange(self.taps) * (words // self.streamed_groups(folding))

        def pace(pixels: int) -> int:
            come = max(pixels - self._skipped, 0) + places - places[-1] - 1  # pixels to come before each
            return max(int((come * words - written).max()) + 1, 0) + words * self.taps

        inner, row, image = (pace(pixels) for pixels in fresh)
        written_in = oh * (ow - 1) * inner + (oh - 1) * row + image
        return inner, row, image + max(0, h * w * words - written_in), pace(whole + self._skipped)

    def streamed_groups(self, folding: Folding) -> int:
        """In how many parts of the channels a window is written, each with all its taps."""
        return self.channels // folding.simd if self.depthwise else self.groups

    def need(self, inputs: int) -> Runs:
        rows, columns = (
            Runs.ramp((kernel - 1) * dilation, stride, outputs).minimum(inputs - 1)
            for kernel, dilation, stride, outputs, inputs in zip(
                self.kernel, self.dilation, self.stride, self.output_dim, self.input_dim, strict=True
            )
        )
        return raster(rows, columns, self.input_dim[1])

    def flow(self, folding: Folding, cycles: int, inputs: int) -> Flow:
        """A window ends with its last pixel; groups of channels but the first are written behind its first word."""
        words = self.channels // folding.simd
        inner, row, image, alone = self._paces(folding)
        paces, rest = paced(self.output_dim, inner, row, image), max(0.0, image - alone)
        found = Flow(inputs, self.need(inputs), paces, words, 0.0, words, rest=rest, spare=self._skipped)
        if folding.parallel_window or self.taps == 1:
            return found
        writing = words * self.taps
        before = (self.taps - 1) * words // self.streamed_groups(folding)  # the last pixel's first word
        (kh, kw), (dh, dw) = self.kernel, self.dilation
        reach = (kh - 1) * dh * self.input_dim[1] + (kw - 1) * dw
        return replace(found, holding=writing - before, span=writing, reach=reach)

    def latency(self, folding: Folding) -> int:
        return 1 if folding.parallel_window or self.taps == 1 else 2

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
        limits = (*self.kernel, *self.output_dim, fold)
        bill.counters(*limits)
        words = max(2, self.buffer_words(folding.simd))
        pixels = self.input_dim[0] * self.input_dim[1] * fold
        levels = sum(limit > 1 for limit in limits)
        place, count = (words - 1).bit_length(), (pixels + 2 * words).bit_length()
        placed = self._buffer(words, folding, part)
        features = {
            "addresses.place": place,
            "addresses.wrap": place * (words & (words - 1) > 0),
            "addresses.count": count,
            "addresses.steps": levels * place,
            "addresses.counts": levels * count,
            "control.each": 1,
        }
        bill.circuit("sliding window", features)
        bill.memory("window buffer", placed)
        return bill

    def _buffer(self, words: int, folding: Folding, part: Part) -> MemoryCost:
        width = folding.simd * self.input_type.bit_width
        return place_memory(words, width, folding.ram_style, part, writable=True)

    def _parallel(self, folding: Folding, part: Part) -> Bill:
        bill = Bill()
        fold = self.channels // folding.simd
        width = folding.simd * self.input_type.bit_width
        (kh, kw), (h, w) = self.kernel, self.input_dim
        reach = (kw - 1) * self.dilation[1] * fold
        line = self.dilation[0] * w * fold - reach - 1
        bill.counters(h, w, fold, *self.stride)
        features = {
            "control.address": (line - 1).bit_length() if line > 1 else 0,
            "control.inside": 2 * counter_bits(h, w),
            "control.each": 1,
        }
        apart = self.dilation[1] * fold
        # Neighbouring pixels of a channel are `apart` words apart: shift registers, 32 words of a bit in a LUT.
        delays = kh * (kw - 1) * width * -(-apart // 32) if apart > _SHORTEST_DELAY else 0
        bill.circuit("parallel window", {**features, "delays.luts": delays})
        if line > 0 and kh > 1:
            placed = place_memory(line, width, folding.ram_style, part, writable=True, single_port=True)
            bill.memory("line buffers", placed, kh - 1)
        return bill
