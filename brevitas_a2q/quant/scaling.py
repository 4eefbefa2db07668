"""The learned scale ``s = 2^d`` of the ready-made quantizers."""

from __future__ import annotations

import math
from functools import cached_property, lru_cache
from typing import Any

import torch
from brevitas import is_dynamo_compiling
from brevitas.core.restrict_val import PowerOfTwoRestrictValue
from brevitas.core.scaling import ParameterFromStatsFromParameterScaling
from torch import Tensor

__all__ = ["LearnedScaling"]


@lru_cache
def _exponents(dtype: torch.dtype, threshold: float) -> tuple[float, float]:
    """Smallest and largest ``d`` for which ``2^d / threshold`` is normal and ``2^d`` is finite twice over."""
    limits = torch.finfo(dtype)
    return math.log2(limits.tiny * threshold), math.floor(math.log2(limits.max)) - 1


def _lies_within(value: Tensor, low: float, high: float) -> bool:
    """Whether clamping would change nothing, and cost a good part of a small layer's time.

    No while compiling, and none on an accelerator, which would have to be waited for.
    """
    if is_dynamo_compiling() or not value.is_cpu:
        return False
    smallest, largest = torch.aminmax(value.detach())
    return low <= float(smallest) and float(largest) <= high


class LearnedScaling(ParameterFromStatsFromParameterScaling):
    """Brevitas' learned scale with its exponent kept where ``2^d`` is neither zero nor infinite.

    Beyond those limits the gradient with respect to ``d`` would be NaN, at any learning rate that gets there. It starts
    at the statistics of the weights, under the same name in the model's state, and takes a third of the operations.
    """

    def forward(self, x: Tensor, threshold: Tensor | float | None = None) -> Tensor:
        """Scale for weights ``x``.

        Args:
            x: Weights, for the statistics of the first call.
            threshold: What ``2^d`` is divided by: the largest integer weight, or the power of two above it. Given as a
                number, the result is a normal one, and finite times twice the largest integer weight.
        """
        value: Tensor = self.value
        if not self.init_done:
            super().forward(x, value.new_tensor(threshold) if isinstance(threshold, float) else threshold)
        within = _exponents(value.dtype, threshold if isinstance(threshold, float) else 1.0)
        exponent = value if _lies_within(value, *within) else value.clamp(*within)
        if self._rounded is not None:
            exponent = self._rounded(exponent)
        scale = torch.exp2(exponent)
        return scale if threshold is None else scale / threshold

    @cached_property
    def _rounded(self) -> Any:
        """What makes the exponent an integer, for scales that are powers of two."""
        restrict: Any = self.stats_scaling_impl.restrict_clamp_scaling.restrict_value_impl
        return restrict.float_to_int_impl if isinstance(restrict, PowerOfTwoRestrictValue) else None
