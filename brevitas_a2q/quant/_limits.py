"""Budgets of remembered ranges, as wide as they may be."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import torch

from brevitas_a2q.quant._functional import Budget, budget_from_range

__all__ = ["FAR", "constant_budget", "summable"]

FAR: Final = 1 << 62  # no accumulator of 64 bits multiplies by more


@lru_cache(maxsize=1024)
def constant_budget(bits: int, lo: int, hi: int, heaviest: int, device: torch.device) -> Budget:
    with torch.inference_mode(False):
        return summable(budget_from_range(bits, lo, hi), lo, hi, heaviest).to(device)


def summable(budget: Budget, lo: int, hi: int, heaviest: int) -> Budget:
    """A budget whose products with weights of this l1 norm fit 64 bits; stricter where the given one's do not."""
    steps = max(0, (max(hi, -lo) * heaviest).bit_length() - 62)
    if not steps:
        return budget
    # Dividing inputs and limits by a power of two, the former rounded up and the latter down.
    return Budget(budget.x_lo >> steps, -(-budget.x_hi >> steps), budget.upper >> steps, budget.lower >> steps)
