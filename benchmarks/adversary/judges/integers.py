"""What a layer's accumulator meets, in integers: by inputs that an optimiser drives to the ends of its sums."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

__all__ = ["ascend", "partial_sums"]

_CONV = {1: (F.conv1d, F.conv_transpose1d), 2: (F.conv2d, F.conv_transpose2d)}


def partial_sums(op: str, x: np.ndarray, step: Any, weights: np.ndarray, a: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """Lowest and highest partial sum, over all orders of additions, of every output channel for one input.

    Args:
        op: Conv, ConvTranspose or MatMul.
        x: The layer's input, as it was executed.
        step: Of its values; one, or one per channel.
        weights: Integers, as the operator has them.
        a: Attributes.

    Returns:
        Two arrays of shape (channels,), in float64 below 2^53, so exact.
    """
    integers = np.round(x.astype(np.float64) / step)
    plus, minus = np.maximum(integers, 0), np.maximum(-integers, 0)
    up, down = np.maximum(weights, 0).astype(np.float64), np.maximum(-weights, 0).astype(np.float64)
    high = _apply(op, plus, up, a) + _apply(op, minus, down, a)
    low = -(_apply(op, plus, down, a) + _apply(op, minus, up, a))
    axes = tuple(d for d in range(high.ndim) if d != (high.ndim - 1 if op == "MatMul" else 1))
    return low.min(axis=axes), high.max(axis=axes)


def _apply(op: str, x: np.ndarray, w: np.ndarray, a: dict[str, Any]) -> np.ndarray:
    s, t = torch.from_numpy(np.ascontiguousarray(x)), torch.from_numpy(np.ascontiguousarray(w))
    if op == "MatMul":
        return (s @ t).numpy()
    rank = t.dim() - 2
    convolve, transposed = _CONV[rank]
    if op == "ConvTranspose":
        return transposed(s, t, None, a["strides"], 0, 0, a["group"], a["dilations"]).numpy()
    begins, ends = a["pads"][:rank], a["pads"][rank:]
    pairs = [side for d in reversed(range(rank)) for side in (begins[d], ends[d])]
    return convolve(F.pad(s, pairs), t, None, a["strides"], 0, a["dilations"], a["group"]).numpy()


def ascend(
    run: Callable[[np.ndarray], float], shape: tuple[int, ...], rng: np.random.Generator, tries: int, sign: int
) -> np.ndarray:
    """An input that drives a number up (or down): single elements are changed, and what helps stays.

    Args:
        run: From an input to the number.
        shape: Of the input.
        rng: Random numbers.
        tries: How often to run.
        sign: 1 for up, -1 for down.
    """
    scale = 10.0 ** rng.uniform(-2, 6)
    starts = [np.full(shape, v, np.float32) for v in (0.0, scale, -scale, 3e38, -3e38)]
    starts += [np.float32(rng.choice([-scale, 0, scale], shape)), np.float32(rng.normal(0, scale, shape))]
    best, score = starts[0], -np.inf
    for x in starts:
        found = sign * run(x)
        best, score = (x, found) if found > score else (best, score)
    for _ in range(tries):
        x = best.copy()
        count = int(rng.choice([1, 1, 2, max(1, x.size // 3)]))
        places = rng.integers(0, x.size, count)
        x.reshape(-1)[places] = rng.choice([-scale, scale, 0.0, rng.normal(0, scale), 10.0 ** rng.uniform(-3, 7), -(10.0 ** rng.uniform(-3, 7))])
        found = sign * run(x)
        best, score = (x, found) if found >= score else (best, score)
    return best
