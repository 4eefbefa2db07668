"""Multi-stage accumulation (AXE, arXiv 2409.17092): a budget for every tile of consecutive products.

A tile is a dot product of its own with an inner accumulator, so a row of ``K`` products becomes ``K // tile`` rows of
``tile`` products, and one shorter row where ``tile`` does not divide ``K``.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from brevitas_a2q.quant._functional.budget import Budget

__all__ = ["in_tiles", "tile_count"]


def tile_count(row_length: int, tile: int | None) -> int:
    """Tiles in a row.

    Example:
        >>> tile_count(10, 4), tile_count(10, None)
        (3, 1)
    """
    return 1 if tile is None else -(-row_length // tile)


def in_tiles(
    quantize: Callable[..., Tensor], weight: Tensor, scale: Tensor, budget: Budget, tile: int | None, *per_tile: Tensor
) -> Tensor:
    """Apply a row-wise quantizer to every tile of every row.

    Args:
        quantize: Takes rows, scale, budget and the ``per_tile`` tensors.
        weight: Shape ``(C, K)``; of more dimensions, the rows are those of ``weight.flatten(1)``.
        scale: C values or one.
        budget: Budget of one tile.
        tile: Products in a tile; None for whole rows.
        *per_tile: Tensors of shape ``(C, tiles)``, or ``(C, 1)`` where all tiles of a row share a value.
    """
    if tile is None or tile * int(weight.shape[0]) >= weight.numel():
        return quantize(weight, scale, budget, *per_tile)
    shape, weight, scale = weight.shape, weight.flatten(1), scale.reshape(-1, 1)
    channels, length = (int(size) for size in weight.shape)  # tensors to torch.jit.trace otherwise
    tiles, rest = divmod(length, tile)
    columns = [value.expand(channels, tile_count(length, tile)) for value in per_tile]
    rows = (channels * tiles, 1)
    whole = quantize(
        weight[:, : tiles * tile].reshape(channels * tiles, tile),
        scale.expand(channels, tiles).reshape(rows),
        Budget(*(limit.expand(channels, tiles).reshape(rows) if limit.dim() else limit for limit in budget)),
        *(value[:, :tiles].reshape(rows) for value in columns),
    ).reshape(channels, tiles * tile)
    if not rest:
        return whole.view(shape)
    last = quantize(weight[:, tiles * tile :], scale, budget, *(value[:, tiles:] for value in columns))
    return torch.cat([whole, last], 1).view(shape)
