"""Scales ``2^d`` whose learned exponent cannot run off to zero or infinity."""

from __future__ import annotations

import math

import torch
from brevitas.core.restrict_val import LogFloatRestrictValue, PowerOfTwoRestrictValue
from torch import Tensor

__all__ = ["BoundedLogFloatRestrictValue", "BoundedPowerOfTwoRestrictValue"]


def _bounded(exponent: Tensor) -> Tensor:
    # Beyond these limits 2^d would be 0 or inf, whose gradient with respect to d is NaN.
    limits = torch.finfo(exponent.dtype)
    return exponent.clamp(math.log2(limits.tiny), math.floor(math.log2(limits.max)) - 1)


class BoundedLogFloatRestrictValue(LogFloatRestrictValue):
    """``2^d``; no gradient for a ``d`` out of bounds, except what the optimizer's decay does."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(_bounded(x))


class BoundedPowerOfTwoRestrictValue(PowerOfTwoRestrictValue):
    """``2^round(d)``, bounded alike."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(_bounded(x))
