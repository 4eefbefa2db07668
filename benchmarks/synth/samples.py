"""What the laws are fitted to: units of every kind over the sizes of usual networks, random but the same on every run.

A sample is a unit of the dataflow graph with a folding. It is synthesised as the accelerator builds it, and costed as
the estimator bills it, so that nothing but coefficients lies between the two.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from brevitas_a2q._ir.datatypes import IntType
from brevitas_a2q.hw import _ir as ir
from brevitas_a2q.hw._cost.synthesis.unrolled import csd_digits

__all__ = ["Sample", "samples"]

SIGNED = {"signed": True}
FEWEST_WORDS, FEWEST_DIGITS = 4, 40  # of weights


@dataclass(frozen=True, eq=False)
class Sample:
    """A unit with its folding; ``name`` is unique."""

    name: str
    unit: ir.Unit
    folding: ir.Folding


class _Draw:
    """Random choices."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)

    def __call__(self, *choices: Any) -> Any:
        return choices[int(self.rng.integers(len(choices)))]

    def bits(self, *choices: int) -> IntType:
        return IntType.of(self(*choices), signed=bool(self.rng.random() < 0.25))


def _common(channels: int, read: IntType, written: IntType | None = None, pixels: int = 1) -> dict[str, Any]:
    types = {"input_type": read, "output_type": written or read}
    return {"name": "unit", "inputs": ("",), "pixels": pixels, "channels": channels, **types}


def _weights(draw: _Draw, dtype: IntType, shape: tuple[int, int]) -> Any:
    """Laplace-like as trained weights are; two-valued ones are -1 and 1."""
    if dtype.name == "BIPOLAR":
        return draw.rng.choice(np.array([-1, 1], np.int64), shape)
    largest = dtype.range.hi
    spread = largest / draw(1.5, 3.0, 6.0)
    return np.clip(np.rint(draw.rng.laplace(scale=spread, size=shape)), -largest, largest).astype(np.int64)


def _thresholds(draw: _Draw, sums: Any, steps: int, shared: bool) -> Any:
    """Where the sums of random inputs fall; shape: (channels or 1, steps)."""
    rows = sums.reshape(1, -1) if shared else sums
    low, high = draw((0.4, 0.99), (0.1, 0.9), (0.5, 0.8))
    return np.sort(np.quantile(rows, np.linspace(low, high, steps), axis=1).T.astype(np.int64), axis=1)


def _products(
    weight: IntType,
    weights: Any,
    read: IntType,
    written: IntType,
    accumulator: IntType,
    sums: tuple[int, int],
    thresholds: Any,
) -> dict[str, Any]:
    return {
        **_common(len(weights), read, written),
        "weight_type": weight,
        "weights": weights,
        "accumulator_type": accumulator,
        "accumulator_range": sums,
        "trained_accumulator_bit_width": None,
        "thresholds": thresholds,
    }


def _deep_matrix(draw: _Draw) -> tuple[ir.Unit, ir.Folding]:
    """Units of low rates: long vectors that are kept, deep memories, and accumulators of 32 bits among others."""
    bits, products, outputs = draw(2, 4, 4, 8), draw(96, 288, 432, 576), draw(8, 16, 32)
    weight, read = IntType.of(bits, signed=True), IntType.of(bits, signed=False)
    weights = _weights(draw, weight, (outputs, products))
    low = int(np.minimum(weights, 0).sum(axis=1).min()) * read.range.hi
    high = int(np.maximum(weights, 0).sum(axis=1).max()) * read.range.hi
    accumulator = IntType.of(draw(max(low.bit_length(), high.bit_length()) + 1, 32), signed=True)
    thresholds, written = None, accumulator
    if draw.rng.random() < 0.5:
        steps = draw(3, 7, 15)
        inputs = draw.rng.integers(0, read.range.hi + 1, (products, 256))
        thresholds, written = (
            _thresholds(draw, weights @ inputs, steps, False),
            IntType.of(steps.bit_length(), signed=False),
        )
    unit = ir.Mvau(**_products(weight, weights, read, written, accumulator, (low, high), thresholds))
    return unit, ir.Folding(draw(1, 2, 4), draw(1, 2, 4, 8), "lut", "block", draw("distributed", "block"))


def _matrix(draw: _Draw) -> tuple[ir.Unit, ir.Folding]:
    binary = draw.rng.random() < 0.12
    weight = IntType("BIPOLAR") if binary else IntType.of(draw(2, 3, 4, 4, 6, 8), signed=True)
    read = IntType("BIPOLAR") if binary and draw.rng.random() < 0.5 else draw.bits(1, 2, 4, 4, 8)
    if read.bit_width == 1 and read.name != "BIPOLAR":
        read = IntType.of(1, signed=False)
    simd, pe = draw(1, 2, 3, 4, 8, 9, 16, 32), draw(1, 1, 2, 4)
    while simd * pe * weight.bit_width * read.bit_width > 640:
        simd, pe = max(1, simd // 2), max(1, pe // 2)
    depthwise = draw.rng.random() < 0.2
    synapses, neurons = draw(1, 2, 9, 9, 16, 36), draw(1, 2, 4, 8, 16, 12)
    if depthwise:
        simd, synapses = (1, draw(4, 9, 25)) if draw.rng.random() < 0.6 else (9, 1)
        neurons = neurons if simd == 1 else 1
    weights = _weights(draw, weight, (pe * neurons, simd * synapses))
    lo, hi = read.range.lo, read.range.hi
    low = int(np.minimum(weights * lo, weights * hi).sum(axis=1).min())
    high = int(np.maximum(weights * lo, weights * hi).sum(axis=1).max())
    needed = max(low.bit_length(), high.bit_length()) + 1
    accumulator = IntType.of(draw(needed, needed, needed + 2, 32), signed=True)
    thresholds, written = None, accumulator
    if draw.rng.random() < 0.5:
        steps = draw(1, 3, 7, 14, 15, 15)
        inputs = draw.rng.integers(lo, hi + 1, (weights.shape[1], 256))
        thresholds = _thresholds(draw, weights @ inputs, steps, draw.rng.random() < 0.15)
        written = IntType.of(steps.bit_length(), signed=False)
    unit = _products(weight, weights, read, written, accumulator, (low, high), thresholds)
    folding = ir.Folding(pe, simd, "lut", draw("block", "distributed"), draw("distributed", "distributed", "block"))
    if depthwise:
        side = {4: 2, 9: 3, 25: 5}[simd * synapses]
        return ir.Vvau(**unit, kernel=(side, side), output_dim=(1, 1)), folding
    return ir.Mvau(**unit), folding


def _constants(draw: _Draw) -> tuple[ir.Unit, ir.Folding]:
    """Layers whose weights are constants, many of them zero where the accumulator is narrow."""
    weight, read = IntType.of(draw(2, 3, 4, 6, 8), signed=True), draw.bits(1, 2, 4, 8)
    outputs, products = draw(1, 2, 4), draw(9, 16, 27, 64)
    weights = _weights(draw, weight, (outputs, products)) * (
        draw.rng.random((outputs, products)) > draw(0, 0, 0.5, 0.8)
    )
    weights[:, 0] = 1
    ends = [read.range.lo * weights, read.range.hi * weights]
    low, high = int(np.minimum(*ends).sum(axis=1).min()), int(np.maximum(*ends).sum(axis=1).max())
    accumulator = IntType.of(max(low.bit_length(), high.bit_length()) + 1, signed=True)
    unit = ir.Mvau(**_products(weight, weights, read, accumulator, accumulator, (low, high), None))
    return unit, ir.Folding(outputs, products, "unrolled")


def _thresholding(draw: _Draw) -> tuple[ir.Unit, ir.Folding]:
    channels, pe, steps = draw(1, 4, 8, 16, 32, 64), draw(1, 1, 2, 4), draw(1, 3, 7, 14, 15, 15, 31)
    pe = min(pe, channels)
    read = IntType.of(draw(6, 8, 10, 12, 16, 24), signed=True)
    spread = (1 << (read.bit_width - 1)) // draw(2, 4, 16)
    sums = draw.rng.normal(scale=max(8, spread / 3), size=(channels, 256))
    table = np.clip(_thresholds(draw, sums, steps, draw.rng.random() < 0.2), read.range.lo, read.range.hi)
    unit = ir.Thresholding(**_common(channels, read, IntType.of(steps.bit_length(), signed=False)), thresholds=table)
    return unit, ir.Folding(pe, 1, "auto", "auto", draw("distributed", "distributed", "block"))


def _wide_values(draw: _Draw) -> tuple[ir.Unit, ir.Folding]:
    """Thresholds of sums in accumulators that are far wider than the thresholds."""
    channels, pe, steps = draw(8, 16, 32, 64), draw(1, 2, 4), draw(1, 3, 7, 15, 15)
    sums = draw.rng.normal(scale=1 << draw(5, 7, 9, 11), size=(channels, 256))
    kind = IntType.of(steps.bit_length(), signed=False)
    common = _common(channels, IntType.of(draw(20, 24, 32, 32), signed=True), kind)
    return ir.Thresholding(**common, thresholds=_thresholds(draw, sums, steps, False)), ir.Folding(pe)


def _few_thresholds(draw: _Draw) -> tuple[ir.Unit, ir.Folding]:
    """Few levels of few channels a lane: memories of up to a few words, which merge with the comparators."""
    pe, read = draw(1, 1, 2, 4), IntType.of(draw(6, 8, 10, 12, 16, 24), signed=True)
    sums = draw.rng.normal(scale=(1 << (read.bit_width - 3)) / 3, size=(pe * draw(2, 3, 4), 256))
    steps = draw(2, 3, 4, 7, 7)
    table = np.clip(_thresholds(draw, sums, steps, False), read.range.lo, read.range.hi)
    kind = IntType.of(steps.bit_length(), signed=False)
    return ir.Thresholding(**_common(len(sums), read, kind), thresholds=table), ir.Folding(pe)


def _two_thresholds(draw: _Draw) -> tuple[ir.Unit, ir.Folding]:
    """Two thresholds a channel, which are compared at once."""
    pe, read = draw(2, 4), IntType.of(draw(8, 10, 12, 16, 24), signed=True)
    sums = draw.rng.normal(scale=(1 << (read.bit_width - 3)) / 3, size=(pe * draw(1, 2, 3, 4, 8, 8, 16, 32), 256))
    table = np.clip(_thresholds(draw, sums, 2, False), read.range.lo, read.range.hi)
    return ir.Thresholding(**_common(len(sums), read, IntType("UINT2")), thresholds=table), ir.Folding(pe)


def _product(draw: _Draw) -> tuple[ir.Unit, ir.Folding]:
    pe, factors = draw(1, 2, 4), (draw.bits(2, 4, 8), IntType.of(draw(4, 8), **SIGNED))
    unit = ir.MulStreams(**{**_common(2 * pe, factors[0]), "inputs": ("a", "b")}, factors=factors)
    return unit.retyped(list(factors)), ir.Folding(pe=pe)


def _selected(draw: _Draw) -> tuple[ir.Unit, ir.Folding]:
    read, channels = draw.bits(2, 4, 8), draw(4, 8, 24)
    chosen = tuple(int(c) for c in draw.rng.integers(0, channels, draw(2, 6, 12)))
    return ir.SelectChannels(**_common(len(chosen), read), selected=chosen, input_channels=channels), ir.Folding()


def _image(draw: _Draw) -> tuple[int, int]:
    return draw(4, 6, 8, 10, 14, 16, 28, 32, 34), draw(4, 6, 8, 10, 14, 16, 28, 32, 34)


def _folded(draw: _Draw) -> tuple[int, int]:
    """Channels, and how many are in a word."""
    simd = draw(1, 1, 2, 3, 4, 8, 16)
    return simd * draw(1, 1, 2, 4, 6, 8, 16), simd


def _window(draw: _Draw) -> tuple[ir.Unit, ir.Folding]:
    (h, w), (channels, simd) = _image(draw), _folded(draw)
    k, depthwise = draw(2, 3, 3, 3, 5), bool(draw.rng.random() < 0.3)
    h, w, stride = max(h, k), max(w, k), draw(1, 1, 1, 2)
    size = ((h - k) // stride + 1, (w - k) // stride + 1)
    parallel = draw.rng.random() < 0.3
    if parallel:
        channels = channels if depthwise else simd
    unit = ir.SlidingWindow(
        **_common(channels, draw.bits(1, 2, 4, 4, 8), pixels=size[0] * size[1]),
        input_dim=(h, w),
        output_dim=size,
        kernel=(k, k),
        stride=(stride, stride),
        dilation=(1, 1),
        depthwise=depthwise,
    )
    return unit, ir.Folding(simd=simd, ram_style=draw("distributed", "block"), parallel_window=parallel)


def _padding(draw: _Draw) -> tuple[ir.Unit, ir.Folding]:
    size, (channels, simd) = _image(draw), _folded(draw)
    common = _common(channels, draw.bits(1, 4, 8), pixels=size[0] * size[1])
    if draw.rng.random() < 0.3:
        return ir.PixelPadding(**common, input_dim=size, stride=(draw(1, 2), 2)), ir.Folding(simd=simd)
    pads = (1,) * 4 if draw.rng.random() < 0.7 else tuple(int(n) for n in draw.rng.integers(0, 3, 4))
    return ir.Padding(**common, input_dim=size, pads=pads), ir.Folding(simd=simd)


def _down_sampler(draw: _Draw) -> tuple[ir.Unit, ir.Folding]:
    size, (channels, simd) = _image(draw), _folded(draw)
    unit = ir.DownSampler(**_common(channels, draw.bits(4, 8), pixels=9), input_dim=size, stride=(draw(2, 3),) * 2)
    return unit, ir.Folding(simd=simd)


def _upsample(draw: _Draw) -> tuple[ir.Unit, ir.Folding]:
    size, kind, channels = _image(draw), draw.bits(2, 4, 8), draw(1, 4, 8, 12)
    common = _common(channels, kind, pixels=size[0] * size[1] * 4)
    if draw.rng.random() < 0.5:
        return ir.DepthToSpace(**common, input_dim=size, block_size=draw(2, 2, 3)), ir.Folding()
    return ir.Upsample(**common, input_dim=size, scale=(draw(1, 2, 3), draw(1, 2, 3))), ir.Folding()


def _max_pool(draw: _Draw) -> tuple[ir.Unit, ir.Folding]:
    k, outputs = draw(2, 2, 2, 3, 4), draw(1, 2, 4, 7, 8, 14, 16)
    channels = draw(1, 2, 4, 8, 16, 32)
    size = (k * outputs, k * outputs) if draw.rng.random() < 0.8 else (k * outputs, 1)
    unit = ir.MaxPool(
        **_common(channels, draw.bits(1, 2, 4, 4, 8), pixels=outputs * outputs),
        input_dim=size,
        kernel=(k, k if size[1] > 1 else 1),
    )
    return unit, ir.Folding(ram_style="distributed")


def _pool(draw: _Draw) -> tuple[ir.Unit, ir.Folding]:
    pe, side = draw(1, 2, 4, 8), draw(2, 2, 3, 4, 7)
    read = draw.bits(2, 4, 4, 8)
    sizes: dict[str, Any] = {"output_dim": (1, 1), "kernel": (side, side)}
    if draw.rng.random() < 0.5:
        return ir.Pool(**_common(pe, read), **sizes, function="max"), ir.Folding(pe=pe)
    unit = ir.Pool(**_common(pe, read), **sizes, function="average")
    return unit.retyped([read]), ir.Folding(pe=pe)


def _global_pool(draw: _Draw) -> tuple[ir.Unit, ir.Folding]:
    pe, fold, read = draw(1, 2, 4, 8), draw(1, 3, 8, 16, 64), draw.bits(2, 4, 8)
    size = draw((4, 4), (7, 7), (8, 8), (2, 2))
    unit = ir.GlobalAccPool(**_common(pe * fold, read), input_dim=size).retyped([read])
    return unit, ir.Folding(pe=pe, ram_style="distributed")


def _labels(draw: _Draw) -> tuple[ir.Unit, ir.Folding]:
    labels = draw(10, 10, 20, 100)
    index = IntType.of((labels - 1).bit_length(), signed=False)
    unit = ir.LabelSelect(
        **_common(labels, IntType.of(draw(8, 12, 16, 20), **SIGNED), index),
        labels=labels,
        k=draw(1, 1, 2, 5),
    )
    return unit, ir.Folding(pe=draw(1, 1, 2, 5))


def _channelwise(draw: _Draw) -> tuple[ir.Unit, ir.Folding]:
    pe, fold, function = draw(1, 2, 4), draw(1, 4, 16, 64), draw("add", "mul", "cmp_le", "cmp_ge")
    read, parameter = draw.bits(4, 8, 12), IntType.of(draw(4, 8), **SIGNED)
    values = draw.rng.integers(parameter.range.lo, parameter.range.hi + 1, pe * fold)
    unit = ir.ChannelwiseOp(
        **_common(pe * fold, read, IntType.of(1, signed=False)),
        function=function,
        parameter_type=parameter,
        parameters=values,
    )
    return unit.retyped([read]), ir.Folding(pe=pe, ram_style="distributed")


def _add(draw: _Draw) -> tuple[ir.Unit, ir.Folding]:
    pe, read = draw(1, 2, 4, 8), draw.bits(4, 8, 12, 16)
    unit = ir.AddStreams(**{**_common(pe, read), "inputs": ("a", "b")}).retyped([read, read])
    return unit, ir.Folding(pe=pe)


def _copies(draw: _Draw) -> tuple[ir.Unit, ir.Folding]:
    n = draw(2, 2, 3, 4)
    if draw.rng.random() < 0.5:
        return ir.DuplicateStreams(**_common(8, draw.bits(4, 8)), copies=n), ir.Folding(pe=draw(1, 2, 4))
    unit = ir.Concat(**{**_common(4 * n, draw.bits(4, 8)), "inputs": ("a",) * n}, input_channels=(4,) * n)
    return unit, ir.Folding()


def _fifo(draw: _Draw) -> tuple[ir.Unit, ir.Folding]:
    depth = draw(2, 2, 2, 3, 5, 8, 16, 20, 33, 48, 64, 73, 100, 128, 146, 200, 256, 300, 512)
    unit = ir.Fifo(**_common(1, IntType("UINT1")), width=draw(1, 3, 4, 8, 12, 16, 24, 32), depth=depth)
    return unit, ir.Folding(ram_style="distributed")


def _converter(draw: _Draw) -> tuple[ir.Unit, ir.Folding]:
    narrow, ratio = draw(1, 2, 4, 4, 8, 12, 16), draw(2, 2, 3, 4, 8, 9, 16, 32)
    ends = (narrow, narrow * ratio) if draw.rng.random() < 0.5 else (narrow * ratio, narrow)
    if draw.rng.random() < 0.15:
        ends = (3 * narrow, 2 * narrow)
    unit = ir.DataWidthConverter(**_common(1, IntType("UINT1")), input_width=ends[0], output_width=ends[1])
    return unit, ir.Folding()


_KINDS: dict[str, tuple[Callable[[_Draw], tuple[ir.Unit, ir.Folding]], int]] = {
    "fifo": (_fifo, 40),
    "converter": (_converter, 24),
    "matrix": (_matrix, 44),
    "thresholds": (_thresholding, 26),
    "window": (_window, 16),
    "padding": (_padding, 28),
    "max pool": (_max_pool, 9),
    "pool": (_pool, 8),
    "add": (_add, 6),
    "copies": (_copies, 6),
    "global pool": (_global_pool, 4),
    "upsample": (_upsample, 5),
    "down sampler": (_down_sampler, 4),
    "labels": (_labels, 12),
    "channelwise": (_channelwise, 24),
    "constants": (_constants, 40),
    "few thresholds": (_few_thresholds, 14),
    "product": (_product, 12),
    "selected": (_selected, 3),
    "two thresholds": (_two_thresholds, 32),
    "wide values": (_wide_values, 20),
    "deep matrix": (_deep_matrix, 20),
}


def _simplified(unit: ir.MatrixUnit, folding: ir.Folding) -> bool:
    """Whether multipliers are simplified by what the weights are: few words, lanes of zeros alone, hardly an adder."""
    if folding.compute == "unrolled":
        return int(csd_digits(unit.weights).sum()) < FEWEST_DIGITS
    lanes = unit.weights.reshape(-1, folding.pe, unit.products // folding.simd, folding.simd)
    return unit.weight_words(folding) < FEWEST_WORDS or not lanes.any(axis=(0, 2)).all()


def samples() -> Iterator[Sample]:
    """All of them. Those with few words of weights, or one of parameters, are nearly constants, and left out."""
    for seed, (kind, (make, count)) in enumerate(_KINDS.items()):
        for number in range(count):
            unit, folding = make(_Draw(1000 * seed + number))
            simple = isinstance(unit, ir.MatrixUnit) and _simplified(unit, folding)
            if not simple and not (isinstance(unit, ir.ChannelwiseOp) and unit.channels == folding.pe):
                yield Sample(f"{kind.replace(' ', '_')}_{number}", unit, folding)
