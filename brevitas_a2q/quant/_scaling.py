"""The learned scale ``s = 2^d`` of the ready-made quantizers."""

from __future__ import annotations

import math
from functools import cached_property
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from brevitas_a2q._brevitas import ParameterFromStatsFromParameterScaling
from brevitas_a2q.quant._scripted import kind_of, scripted_forward

__all__ = ["LearnedScaling"]


def _exponents(dtype: torch.dtype, threshold: float) -> tuple[float, float]:
    """Smallest and largest integer ``d`` for which ``2^d / threshold`` is normal and ``2^d`` is finite twice over."""
    limits = torch.finfo(dtype)
    return math.ceil(math.log2(limits.tiny * threshold)), math.floor(math.log2(limits.max)) - 1


def _largest_gradient(dtype: torch.dtype) -> float:
    """What optimizers can square and add up in this type; gradients of an exponent are far below it."""
    return float(torch.finfo(dtype).max ** 0.4)


class _PowerOfTwo(torch.autograd.Function):
    """``2^d`` for ``d`` kept within limits, with a gradient that is finite whatever comes back.

    The gradient of ``d`` is ``ln 2 * s`` times that of ``s``, so ``d`` runs away exponentially once a step is too long,
    and one infinite gradient would leave it infinite for good. At a limit only what leads back inside is passed on.
    """

    @staticmethod
    def forward(ctx: Any, exponent: Tensor, low: float, high: float) -> Tensor:
        scale = torch.exp2(exponent.clamp(low, high))
        ctx.save_for_backward(scale)
        ctx.limits = 2.0**low, 2.0**high
        return scale

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        (scale,) = ctx.saved_tensors
        (low, high), most = ctx.limits, _largest_gradient(scale.dtype)
        # An optimizer steps against the gradient.
        outward = ((scale >= high) & (grad < 0)) | ((scale <= low) & (grad > 0))
        found = (grad.nan_to_num() * (scale * math.log(2))).clamp(-most, most).masked_fill(outward, 0.0)
        return found, None, None


class LearnedScaling(ParameterFromStatsFromParameterScaling):
    """Brevitas' learned scale with its exponent kept where ``2^d`` is neither zero nor infinite, nor its gradient.

    It starts at the statistics of the weights, under the same name in the model's state, and takes a third of the
    operations. The start is outside of the graph: the first pass saves for the backward one what every other pass does,
    as a recomputation (activation checkpointing) needs.
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
            start = scripted_forward(self) or super().forward
            with torch.no_grad():
                start(x, value.new_tensor(threshold) if isinstance(threshold, float) else threshold)
        low, high = _exponents(value.dtype, threshold if isinstance(threshold, float) else 1.0)
        exponent = value if self._rounded is None else self._rounded(value)
        scale: Tensor = _PowerOfTwo.apply(exponent, low, high)
        return scale if threshold is None else scale / threshold

    @cached_property
    def _rounded(self) -> Any:
        """What makes the exponent an integer, for scales that are powers of two."""
        restrict: Any = self.stats_scaling_impl.restrict_clamp_scaling.restrict_value_impl
        return restrict.float_to_int_impl if kind_of(restrict) == "PowerOfTwoRestrictValue" else None
