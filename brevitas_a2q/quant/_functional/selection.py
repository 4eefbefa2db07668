"""Percentiles of a whole tensor: the ``k``-th largest value, found in one pass and without sorting.

The result is exact, the value that ``torch.kthvalue`` finds, where NaN is none of the values.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from brevitas_a2q.quant._functional.memory import line, packed
from brevitas_a2q.quant._functional.numeric import compute_dtype
from brevitas_a2q.quant._functional.registry import Operator
from brevitas_a2q.quant._kernels.selection import keep_largest
from brevitas_a2q.quant._kernels.threads import in_parts, parts_of

__all__ = ["MAGNITUDE", "NEGATIVE", "VALUE", "kth_largest"]

MAGNITUDE, VALUE, NEGATIVE = 0, 1, -1  # what is compared

_FEW = 16  # of how many values one may be kept


def kth_largest(
    x: Tensor, k: int, what: int = VALUE, low: float = -math.inf, high: float = math.inf
) -> tuple[Tensor, Tensor]:
    """The ``k``-th largest among the values of a tensor, their magnitudes or their negatives.

    Args:
        x: Floating-point, any shape and layout.
        k: From 1, the largest, to the number of values.
        what: ``VALUE``, ``MAGNITUDE`` or ``NEGATIVE``.
        low: What ``x`` is clamped to from below before; 0 for ReLU.
        high: The same from above.

    Returns:
        ``x``, for its gradient to pass on together with that of the other; and the value.  # shape: that of x, ()

    Example:
        >>> [int(kth_largest(torch.tensor([3.0, -7.0, 5.0]), 2, what)[1]) for what in (VALUE, MAGNITUDE, NEGATIVE)]
        [3, 5, -3]
    """
    if torch.compiler.is_compiling():
        return x, _kth_largest(x, k, what, low, high)[0]
    passed: tuple[Tensor, Tensor] = _Select.apply(x, k, what, low, high)
    return passed


def _line(dense: Tensor) -> Tensor:
    # As it lies in memory.
    return torch.as_strided(dense, (dense.numel(),), (1,))


def _on_host(x: Tensor, k: int, what: int, low: float, high: float) -> tuple[Tensor, Tensor]:
    values = packed(x)
    if k > max(1, values.numel() // _FEW):
        return _anywhere(x, k, what, low, high)
    parts = parts_of(values.numel(), values.numel())
    kind = np.float64 if compute_dtype(x.dtype) == torch.float64 else np.float32
    kept, places = np.empty((len(parts), 2 * k), kind), np.empty((len(parts), 2 * k), np.int64)
    arguments = [(*part, line(values), what, low, high, kept[n], places[n]) for n, part in enumerate(parts)]
    counts = in_parts(keep_largest, arguments)
    found = np.concatenate([kept[n, :count] for n, count in enumerate(counts)])
    where = np.concatenate([places[n, :count] for n, count in enumerate(counts)])
    if len(found) < k:
        return _anywhere(x, k, what, low, high)
    at = np.argpartition(found, len(found) - k)[len(found) - k]
    return x.new_tensor(found[at]), torch.tensor(where[at])


def _anywhere(x: Tensor, k: int, what: int, low: float, high: float) -> tuple[Tensor, Tensor]:
    values = _line(packed(x)).clamp(low, high)
    values = values.abs() if what == MAGNITUDE else values * what
    wide = values.float() if values.dtype in (torch.float16, torch.bfloat16) else values
    if k <= max(1, x.numel() // _FEW):  # by all of an accelerator, where one of its processors finds a kth value
        place = torch.topk(torch.where(wide == wide, wide, -math.inf), k).indices[-1]
        return wide.gather(0, place.view(1)).view(()).to(x.dtype), place
    value, place = torch.kthvalue(wide, x.numel() - k + 1)
    return value.to(x.dtype), place


def _shapes(x: Tensor, *_: Any) -> tuple[Tensor, Tensor]:
    return x.new_empty(()), x.new_empty((), dtype=torch.int64)


# Indexing by a tensor of one integer would read it, and make a processor wait for an accelerator.


def _slope(x: Tensor, place: Tensor, what: int, low: float, high: float) -> Tensor:
    """Derivative of what is compared with respect to the value at a place in memory."""
    value = _line(packed(x)).gather(0, place.view(1)).view(())
    sign = value.sign() if what == MAGNITUDE else torch.full_like(value, what)
    return torch.where((value > low) & (value < high), sign, 0)


def _save(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    ctx.save_for_backward(inputs[0], output[1])
    ctx.mark_non_differentiable(output[1])
    ctx.how = inputs[2:]


def _gradient(ctx: Any, grad: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
    x, place = ctx.saved_tensors
    values = torch.zeros_like(packed(x))
    _line(values).scatter_(0, place.view(1), (grad * _slope(x, place, *ctx.how)).view(1))
    return values, None, None, None, None


_kth_largest = Operator(
    "kth_largest(Tensor x, int k, int what, float low, float high) -> (Tensor, Tensor)",
    cpu=_on_host,
    anywhere=_anywhere,
    shapes=_shapes,
    save=_save,
    gradient=_gradient,
)


class _Select(torch.autograd.Function):
    """The selection with the tensor passed through, whose gradient then receives that of one value in place."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, k: int, what: int, low: float, high: float) -> tuple[Tensor, Tensor]:
        value, place = _kth_largest.registered(x, k, what, low, high)
        ctx.save_for_backward(x, place)
        ctx.how = what, low, high
        return x.view_as(x), value

    @staticmethod
    def backward(ctx: Any, grad: Tensor | None, of_value: Tensor | None) -> tuple[Tensor | None, ...]:
        x, place = ctx.saved_tensors
        if grad is None or of_value is None:
            grad = torch.zeros_like(packed(x)) if grad is None else grad
            of_value = x.new_zeros(()) if of_value is None else of_value
        grad = packed(grad)
        if grad.stride() != packed(x).stride():
            grad = torch.empty_like(packed(x)).copy_(grad)
        _line(grad).index_add_(0, place.view(1), (of_value * _slope(x, place, *ctx.how)).view(1))
        return grad, None, None, None, None
