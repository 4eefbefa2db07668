"""Nearest weights whose l1 norm fits a budget: the projection behind EP-init (A2Q+, arXiv 2401.10432, section 4.3)."""

from __future__ import annotations

import torch
from torch import Tensor

from brevitas_a2q.quant.functional import Budget, log2_norm_cap

__all__ = ["project_centred", "project_l1", "project_rows"]


def project_l1(rows: Tensor, radius: Tensor) -> Tensor:
    """Nearest rows with an l1 norm of at most ``radius``: a soft threshold per row (Duchi et al., ICML 2008).

    Args:
        rows: # shape: (C, K)
        radius: Not negative.  # shape: (C, 1)

    Example:
        >>> project_l1(torch.tensor([[3.0, -1.0, 0.5], [0.5, 0.0, 0.0]]), torch.tensor([[2.0], [2.0]]))
        tensor([[2.0000, -0.0000, 0.0000],
                [0.5000, 0.0000, 0.0000]])
    """
    magnitude = rows.abs()
    falling = magnitude.sort(dim=1, descending=True).values
    count = torch.arange(1, rows.shape[1] + 1, device=rows.device, dtype=rows.dtype)
    thresholds = (falling.cumsum(1) - radius) / count
    # The right threshold is the largest of them: it rises while it stays below the next weight, and falls afterwards.
    theta = thresholds.amax(1, keepdim=True).clamp_min(0)
    return rows.sign() * (magnitude - theta).clamp_min(0)


def project_centred(rows: Tensor, radius: Tensor) -> Tensor:
    """Nearest zero-centred rows with an l1 norm of at most ``radius``.  # shape: (C, K)"""
    centred = rows - rows.mean(1, keepdim=True)
    return project_l1(centred.clamp_min(0), radius / 2) - project_l1((-centred).clamp_min(0), radius / 2)


def project_rows(rows: Tensor, scale: Tensor, budget: Budget, centred: bool, tile: int | None) -> tuple[Tensor, Tensor]:
    """Nearest weights that A2Q (or A2Q+, where ``centred``) need not shrink at this scale.

    Args:
        rows: # shape: (C, K)
        scale: ``s``.  # shape: (C, 1) or (1, 1)
        budget: Of one accumulation.
        centred: Whether weights are zero-centred.
        tile: Weights per tile, or None.

    Returns:
        Rows, and the largest l1 norm ``s * cap`` of each of their tiles, in float64.  # shapes: (C, K) and (C, 1)
    """
    cap = torch.exp2(log2_norm_cap(scale.double(), budget, centred)).expand(rows.shape[0], 1)
    project = project_centred if centred else project_l1
    parts = torch.split(rows.double(), min(tile or rows.shape[1], rows.shape[1]), dim=1)
    return torch.cat([project(part, cap) for part in parts], 1), cap
