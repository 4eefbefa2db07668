"""A2Q: weight normalization that caps the l1 norm (Colbert et al., ICCV 2023, arXiv 2308.13504).

``w = g * v / ||v||_1`` and ``q = clip(round_to_zero(w / s))`` with ``g = 2^min(t, T)``. ``T = log2(s * cap)`` comes
from the exact budget (``brevitas_a2q.quant._functional.budget``), never below the published one.
"""

from __future__ import annotations

import torch
from torch import Tensor

from brevitas_a2q.quant._functional.budget import Budget
from brevitas_a2q.quant._functional.numeric import recover_codes
from brevitas_a2q.quant._functional.ops import normalize
from brevitas_a2q.quant._functional.tiling import in_tiles

__all__ = ["a2q_codes", "a2q_quantize", "log2_norm_cap", "normalized_quantize"]


def log2_norm_cap(scale: Tensor, budget: Budget, centred: bool = False) -> Tensor:
    """``T``: the cap of the learned log-norm ``t`` at this scale.

    Args:
        scale: Scale of the weights, shape ``(C, 1)``, ``(1, 1)`` or ``()``.
        budget: Budget of the channels.
        centred: Whether weights are zero-centred (A2Q+).

    Returns:
        Shape of ``scale`` and ``budget`` broadcast; ``-inf`` where no weight fits.
    """
    return torch.log2(scale) + torch.log2(budget.norm_cap(centred).to(scale.dtype))


def normalized_quantize(
    weight: Tensor,
    scale: Tensor,
    norm: Tensor,
    budget: Budget,
    q_min: int,
    q_max: int,
    tile: int | None,
    centred: bool,
) -> Tensor:
    """A2Q, or A2Q+ where ``centred``; see :func:`a2q_quantize`."""

    def quantize(part: Tensor, step: Tensor, limits: Budget, log2_norm: Tensor) -> Tensor:
        has_room = part.numel() > int(part.shape[0])  # one weight has none for centring
        how = int(q_min), int(q_max), centred and has_room
        out: Tensor = normalize(part, step, log2_norm, limits.table, *how)[0]
        return out

    return in_tiles(quantize, weight, scale, budget, tile, norm)


def a2q_quantize(
    weight: Tensor, scale: Tensor, norm: Tensor, budget: Budget, q_min: int, q_max: int, tile: int | None = None
) -> Tensor:
    """Quantize weights by A2Q and return them dequantized.

    Args:
        weight: Direction ``v`` of the weights, shape ``(C, K)``; of more dimensions, the rows are those of
            ``weight.flatten(1)``.
        scale: Positive ``s``, C values or one.
        norm: ``t``, log2 of the norm ``g``; shape ``(C, 1)``, or ``(C, tiles)`` to give each tile its own.
        budget: Budget of one accumulation.
        q_min: Lowest code.
        q_max: Highest code.
        tile: Number of consecutive products that one accumulation holds; None for all of them.

    Returns:
        ``q * s``, shape and dtype of ``weight``.
    """
    return normalized_quantize(weight, scale, norm, budget, q_min, q_max, tile, centred=False)


@torch.no_grad()
def a2q_codes(
    weight: Tensor, scale: Tensor, norm: Tensor, budget: Budget, q_min: int, q_max: int, tile: int | None = None
) -> Tensor:
    """The integers of :func:`a2q_quantize`; int64, shape ``(C, K)``."""
    return recover_codes(a2q_quantize(weight, scale, norm, budget, q_min, q_max, tile), scale)
