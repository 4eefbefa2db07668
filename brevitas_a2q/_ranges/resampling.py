"""Images at another resolution: pixel shuffles, nearest neighbours, interpolation."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from brevitas_a2q._ranges.annotation import Array, RangeError
from brevitas_a2q._ranges.movement import along, permute, reshape, take
from brevitas_a2q._ranges.rounding import UNIT, weighed, widened
from brevitas_a2q._ranges.value import Value

__all__ = ["interpolate", "pixel_shuffle", "pixel_unshuffle", "resize", "space_to_depth"]


def pixel_shuffle(x: Value, block: int, order: str = "CRD") -> Value:
    """Channels to pixels (ONNX DepthToSpace), in blocks of ``block`` by ``block``.

    Args:
        x: shape (batch, channels, height, width).
        block: Pixels per channel group, in each direction.
        order: ``CRD``, the channel varying slowest, as in PyTorch; or ``DCR``, the block's position varying slowest.
    """
    n, c, h, w = _image(x)
    if block < 1 or c % block**2 or order not in ("CRD", "DCR"):
        raise RangeError(f"found {c} channels, blocks of {block}, order {order}", expected="channels in whole blocks")
    split = (n, c // block**2, block, block, h, w) if order == "CRD" else (n, block, block, c // block**2, h, w)
    axes = (0, 1, 4, 2, 5, 3) if order == "CRD" else (0, 3, 4, 1, 5, 2)
    return reshape(permute(reshape(x, split), axes), (n, c // block**2, h * block, w * block))


def pixel_unshuffle(x: Value, block: int) -> Value:
    """Pixels to channels in PyTorch's order, the input's channel varying slowest."""
    n, c, h, w = _image(x)
    _check_block(h, w, block)
    split = reshape(x, (n, c, h // block, block, w // block, block))
    return reshape(permute(split, (0, 1, 3, 5, 2, 4)), (n, c * block**2, h // block, w // block))


def space_to_depth(x: Value, block: int) -> Value:
    """Pixels to channels in ONNX' order, the position in the block varying slowest."""
    n, c, h, w = _image(x)
    _check_block(h, w, block)
    split = reshape(x, (n, c, h // block, block, w // block, block))
    return reshape(permute(split, (0, 3, 5, 1, 2, 4)), (n, c * block**2, h // block, w // block))


def _image(x: Value) -> tuple[int, int, int, int]:
    if x.rank != 4:
        raise RangeError(f"found shape {x.shape}", expected="(batch, channels, height, width)")
    n, c, h, w = x.shape
    return n, c, h, w


def _check_block(height: int, width: int, block: int) -> None:
    if block < 1 or height % block or width % block:
        raise RangeError(f"found blocks of {block} in {height} by {width} pixels", expected="whole blocks")


def resize(x: Value, indices: Sequence[Sequence[int] | range | Array | None]) -> Value:
    """Nearest neighbours: for every axis the element that each output reads; None leaves an axis as it is."""
    if len(indices) != x.rank:
        raise RangeError(f"found indices of {len(indices)} axes", expected=f"{x.rank}")
    for axis, places in enumerate(indices):
        if places is not None:
            x = take(x, axis, places)
    return x


def interpolate(x: Value, shape: Sequence[int], reach: float = 1.0, taps: int = 4) -> Value:
    """Weighted means of elements along all axes but the first two; real numbers, for their weights are fractions.

    Args:
        x: shape (batch, channels, *spatial).
        shape: Of the output.
        reach: Largest sum of the weights' magnitudes: 1 of linear interpolation, more where weights are negative.
        taps: Most elements that one output sums.
    """
    spatial = tuple(range(2, x.rank))
    image = along(x, spatial, shape, f"interpolation of {x.origin}")
    if not image.bounded:  # a weight of zero makes NaN of infinity
        return Value.unknown(tuple(shape), image.origin)
    lo, hi = image.ends()
    middle, half = (lo + hi) / 2, (hi - lo) / 2 * reach
    with np.errstate(all="ignore"):
        # Weights are computed from positions in float32 too: their sum is 1 up to a few roundings of each.
        error = (4 * taps + 8) * UNIT * reach * np.maximum(np.abs(lo), np.abs(hi))
        ends = (lo, hi) if reach == 1 else (middle - half, middle + half)
    enclose = weighed if reach == 1 else widened
    return Value.interval(tuple(shape), *enclose(*ends, error), image.origin)
