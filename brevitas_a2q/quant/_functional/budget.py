"""The two-sided budget of :func:`brevitas_a2q.bounds.two_sided_budget` as int64 tensors, one value or one per channel.

The same integers, computed with tensor operations: the input's bit width is a tensor in Brevitas, and reading its value
on the host would break the graph under ``torch.compile``. Every magnitude fits 64 bits without overflow: ``P <= 64``
keeps the limits below ``2^63``, and a sum of 65,536 products of 16-bit codes stays below ``2^50``.
"""

from __future__ import annotations

from functools import cached_property
from typing import NamedTuple, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["Budget", "budget_from_range", "budget_use", "make_budget", "sign_sums"]

_INT64_MAX = (1 << 63) - 1


_Array: TypeAlias = NDArray[np.int64]
_Arrays: TypeAlias = tuple[_Array, _Array, _Array, _Array]


class _Limits(NamedTuple):
    x_lo: Tensor
    x_hi: Tensor
    upper: Tensor
    lower: Tensor


class Budget(_Limits):
    """``S+ * x_hi + S- * |x_lo| <= upper`` and ``S- * x_hi + S+ * |x_lo| <= lower``, per channel.

    Attributes:
        x_lo: Lowest input, at most 0; int64, shape ``()`` or ``(C, 1)``.
        x_hi: Highest input, at least 0; the same.
        upper: What the accumulator holds above 0, less a positive bias. Negative when the bias alone overflows.
        lower: What it holds below 0, less a negative bias. At P = 64 without bias, ``2^63`` is given as ``2^63 - 1``.
    """

    def to(self, device: torch.device) -> Budget:
        """The same budget on ``device``."""
        return Budget(*(limit.to(device) for limit in self))

    def holds(self, positive_sum: Tensor, negative_sum: Tensor) -> Tensor:
        """Whether channels with these int64 sums ``S+`` and ``S-`` cannot overflow; bool, shape of the sums."""
        up, down = self.x_hi, -self.x_lo
        fits_above = positive_sum * up + negative_sum * down <= self.upper
        return fits_above & (negative_sum * up + positive_sum * down <= self.lower)

    @cached_property
    def couples_signs(self) -> bool:
        """Whether inputs take both signs, so that positive and negative weights share both limits.

        Read from the device once and remembered.
        """
        return bool(((self.x_lo < 0) & (self.x_hi > 0)).any())

    @property
    def l1_cap(self) -> Tensor:
        """Largest ``||q||_1`` that holds however it is spread over the signs (A2Q); int64, at least 0."""
        return _floor_cap(torch.minimum(self.upper, self.lower), torch.maximum(self.x_hi, -self.x_lo))

    @property
    def centred_cap(self) -> Tensor:
        """Largest ``S+ = S-`` that holds: half of the ``||q||_1`` of zero-centred weights (A2Q+); int64, at least 0."""
        return _floor_cap(torch.minimum(self.upper, self.lower), self.x_hi - self.x_lo)

    @property
    def table(self) -> Tensor:
        """The four limits as one tensor, as operators take them.  # shape: (4, 1) or (4, C)"""
        # Remembering takes a lock in Python before 3.12, which cannot be traced.
        return self._stacked() if torch.compiler.is_compiling() else self._table

    @cached_property
    def _table(self) -> Tensor:
        return self._stacked()

    def _stacked(self) -> Tensor:
        return torch.stack(torch.broadcast_tensors(*(limit.reshape(-1) for limit in self)))

    @classmethod
    def of_table(cls, table: Tensor) -> Budget:
        """The inverse of :attr:`table`."""
        return cls(*table.reshape(4, *([] if table.shape[1] == 1 else [-1, 1])).unbind())

    @cached_property
    def arrays(self) -> _Arrays:
        """The four limits for kernels, of one element or one per channel."""
        x_lo, x_hi, upper, lower = (limit.reshape(-1).numpy() for limit in self)
        return x_lo, x_hi, upper, lower

    def norm_cap(self, centred: bool) -> Tensor:
        """Largest ``||q||_1`` that holds for any weights, or for zero-centred ones; int64, at least 0."""
        return 2 * self.centred_cap.clamp_max((1 << 62) - 1) if centred else self.l1_cap

    def sign_caps(self) -> tuple[Tensor, Tensor] | None:
        """Caps of ``S+`` and of ``S-`` where inputs have one sign, so that they are independent; else None."""
        if self.couples_signs:
            return None
        up, size = self.x_hi > 0, self.x_hi - self.x_lo
        above, below = torch.where(up, self.upper, self.lower), torch.where(up, self.lower, self.upper)
        return _floor_cap(above, size), _floor_cap(below, size)


def _floor_cap(limit: Tensor, size: Tensor) -> Tensor:
    # An input that is always zero (size 0) binds nothing.
    return torch.where(size > 0, limit.clamp_min(0) // size.clamp_min(1), _INT64_MAX)


def budget_from_range(
    accumulator_bit_width: int | Tensor, x_lo: int | Tensor, x_hi: int | Tensor, bias: Tensor | None = None
) -> Budget:
    """Budget of inputs within ``[x_lo, x_hi]``, extended to hold 0.

    Args:
        accumulator_bit_width: P, from 2 to 64.
        x_lo: Lowest input, zero-point subtracted.
        x_hi: Highest input.
        bias: Integer bias at the accumulator's scale, int64 of shape ``(C,)`` or ``(C, 1)``.

    Example:
        >>> [int(limit) for limit in budget_from_range(16, -3, 12)]
        [-3, 12, 32767, 32768]
    """
    lo, hi = _int64(x_lo).clamp_max(0), _int64(x_hi).clamp_min(0)
    bits = _int64(accumulator_bit_width).to(lo.device)
    top = torch.full_like(bits, _INT64_MAX) >> (64 - bits)
    if bias is None:
        return Budget(lo, hi, top, top + (bits < 64).to(torch.int64))
    taken = bias.reshape(-1, 1).to(torch.int64)
    below = taken.clamp_max(0)
    one_more = ((bits < 64) | (below < 0)).to(torch.int64)
    return Budget(lo, hi, top - taken.clamp_min(0), top + below + one_more)


def make_budget(
    accumulator_bit_width: int | Tensor,
    input_bit_width: int | Tensor,
    input_signed: bool,
    zero_point: int | Tensor = 0,
    narrow: bool = False,
    bias: Tensor | None = None,
) -> Budget:
    """Budget of inputs of an integer type; equals ``two_sided_budget(P, input_range(N, ...), bias)``.

    Args:
        accumulator_bit_width: P, from 2 to 64.
        input_bit_width: N, from 1 to 16; a tensor of any dtype or an integer.
        input_signed: Whether input codes are two's complement.
        zero_point: Integer zero-point, subtracted from the code before the product.
        narrow: Whether the lowest signed (highest unsigned) code is left out.
        bias: Integer bias at the accumulator's scale, int64 of shape ``(C,)``.

    Example:
        >>> [int(limit) for limit in make_budget(12, 4, False)]
        [0, 15, 2047, 2048]
    """
    codes = torch.ones_like(bits := _int64(input_bit_width)) << (bits - int(input_signed))
    lo = int(narrow) - codes if input_signed else torch.zeros_like(codes)
    hi = codes - 1 if input_signed else codes - 1 - int(narrow)
    shift = _int64(zero_point).to(codes.device)
    return budget_from_range(accumulator_bit_width, lo - shift, hi - shift, bias)


def sign_sums(codes: Tensor) -> tuple[Tensor, Tensor]:
    """Exact ``S+`` and ``S-`` of each row of integer codes ``(C, K)``; int64, shape ``(C, 1)``."""
    exact = codes.to(torch.int64)
    positive = exact.clamp_min(0).sum(1, keepdim=True)
    return positive, positive - exact.sum(1, keepdim=True)


def budget_use(codes: Tensor, budget: Budget) -> Tensor:
    """Share of the budget that each channel uses: the fuller of its two sides, 1 when not a unit is left.

    Args:
        codes: Integer weights, shape ``(C, K)``, any dtype.
        budget: Their budget.

    Returns:
        float64 of shape ``(C,)``; 0 for an all-zero channel, above 1 for one that may overflow.

    Example:
        >>> budget_use(torch.tensor([[3, -2, 0]]), make_budget(8, 4, False))
        tensor([0.3543], dtype=torch.float64)
    """
    positive, negative = sign_sums(codes)
    up, down = budget.x_hi, -budget.x_lo
    above = (positive * up + negative * down).double() / budget.upper.clamp_min(1)
    below = (negative * up + positive * down).double() / budget.lower.clamp_min(1)
    return torch.maximum(above, below).squeeze(1)


def _int64(value: int | Tensor) -> Tensor:
    if isinstance(value, Tensor):
        return value.detach().round().to(torch.int64) if value.is_floating_point() else value.to(torch.int64)
    return torch.tensor(value, dtype=torch.int64)
