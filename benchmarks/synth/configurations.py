"""What is synthesised for kinds of units that the reference grid lacks: small units over their parameters' range."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import numpy as np
from synthesise import Job

STREAMS, WINDOWS, POOLS = ("streams.sv",), ("windows.sv",), ("pools.sv", "windows.sv")
# What the grid lacks: binary weights and activations, a tree of 32.
ARRAYS = (
    (1, 1, 16, 1, 12), (1, 1, 32, 1, 16), (1, 2, 8, 1, 12), (1, 4, 8, 1, 12), (1, 4, 4, 1, 7), (2, 1, 16, 1, 12),
    (4, 1, 8, 1, 12), (4, 4, 32, 1, 14), (1, 8, 4, 1, 16),
)  # fmt: skip
CLIPPED = ((12, 8), (14, 12), (16, 8), (18, 14), (20, 10), (24, 8), (24, 16), (32, 8), (32, 12), (32, 20), (48, 16))
FOLDS = ((4, 16), (9, 1), (9, 9), (18, 3), (50, 10), (72, 8), (128, 1), (3, 24))
ROMS = ((16, 16), (64, 8), (256, 8), (384, 8), (512, 8), (1024, 8), (2048, 4), (4096, 2))


def _jobs(circuit: str, files: tuple[str, ...], names: str, *rows: tuple[int, ...], top: str = "") -> Iterator[Job]:
    for row in rows:
        yield Job(circuit, top or circuit.replace(" ", "_"), files, dict(zip(names.split(), row, strict=True)))


def configurations() -> list[Job]:
    """All of them, in the order of ``data/measured.csv``."""
    return [*_first(), *_small()]


def _first() -> list[Job]:
    """Every kind of unit over its parameters' range."""
    some = _Sampler(1)
    adders = [(pe, w, w + 1) for pe, w in some(6, (1, 2, 4, 8), (2, 4, 8, 12))]
    sums = some(5, (1, 2, 4), (4, 8, 16), (4, 8), (1, 16))
    products = some(5, (1, 2), (4, 8), (3, 4, 8), (1, 16))
    compares = some(4, (1, 2, 4), (8, 16), (8,), (1, 16))
    channelwise = [
        *((pe, wi, wp, max(wi, wp) + 1, cf, 0) for pe, wi, wp, cf in sums),
        *((pe, wi, wp, wi + wp, cf, 1) for pe, wi, wp, cf in products),
        *((pe, wi, wp, 1, cf, 2) for pe, wi, wp, cf in compares),
    ]
    windows = [_window(*image) for image in some(8, (8, 16, 32), (1, 4, 6), (1, 2), (2, 3, 5))]
    lines = [(s, s, f, k, k, b, t, t) for s, f, k, b, t in some(6, (8, 16, 32), (1, 2), (2, 3), (4, 16), (1, 2))]
    padded = [p for p in some(8, (8, 16, 34), (8, 34), (1, 4), (4, 16), (1, 2), (1, 2)) if p[5] == 1]
    maxima = [(c, b, s, s, k, k) for c, b, s, k in some(7, (1, 4, 8), (2, 4, 8), (16, 32), (2, 4))]
    pooled = [
        *((pe, b, b, k, 0) for pe, b, k in some(5, (1, 2, 4), (2, 4, 8), (4, 9))),
        *((pe, b, b + 4, k, 1) for pe, b, k in some(5, (1, 2, 4), (2, 4, 8), (4, 9))),
    ]
    divided = ((1, 8, 9), (1, 12, 9), (2, 8, 25), (1, 10, 49), (1, 6, 9))
    summed = [(pe, b, b + 6, f, n) for pe, b, f, n in some(6, (1, 2, 4), (2, 4, 8), (1, 8), (49, 64))]
    return [
        *_jobs("lut core", ("array.sv", "streams.sv"), "W A SIMD PE P", *ARRAYS, top="array"),
        *_jobs("add streams", STREAMS, "PE WI WO", *adders),
        *_jobs("duplicate streams", STREAMS, "N W", (2, 8), (3, 8), (4, 16), (5, 4)),
        *_jobs("concat", STREAMS, "N W", (2, 8), (3, 8), (4, 16), (6, 4)),
        *_jobs("gathering", STREAMS, "N W", (2, 24), (4, 24), *some(6, (2, 3, 4, 8, 16), (2, 8, 24))),
        *_jobs("parting", STREAMS, "N W", (2, 2), (4, 8), (8, 8), *some(7, (2, 3, 4, 8, 16), (2, 8, 24))),
        *_jobs("register fifo", STREAMS, "W", (1,), (4,), (8,), (24,), (64,)),
        *_jobs("fifo", STREAMS, "W D", *some(8, (4, 8, 32), (16, 32, 50, 64, 100, 128))),
        *_jobs("channelwise", STREAMS, "PE WI WP WO CF OP", *channelwise),
        *_jobs("sliding window", WINDOWS, "H W CF KH KW OH OW SH SW D", *windows),
        *_jobs("parallel window", WINDOWS, "H W CF KH KW B SH SW", *lines),
        *_jobs("padding", WINDOWS, "H W CF B PAD STEP", *padded),
        *_jobs("down sampler", WINDOWS, "H W CF STRIDE", *some(5, (8, 16, 32), (8, 32), (1, 4), (2, 3))),
        *_jobs("line reader", WINDOWS, "H W SH SW", *some(6, (8,), (4, 8, 16, 32, 20), (2, 3, 4), (2, 3))),
        *_jobs("matrix control", WINDOWS, "SF NF", *some(7, (1, 2, 9, 36, 64), (1, 2, 4, 16, 64)), *FOLDS),
        *_jobs("max pool", POOLS, "C B H W KH KW", *maxima),
        *_jobs("pool", POOLS, "PE B WS K OP", *pooled),
        *_jobs("division", POOLS, "PE WS K", *divided, top="divide"),
        *_jobs("global pool", POOLS, "PE B WS CF N", *summed),
        *_jobs("read only memory", ("memories.sv",), "D W", *ROMS, top="read_only"),
        *_jobs("label select", POOLS, "PE K B N", *some(8, (1, 2, 5), (1, 2, 5), (8, 16, 24), (10, 100))),
    ]


def _small() -> list[Job]:
    """More of the units of a few LUTs, in sizes of usual networks: here one LUT is a tenth of the whole."""
    some = _Sampler(2)
    sizes, folds = (9, 10, 16, 18, 30, 34, 56, 58, 114, 226), (1, 2, 3, 4, 8, 12, 16, 64)
    images = some(20, sizes, folds, (12, 24, 48, 96), (1, 2, 3))
    spread = some(8, (9, 15, 27, 31, 55, 63), folds, (8, 64))
    sampled = some(24, (7, 8, 14, 16, 28, 30, 32, 56, 64, 112), folds, (2, 3))
    lines = some(20, (4, 7, 8, 10, 14, 16, 28, 32, 56, 64), (2, 3, 4), (2, 3, 4))
    views = some(16, (9, 10, 18, 30, 34, 58), (1, 2, 3, 8), (2, 3, 5), (1, 2))
    fills = [_window(*image) for image in some(10, (10, 18, 30, 34), (1, 3, 8), (1, 2), (2, 3))]
    searches = some(14, (2, 3, 4, 6, 8), (8, 12, 16, 22, 28), (16, 64, 128))
    maxima = some(10, (1, 2, 4, 8), (3, 4, 6, 8), (14, 28, 56), (2,))
    pools = some(28, (1, 2, 4, 8), (3, 4, 6, 8), (4, 9, 16, 49), (0, 1))
    averages = some(8, (1, 2, 4), (3, 4, 6, 8), (1, 3, 12), (16, 49, 64))
    controls = some(36, (1, 2, 3, 4, 9, 12, 16, 18, 27, 32, 36, 48, 64, 72, 144), (1, 2, 3, 4, 5, 8, 10, 16, 32, 64))
    groups = (5, 6, 7, 9, 10, 12, 14, 18, 20, 25, 28, 32, 36, 48, 56, 64, 72, 104, 144)
    return [
        *_jobs("gathering", STREAMS, "N W", *((n, 8) for n in groups)),
        *_jobs("fifo", STREAMS, "W D", *some(10, (4, 12, 24), (20, 48, 96, 200, 256))),
        *_jobs("sliding window", WINDOWS, "H W CF KH KW OH OW SH SW D", *fills),
        *_jobs("padding", WINDOWS, "H W CF B PAD STEP", *((s, s, f, b, p, 1) for s, f, b, p in images)),
        *_jobs("padding", WINDOWS, "H W CF B PAD STEP", *((s, s, f, b, 0, 2) for s, f, b in spread)),
        *_jobs("down sampler", WINDOWS, "H W CF STRIDE", *((s, s, f, t) for s, f, t in sampled)),
        *_jobs("line reader", WINDOWS, "H W SH SW", *((8, w, h, v) for w, h, v in lines)),
        *_jobs("parallel window", WINDOWS, "H W CF KH KW B SH SW", *((s, s, f, k, k, 4, t, t) for s, f, k, t in views)),
        *_jobs("max pool", POOLS, "C B H W KH KW", *((c, b, s, s, k, k) for c, b, s, k in maxima)),
        *_jobs("pool", POOLS, "PE B WS K OP", *((pe, b, b + o * (k - 1).bit_length(), k, o) for pe, b, k, o in pools)),
        *_jobs("division", POOLS, "PE WS K", *((1, w, k) for w, k in some(8, (7, 9, 11), (9, 25, 49))), top="divide"),
        *_jobs("global pool", POOLS, "PE B WS CF N", *((pe, b, b + 6, f, n) for pe, b, f, n in averages)),
        *_jobs("matrix control", WINDOWS, "SF NF", *controls),
        *_jobs("label select", POOLS, "PE K B N", *some(8, (1, 2, 5), (1, 3), (12, 18, 20), (10, 20, 100))),
        *_jobs("saturation", ("thresholds.sv",), "P V", *CLIPPED),
        *_jobs("block search", ("thresholds.sv", "windows.sv"), "B P CF", *searches),
    ]


class _Sampler:
    """Random distinct points of a grid, the same on every run."""

    def __init__(self, seed: int) -> None:
        self._rng = np.random.default_rng(seed)

    def __call__(self, count: int, *choices: tuple[int, ...]) -> list[tuple[int, ...]]:
        every = list(product(*choices))
        return [every[i] for i in sorted(self._rng.choice(len(every), count, replace=False))]


def _window(size: int, fold: int, stride: int, kernel: int) -> tuple[int, ...]:
    out = (size - kernel) // stride + 1
    words = ((kernel - 1) * size + kernel) * fold + max(0, (stride - 1) * size * fold)
    return (size, size, fold, kernel, kernel, out, out, stride, stride, words)
