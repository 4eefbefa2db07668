"""Exact integer Euclidean projection onto the two-sided budget.

``q = argmin ||q - w/s||^2`` over integers ``q_min <= q <= q_max`` whose sums ``S+`` and ``S-`` fit the budget. The
objective is separable and convex, so for given sums the best units of either sign are taken, in the order of what they
gain (Fox's greedy marginal allocation); :mod:`brevitas_a2q.quant._kernels.projection` says how the sums are found.

Backward, straight through where no budget binds. Where one does, the gradient's component along the normal of that face
is taken out of the active weights (the Jacobian of the projection onto the face); inactive weights get it unchanged, so
that they can come back.
"""

from __future__ import annotations

import torch
from torch import Tensor

from brevitas_a2q.quant._functional.budget import Budget
from brevitas_a2q.quant._functional.numeric import recover_codes
from brevitas_a2q.quant._functional.ops import project
from brevitas_a2q.quant._functional.tiling import in_tiles

__all__ = ["projected_codes", "projected_quantize"]


def projected_quantize(
    weight: Tensor, scale: Tensor, budget: Budget, q_min: int, q_max: int, tile: int | None = None
) -> Tensor:
    """Quantize weights by projection onto the budget and return them dequantized.

    Args:
        weight: Shape ``(C, K)``; of more dimensions, the rows are those of ``weight.flatten(1)``.
        scale: Positive ``s``, C values or one.
        budget: Budget of one accumulation.
        q_min: Lowest code.
        q_max: Highest code.
        tile: Number of consecutive products that one accumulation holds; None for all of them.

    Returns:
        ``q * s``, shape and dtype of ``weight``; plain rounding to nearest where that fits the budget.
    """

    def quantize(part: Tensor, step: Tensor, limits: Budget) -> Tensor:
        out: Tensor = project(part, step, limits.table, int(q_min), int(q_max))[0]
        return out

    return in_tiles(quantize, weight, scale, budget, tile)


@torch.no_grad()
def projected_codes(
    weight: Tensor, scale: Tensor, budget: Budget, q_min: int, q_max: int, tile: int | None = None
) -> Tensor:
    """The integers of :func:`projected_quantize`; int64, shape ``(C, K)``."""
    return recover_codes(projected_quantize(weight, scale, budget, q_min, q_max, tile), scale)
