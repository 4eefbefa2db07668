"""Euclidean projection onto the l1 ball (Duchi et al., ICML 2008, figure 1), for all rows at once.

EP-init (A2Q+, arXiv 2401.10432) starts the weights at the point of the ball nearest to the float weights.
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["project_l1_ball", "soft_threshold"]


def soft_threshold(magnitude: Tensor, radius: Tensor) -> Tensor:
    """Smallest ``theta >= 0`` with ``sum(max(m - theta, 0)) <= radius`` in each row.

    Args:
        magnitude: Not negative, shape ``(R, K)``.
        radius: Not negative, shape ``(R, 1)``.

    Example:
        >>> soft_threshold(torch.tensor([[3.0, 1.0, 0.5]]), torch.tensor([[2.5]]))
        tensor([[0.7500]])
    """
    ordered = magnitude.sort(1, descending=True).values
    count = torch.arange(1, magnitude.shape[1] + 1, device=magnitude.device, dtype=magnitude.dtype)
    # (sum of the n largest - radius) / n is unimodal in n and peaks where the n-th value meets the threshold.
    return ((ordered.cumsum(1) - radius) / count).amax(1, keepdim=True).clamp_min_(0)


def project_l1_ball(weight: Tensor, radius: Tensor) -> Tensor:
    """Nearest point to each row with ``||v||_1 <= radius``.

    Args:
        weight: Shape ``(C, K)``.
        radius: Not negative, shape ``(C, 1)``, ``(1, 1)`` or ``()``.

    Returns:
        Shape ``(C, K)``, dtype of ``weight``; computed in float64.

    Example:
        >>> project_l1_ball(torch.tensor([[3.0, -1.0, 0.5]]), torch.tensor([[2.5]]))
        tensor([[ 2.2500, -0.2500,  0.0000]])
    """
    w = weight.double()
    magnitude = w.abs()
    theta = soft_threshold(magnitude, radius.double().expand(w.shape[0], 1))
    return (magnitude - theta).clamp_min_(0).copysign(w).to(weight.dtype)
