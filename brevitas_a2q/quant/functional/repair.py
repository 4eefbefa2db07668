"""The exact check on the final integers, and the repair of channels that fail it.

Every method ends here, so its promise does not rest on floating-point arithmetic: sums are exact and so are the
comparisons.
"""

from __future__ import annotations

import torch
from torch import Tensor

from brevitas_a2q.quant.functional.budget import Budget

__all__ = ["enforce", "exact_sign_sums", "trim"]


def exact_sign_sums(codes: Tensor) -> tuple[Tensor, Tensor]:
    """Exact ``S+`` and ``S-`` of integer-valued floating-point codes.

    The type they are computed in adds them exactly, in any order: float32 where the largest possible row stays below
    ``2^24``, float64 elsewhere (:func:`~brevitas_a2q.quant.functional.numeric.compute_dtype`).

    Args:
        codes: Integer values, shape ``(C, K)``.

    Returns:
        Two tensors of shape ``(C, 1)``, dtype of ``codes``.
    """
    total, magnitude = codes.sum(1, keepdim=True), codes.abs().sum(1, keepdim=True)
    positive = (magnitude + total) / 2
    return positive, positive - total


def trim(codes: Tensor, cap: Tensor) -> Tensor:
    """Keep the first ``cap`` units of each row of non-negative int64 codes; shape kept.

    Example:
        >>> trim(torch.tensor([[2, 3, 1]]), torch.tensor([[4]]))
        tensor([[2, 2, 0]])
    """
    kept = codes.cumsum(1).minimum(cap)
    return torch.cat([kept[:, :1], kept.diff(dim=1)], 1)


def _affordable(limit: Tensor, size: Tensor, wanted: Tensor) -> Tensor:
    # How many units of this size fit below the limit, at most those wanted.
    return torch.where(size > 0, torch.minimum(wanted, limit.clamp_min(0) // size.clamp_min(1)), wanted)


def enforce(codes: Tensor, budget: Budget) -> Tensor:
    """Codes that hold the budget: the same tensor where they do already, else with the offending channels trimmed.

    Args:
        codes: Integer values in float32 or float64, shape ``(C, K)``; may be changed in place.
        budget: Budget of the channels.

    Returns:
        Codes within the budget, all zero where the bias alone overflows.
    """
    sums = exact_sign_sums(codes)
    if budget.surely_holds(*sums):
        return codes
    positive, negative = (total.to(torch.int64) for total in sums)
    fits = budget.holds(positive, negative)
    if bool(fits.all()):
        return codes
    rows = (~fits).squeeze(1).nonzero().squeeze(1)
    x_lo, x_hi, upper, lower = (limit.expand(codes.shape[0], 1)[rows] for limit in budget)
    positive, negative, down = positive[rows], negative[rows], -x_lo
    negative = _affordable(lower, x_hi, _affordable(upper, down, negative))
    positive = _affordable(upper - negative * down, x_hi, positive)
    positive = _affordable(lower - negative * x_hi, down, positive)
    positive, negative = (total * ((upper >= 0) & (lower >= 0)) for total in (positive, negative))
    exact = codes[rows].to(torch.int64)
    repaired = trim(exact.clamp_min(0), positive) - trim(exact.neg().clamp_min(0), negative)
    return codes.index_copy(0, rows, repaired.to(codes.dtype))
