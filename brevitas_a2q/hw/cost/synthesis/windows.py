"""Units that reorder pixels: sliding windows, padding, down- and upsampling, depth-to-space."""

from __future__ import annotations

from brevitas_a2q.hw.cost.synthesis.bill import Bill, compared, counter_bits, wrapped_bits
from brevitas_a2q.hw.devices.part import Part
from brevitas_a2q.hw.ir import (
    DepthToSpace,
    DownSampler,
    Folding,
    Padding,
    PixelPadding,
    SlidingWindow,
    Upsample,
)
from brevitas_a2q.hw.memory import place_memory

__all__ = ["depth_to_space", "down_sampler", "padding", "pixel_padding", "sliding_window", "upsample", "window_words"]

_SHORTEST_DELAY = 2  # words that stay plain registers
_LOW_BITS = 5  # of a counter: their next state is a function of five inputs, two of which share a LUT


def window_words(unit: SlidingWindow, simd: int) -> int:
    """Words that the window buffer must hold: the rows of the window but its last, and what a stride skips.

    ``((kh - 1) dh w + (kw - 1) dw + 1) cf`` and the excess of a stride over the kernel; source: FINN
    ``convolutioninputgenerator_rtl.py``.
    """
    fold = unit.channels // simd
    width = unit.input_dim[1]
    (kh, kw), (sh, sw), (dh, dw) = unit.kernel, unit.stride, unit.dilation
    window = (kh - 1) * dh * width + (kw - 1) * dw + 1
    return fold * (window + max(0, sw - 1 - kh * kw) + max(0, (sh - 1) * width - kh * kw))


def sliding_window(unit: SlidingWindow, folding: Folding, part: Part) -> Bill:
    """A circular buffer and the counters that walk it, or line buffers and a window of registers."""
    bill = Bill()
    fold = unit.channels // folding.simd
    width = folding.simd * unit.input_type.bit_width
    (kh, kw), (oh, ow), (h, w) = unit.kernel, unit.output_dim, unit.input_dim
    if folding.parallel_window or (kh, kw) == (1, 1):
        line = (w - ((kw - 1) * unit.dilation[1] + 1) + w * (unit.dilation[0] - 1)) * fold
        features = {
            "control.image": len(compared(h, w)),
            "control.address": wrapped_bits(max(1, line + 1)),
            "control.inside": _inside_bits(h, kh) + _inside_bits(w, kw),
            "control.strides": sum(s > 1 for s in unit.stride),
            "control.each": 1,
        }
        bill.circuit("parallel window", features)
        if fold > _SHORTEST_DELAY:
            # Neighbouring pixels of a channel are `fold` words apart: shift registers, 32 words of a bit in a LUT.
            bill.exact("window delays", kh * (kw - 1) * width * -(-fold // 32))
        bill.memory("line buffers", place_memory(line, width, folding.ram_style, part, writable=True), kh - 1)
        return bill
    words = window_words(unit, folding.simd)
    features = {
        "control.counters": sum(limit > 1 for limit in (oh, ow, kh, kw, fold, words)),
        "control.kernel": len(compared(kh, kw)),
        "control.each": 1,
        "addresses.bits": counter_bits(h * w * fold),
    }
    bill.circuit("sliding window", features)
    bill.memory("window buffer", place_memory(words, width, folding.ram_style, part, writable=True))
    return bill


def _inside_bits(size: int, kernel: int) -> int:
    """Bits of a counter up to ``size`` that say whether it has reached ``kernel - 1``: from that one's highest on."""
    return counter_bits(size) - (kernel - 1).bit_length() + 1 if kernel > 1 else 0


def padding(unit: Padding, folding: Folding, part: Part) -> Bill:
    """Counters over the padded image, and zeros outside the inner one (by the output register's reset)."""
    top, left, bottom, right = unit.pads
    h, w = unit.input_dim
    return _padded(unit, folding, h + top + bottom, w + left + right)


def pixel_padding(unit: PixelPadding, folding: Folding, part: Part) -> Bill:
    """The same with zeros between pixels, which two more counters find."""
    (h, w), (sh, sw) = unit.input_dim, unit.stride
    return _padded(unit, folding, (h - 1) * sh + 1, (w - 1) * sw + 1, sh, sw)


def _padded(unit: Padding | PixelPadding, folding: Folding, *limits: int) -> Bill:
    """A word is kept aside while zeros are written: a 2:1 multiplexer per bit, two of them in a LUT."""
    counters = [limit for limit in (*limits, unit.channels // folding.simd) if limit > 1]
    features = {
        "words.pairs": -(-folding.simd * unit.input_type.bit_width // 2),
        "control.counters": len(counters),
        "control.wrapped": wrapped_bits(*counters),
        "control.high": sum(max(0, counter_bits(limit) - _LOW_BITS) for limit in counters),
        "control.each": 1,
    }
    bill = Bill()
    bill.circuit("padding", features)
    return bill


def down_sampler(unit: DownSampler, folding: Folding, part: Part) -> Bill:
    """Counters that let every stride-th pixel through."""
    bill = Bill()
    limits = (*unit.input_dim, *unit.stride, unit.channels // folding.simd)
    features = {
        "control.image": len(compared(*unit.input_dim)),
        "control.compared": len(compared(*limits)),
        "control.bits": counter_bits(*limits),
        "control.each": 1,
    }
    bill.circuit("down sampler", features)
    return bill


def upsample(unit: Upsample, folding: Folding, part: Part) -> Bill:
    """A line buffer that is read ``scale`` times, all channels wide."""
    return _line(unit, folding, part, unit.input_dim[1], unit.channels, unit.scale)


def depth_to_space(unit: DepthToSpace, folding: Folding, part: Part) -> Bill:
    """A buffer of one input row, read once per output row of its block."""
    block = unit.block_size
    return _line(unit, folding, part, unit.input_dim[1], unit.channels * block * block, (block, block))


def _line(
    unit: Upsample | DepthToSpace,
    folding: Folding,
    part: Part,
    words: int,
    channels: int,
    repeats: tuple[int, int],
) -> Bill:
    bill = Bill()
    width = channels * unit.input_type.bit_width
    features = {
        "control.line": len(compared(words)),
        "control.line bits": counter_bits(words),
        "control.repeats": len(compared(*repeats)),
        "control.repeat bits": counter_bits(*repeats),
        "control.each": 1,
    }
    bill.circuit("line reader", features)
    bill.memory("line buffer", place_memory(words, width, folding.ram_style, part, writable=True))
    return bill
