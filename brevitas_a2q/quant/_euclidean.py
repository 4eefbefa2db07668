"""Nearest weights that A2Q need not shrink: the projection behind EP-init (A2Q+, arXiv 2401.10432)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from brevitas_a2q.quant._functional import Budget, log2_norm_cap
from brevitas_a2q.quant._functional.euclidean import project_l1_ball

__all__ = ["project_centred", "project_rows"]


def project_centred(rows: Tensor, radius: Tensor) -> Tensor:
    """Nearest zero-centred rows with an l1 norm of at most ``radius``.

    The two signs of centred weights have equal norms; projecting each onto half of the radius keeps them equal.

    Args:
        rows: # shape: (C, K)
        radius: # shape: (C, 1)

    Example:
        >>> project_centred(torch.tensor([[4.0, 1.0, 1.0]]), torch.tensor([[2.0]]))
        tensor([[ 1.0000, -0.5000, -0.5000]])
    """
    centred = rows - rows.mean(1, keepdim=True)
    half = radius / 2
    return project_l1_ball(centred.clamp_min(0), half) - project_l1_ball((-centred).clamp_min(0), half)


def project_rows(
    rows: Tensor, scale: Tensor, budget: Budget, centred: bool, tiles: Sequence[int]
) -> tuple[Tensor, Tensor]:
    """Nearest weights that A2Q (or A2Q+, where ``centred``) need not shrink at this scale.

    Args:
        rows: # shape: (C, K)
        scale: ``s``.  # shape: (C, 1) or (1, 1)
        budget: Of one accumulation.
        centred: Whether weights are zero-centred.
        tiles: Weights of each tile of a row.

    Returns:
        Rows, and the largest l1 norm ``s * cap`` of each of their tiles, in float64.  # shapes: (C, K) and (C, 1)
    """
    cap = torch.exp2(log2_norm_cap(scale.double(), budget, centred)).expand(rows.shape[0], 1)
    project = project_centred if centred else project_l1_ball
    parts = torch.split(rows.double(), list(tiles), dim=1)
    return torch.cat([project(part, cap) for part in parts], 1), cap
