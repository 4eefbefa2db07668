"""Exact lowest and highest value of every accumulator of a layer, and the inputs that reach them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt

from brevitas_a2q._ir.dot_product import DotProductLayer, IntArray
from brevitas_a2q.bounds import required_bit_width

__all__ = ["End", "SumRange", "fits_int64", "layer_sum", "tile_sums", "tiled", "witness"]

End = Literal["lower", "upper"]
_Numbers = npt.NDArray[Any]
_Reduction = Callable[[_Numbers], _Numbers]

_TOGETHER: Final = 1 << 17  # products whose intermediate results stay in the cache


@dataclass(frozen=True)
class SumRange:
    """Exact range of one accumulator per channel, over every input and every order of additions.

    ``lower`` and ``upper`` are reached: each by its witness input. A bias is one more term of the sum, so a positive
    one moves only ``upper`` and a negative one only ``lower`` (the other end is a partial sum without it).
    """

    lower: tuple[int, ...]  # per channel
    upper: tuple[int, ...]  # per channel
    accumulator_bit_width: int | None  # target P; None: none was set

    @cached_property
    def required_bit_widths(self) -> tuple[int, ...]:
        """Smallest width that holds each channel, in bits."""
        return tuple(required_bit_width(low, high) for low, high in zip(self.lower, self.upper, strict=True))

    @cached_property
    def worst_channel(self) -> int:
        """The channel whose sum reaches furthest."""
        return max(range(len(self.lower)), key=lambda channel: max(self.upper[channel], ~self.lower[channel]))

    @property
    def required_bit_width(self) -> int:
        """Smallest width that holds every channel, in bits."""
        return self.required_bit_widths[self.worst_channel]

    @property
    def margin_bits(self) -> int | None:
        """Target less required width; negative where the target does not hold; None without a target."""
        return None if self.accumulator_bit_width is None else self.accumulator_bit_width - self.required_bit_width

    @property
    def holds(self) -> bool:
        """Whether no channel can leave the target's range; true where there is no target to hold."""
        return self.margin_bits is None or self.margin_bits >= 0


def fits_int64(layer: DotProductLayer) -> bool:
    """Whether no sum of the layer, nor of its magnitudes, can leave 64 bits: proven with Python integers."""
    weight = _magnitude(layer.weights)
    inputs = max(_magnitude(layer.x_lo), _magnitude(layer.x_hi))
    bias = 0 if layer.bias is None else _magnitude(layer.bias)
    return 2 * (weight * inputs * layer.dot_product_size + bias) < 1 << 63


def tiled(values: npt.NDArray[Any], tile: int | None) -> npt.NDArray[Any]:
    """Last axis cut into tiles, the last one filled up with zeros.

    Args:
        values: shape (..., K).
        tile: T, products per tile; None for one tile of all.

    Returns:
        shape (..., ceil(K / T), T).
    """
    size = values.shape[-1]
    tile = size if tile is None else min(tile, size)
    missing = -size % tile
    padded = np.concatenate([values, np.zeros((*values.shape[:-1], missing), values.dtype)], axis=-1)
    return padded.reshape(*values.shape[:-1], -1, tile)


def layer_sum(layer: DotProductLayer, accumulator_bit_width: int | None) -> SumRange:
    """Range of the whole dot product with its bias."""
    lowest, highest = _reduced(layer, lambda products: products.sum(axis=1), lambda products: products.sum(axis=1))
    bias = np.zeros(layer.channels, lowest.dtype) if layer.bias is None else layer.bias.astype(lowest.dtype)
    lower, upper = lowest + np.minimum(bias, 0), highest + np.maximum(bias, 0)
    return SumRange(_integers(lower), _integers(upper), accumulator_bit_width)


def tile_sums(layer: DotProductLayer) -> SumRange:
    """Range over the tiles of each channel, without the bias, which the sum of tiles takes."""
    lowest, highest = _reduced(
        layer,
        lambda products: tiled(products, layer.tile).sum(axis=-1).min(axis=1),
        lambda products: tiled(products, layer.tile).sum(axis=-1).max(axis=1),
    )
    return SumRange(_integers(lowest), _integers(highest), layer.accumulator_bit_width)


def witness(layer: DotProductLayer, channel: int, end: End) -> IntArray:
    """The input (code less zero-point) that drives a channel's sum to its lower or upper value.

    Every product is at its extreme at once: ``x_hi`` where the weight pushes that way, else ``x_lo``; 0 under a zero.

    Returns:
        shape (K,).
    """
    weights = layer.weights[channel]
    shape = layer.weights.shape
    low = np.broadcast_to(layer.x_lo, shape)[channel]
    high = np.broadcast_to(layer.x_hi, shape)[channel]
    rises = weights > 0 if end == "upper" else weights < 0
    return np.where(weights == 0, 0, np.where(rises, high, low)).astype(np.int64)


def _reduced(layer: DotProductLayer, lowest: _Reduction, highest: _Reduction) -> tuple[_Numbers, _Numbers]:
    """What becomes of the lowest and the highest values of all products, channel by channel.

    Args:
        layer: Its channels are looked at some at a time, so that intermediate results stay in the cache.
        lowest, highest: Each from products, shape (channels, K), to one number per channel, in an integer type that
            holds their sums.
    """
    exact = np.int64 if fits_int64(layer) else object
    rows = max(1, _TOGETHER // max(1, layer.dot_product_size))
    low, high = (np.broadcast_to(ends, layer.weights.shape) for ends in (layer.x_lo, layer.x_hi))
    found = []
    for first in range(0, layer.channels, rows):
        weights, *inputs = (values[first : first + rows].astype(exact) for values in (layer.weights, low, high))
        ends = weights * inputs[0], weights * inputs[1]
        found.append((lowest(np.minimum(*ends)), highest(np.maximum(*ends))))
    return np.concatenate([low for low, _ in found]), np.concatenate([high for _, high in found])


def _integers(values: npt.NDArray[Any]) -> tuple[int, ...]:
    return tuple(int(value) for value in values)


def _magnitude(values: IntArray) -> int:
    # Not np.abs: the magnitude of -2^63 does not fit int64.
    return max(int(values.max()), -int(values.min()), 0) if values.size else 0
