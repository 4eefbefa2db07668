"""What a layer's accumulator meets, in integers: by inputs that an optimiser drives to the ends of its sums."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

__all__ = ["partial_sums", "search"]

_CONV = {1: (F.conv1d, F.conv_transpose1d), 2: (F.conv2d, F.conv_transpose2d), 3: (F.conv3d, F.conv_transpose3d)}


def partial_sums(
    op: str, x: np.ndarray, step: Any, weights: np.ndarray, a: dict[str, Any]
) -> tuple[np.ndarray, np.ndarray]:
    """Lowest and highest partial sum, over all orders of additions, of every output channel for each input.

    Args:
        op: Conv, ConvTranspose or MatMul.
        x: The layer's inputs, as they were executed; the first axis counts them.
        step: Of its values; one, or one per channel.
        weights: Integers, as the operator has them.
        a: Attributes.

    Returns:
        Two arrays of shape (inputs, channels), in float64 below 2^52, so exact.
    """
    integers, weights = np.round(x.astype(np.float64) / step), weights.astype(np.float64)
    total = _apply(op, integers, weights, a)
    of_magnitudes = _apply(op, np.abs(integers), np.abs(weights), a)  # of positive products and negative ones, apart
    channels = total.ndim - 1 if op == "MatMul" else 1
    axes = tuple(d for d in range(1, total.ndim) if d != channels)
    return (total - of_magnitudes).min(axis=axes) / 2, (total + of_magnitudes).max(axis=axes) / 2


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


def search(
    scores: Callable[[np.ndarray], Sequence[np.ndarray]],
    shape: Sequence[int],
    rng: np.random.Generator,
    rounds: int,
    width: int,
    known: np.ndarray | None = None,
) -> np.ndarray:
    """Inputs that drive numbers up, one for each: elements are changed, and what helps stays.

    Args:
        scores: From inputs, of shape (count, *shape), to the numbers of each input; -inf where there is none.
        shape: Of one input.
        rng: Random numbers.
        rounds: How often to change elements of the best inputs so far.
        width: How many changed inputs to try each time.
        known: Inputs that were extreme for something like it, of any shape; they are tried first, where theirs is this.

    Returns:
        The best input for each number, of shape (numbers, *shape).
    """
    scale = 10.0 ** rng.uniform(-2, 6)
    flat = np.float32([0.0, scale, -scale, 3e38, -3e38])
    starts = [np.broadcast_to(flat.reshape(-1, *(1,) * len(shape)), (len(flat), *shape))]
    random = max(6, width - len(flat))
    starts += [np.float32(rng.choice([-scale, 0, scale], (random - random // 3, *shape)))]
    starts += [np.float32(rng.normal(0, scale, (random // 3, *shape)))]
    tried = np.concatenate(starts)
    if known is not None and known.shape[1:] == tuple(shape):
        some = known[: width // 2]
        tried[len(tried) - len(some) :] = some
    found = np.array(scores(tried))  # shape: (numbers, inputs)
    best, reached = tried[found.argmax(axis=1)], found.max(axis=1)
    size = int(np.prod(shape))
    for _ in range(rounds):
        tried = best[rng.integers(0, len(best), width)].copy()
        rows = tried.reshape(width, size)
        for count, some in ((1, slice(0, width // 2)), (2, slice(width // 2, 3 * width // 4))):
            _change(rows[some], rng, scale, count)
        _change(rows[3 * width // 4 :], rng, scale, max(1, size // 3))
        found = np.array(scores(tried))
        better = found.max(axis=1) >= reached
        best[better] = tried[found.argmax(axis=1)][better]
        reached = np.maximum(reached, found.max(axis=1))
    return best


def _change(rows: np.ndarray, rng: np.random.Generator, scale: float, count: int) -> None:
    places = rng.integers(0, rows.shape[1], (len(rows), count))
    large = 10.0 ** rng.uniform(-3, 7, len(rows))
    palette = np.stack(
        [0 * large - scale, 0 * large + scale, 0 * large, rng.normal(0, scale, len(rows)), large, -large]
    )
    each = rng.integers(0, len(palette), (len(rows), 1 if count > 2 else count))
    rows[np.arange(len(rows))[:, None], places] = palette[each, np.arange(len(rows))[:, None]]
