"""P-bit accumulators that wrap, saturate or are checked, for all outputs of a layer at once, in any order of additions.

What is counted as an overflow:

- ``wrap``: outputs whose exact sum lies outside the range. Two's complement addition is addition modulo ``2^P``, so
  the order and the partial sums do not matter: wrapping the final sum gives what wrapping every partial sum gives.
- ``saturate``: additions that would have left the range and were clamped to its end.
- ``check``: additions whose exact partial sum lies outside the range; the result stays exact.

Only additions that exist count: a transposed convolution adds the products of its input's pixels, no zeros between.

Most outputs cannot overflow, and that is cheap to know: every partial sum, in any order, lies between the sum of an
output's negative products and the sum of its positive ones. Only outputs for which these leave the range are added up
product by product. What can overflow is told from the inputs themselves, never from a certificate.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal

import torch
from torch import Tensor

from brevitas_a2q.bounds import IntRange, accumulator_range
from brevitas_a2q.errors import A2QError
from brevitas_a2q.verify._products import Products

__all__ = ["ORDERS", "OVERFLOWS", "Accumulators", "Order", "Overflow", "accumulate", "wrap"]

Overflow = Literal["wrap", "saturate", "check"]
Order = Literal["forward", "reverse", "random"]
OVERFLOWS: Final[tuple[Overflow, ...]] = ("wrap", "saturate", "check")
ORDERS: Final[tuple[Order, ...]] = ("forward", "reverse", "random")

_CHUNK: Final = 1 << 22  # products held at a time


@dataclass(frozen=True)
class Accumulators:
    """How a layer adds. ``bit_width`` None: as wide as needed.

    With a ``tile``, every ``tile`` consecutive products have an accumulator of ``bit_width``, and their sums and the
    bias one of ``outer_bit_width``. ``order`` applies within tiles and to the sums of tiles; the bias comes last in
    the forward order.
    """

    bit_width: int | None
    overflow: Overflow = "wrap"
    order: Order = "forward"
    seed: int = 0
    tile: int | None = None
    outer_bit_width: int | None = None

    def __post_init__(self) -> None:
        for name, value, allowed in (("overflow", self.overflow, OVERFLOWS), ("order", self.order, ORDERS)):
            if value not in allowed:
                raise A2QError(f"found {name} = {value!r}", expected=" or ".join(repr(choice) for choice in allowed))
        if self.tile is not None and self.tile < 1:
            raise A2QError(f"found tile = {self.tile}", expected="at least 1 product per tile")
        for width in (self.bit_width, self.outer_bit_width):
            if width is not None:
                accumulator_range(width)

    @property
    def range(self) -> IntRange | None:
        """What the accumulator of products holds; None where it is as wide as needed."""
        return None if self.bit_width is None else accumulator_range(self.bit_width)


def accumulate(products: Products, x: Tensor, bias: Tensor | None, accumulators: Accumulators) -> tuple[Tensor, int]:
    """Every output of a layer as its accumulators compute it.

    Args:
        products: The layer.
        x: Input codes less zero-point, in any type that holds them.  # shape: (batch, in_channels, *spatial)
        bias: int64 at the scale of the sums.  # shape: (out_channels,)
        accumulators: Width, and what happens beyond it.

    Returns:
        Integers in a float type, shape (batch, out_channels, *spatial), and the number of overflows.
    """
    prepared, bounds = products.prepared(x), _reach(products, x, bias)
    magnitude = max(bounds.hi, -bounds.lo)
    sums = products.sums(prepared, 2 * magnitude)  # twice: wrapping adds half the range
    if bias is not None:
        sums += bias.to(sums.dtype).reshape(-1, *[1] * (sums.dim() - 2))
    limits = [accumulator_range(w) for w in (accumulators.bit_width, accumulators.outer_bit_width) if w is not None]
    if all(limit.contains(bounds) for limit in limits):
        return sums, 0
    split = accumulators.tile is not None and accumulators.tile < products.size
    if accumulators.overflow == "wrap" and not split and accumulators.bit_width is not None:
        wrapped = wrap(sums, accumulators.bit_width)
        return wrapped, int(torch.count_nonzero(wrapped != sums))
    at_risk = _at_risk(products, prepared, sums, bias, magnitude, limits).nonzero()
    overflows = 0
    for rows, terms, real in products.terms(x, at_risk, _CHUNK):
        indices = at_risk[rows]
        last = None if bias is None else bias[indices[:, 1]]
        values, count = _add_up(terms, real, last, accumulators)
        sums[tuple(indices.unbind(1))] = values.to(sums.dtype)
        overflows += count
    return sums, overflows


def wrap(sums: Tensor, bit_width: int) -> Tensor:
    """Two's complement: the integer of ``bit_width`` bits that is congruent modulo ``2^bit_width``.

    Example:
        >>> wrap(torch.tensor([127.0, 128.0, -129.0]), 8).tolist()
        [127.0, -128.0, 127.0]
    """
    half, size = 2.0 ** (bit_width - 1), 2.0**bit_width
    # Dividing and multiplying by a power of two is exact in floats, as are sums of integers below their precision.
    return sums - (sums + half).div_(size).floor_().mul_(size)


def _at_risk(
    products: Products, prepared: Tensor, sums: Tensor, bias: Tensor | None, magnitude: int, limits: list[IntRange]
) -> Tensor:
    """Outputs for which some order of additions could leave a limit, as a mask of the shape of ``sums``."""
    positive = products.positive_part()
    high = positive.sums(prepared.clamp_min(0), 2 * magnitude)
    if bool((prepared < 0).any()):
        # Negative inputs under negative weights, as positive numbers of both.
        negative = Products(-products.weights, products.groups, products.stride, products.dilation).positive_part()
        high += negative.sums((-prepared).clamp_min(0), 2 * magnitude)
    if bias is not None:
        high += bias.clamp_min(0).to(high.dtype).reshape(-1, *[1] * (high.dim() - 2))
    low = sums - high
    tightest = IntRange(max(limit.lo for limit in limits), min(limit.hi for limit in limits))
    return (high > tightest.hi) | (low < tightest.lo)


def _reach(products: Products, x: Tensor, bias: Tensor | None) -> IntRange:
    """What no partial sum of these inputs leaves."""
    lowest, highest = (int(end) for end in torch.aminmax(x)) if x.numel() else (0, 0)
    inputs = IntRange(lowest, highest).with_zero()
    rows = products.weights.flatten(1)
    plus, minus = rows.clamp_min(0).sum(1), rows.clamp_max(0).neg().sum(1)
    high = max(p * inputs.hi - n * inputs.lo for p, n in zip(plus.tolist(), minus.tolist(), strict=True))
    low = min(p * inputs.lo - n * inputs.hi for p, n in zip(plus.tolist(), minus.tolist(), strict=True))
    added = (0, 0) if bias is None else (min(0, int(bias.min())), max(0, int(bias.max())))
    return IntRange(low + added[0], high + added[1])


def _add_up(terms: Tensor, real: Tensor | None, bias: Tensor | None, accumulators: Accumulators) -> tuple[Tensor, int]:
    """Add products one by one. ``terms`` has shape (rows, K); returns int64 of shape (rows,) and overflows."""
    limit = accumulators.range
    if accumulators.tile is None or accumulators.tile >= terms.shape[1]:
        return _stage(_with(terms, bias), _with(real, bias), limit, accumulators)
    size = accumulators.tile

    def tiled(values: Tensor) -> Tensor:
        padded = torch.nn.functional.pad(values, (0, -values.shape[1] % size))
        return padded.reshape(values.shape[0], -1, size)

    exists = None if real is None else tiled(real)
    inner, count = _stage(tiled(terms), exists, limit, accumulators)
    width = accumulators.outer_bit_width
    outer = None if width is None else accumulator_range(width)
    result, more = _stage(_with(inner, bias), None, outer, accumulators)
    return result, count + more


def _with(terms: Tensor | None, bias: Tensor | None) -> Any:
    """Products and the bias behind them; a mask gets a place for it that is real."""
    if terms is None or bias is None:
        return terms
    last = bias[:, None]
    return torch.cat([terms, torch.ones_like(last, dtype=torch.bool) if terms.dtype == torch.bool else last], dim=1)


def _stage(
    terms: Tensor, real: Tensor | None, limit: IntRange | None, accumulators: Accumulators
) -> tuple[Tensor, int]:
    """Sum over the last axis through one accumulator; ``real`` says which terms are added at all, None for all."""
    if limit is None:
        return terms.sum(-1), 0
    terms = _ordered(terms, accumulators)
    if accumulators.overflow == "wrap":
        total = terms.sum(-1)
        bits = limit.bit_width
        wrapped = (total << (64 - bits)) >> (64 - bits)
        return wrapped, int(torch.count_nonzero(wrapped != total))
    if accumulators.overflow == "check":
        partial = terms.cumsum(-1)
        outside = (partial < limit.lo) | (partial > limit.hi)
        if real is not None:
            outside &= _ordered(real, accumulators)
        return partial[..., -1], int(torch.count_nonzero(outside))
    value = torch.zeros_like(terms[..., 0])
    count = torch.zeros((), dtype=torch.int64)
    for term in terms.movedim(-1, 0).contiguous():
        exact = value + term
        value = exact.clamp(limit.lo, limit.hi)
        count += torch.count_nonzero(value != exact)
    return value, int(count)


def _ordered(terms: Tensor, accumulators: Accumulators) -> Tensor:
    if accumulators.order == "forward":
        return terms
    if accumulators.order == "reverse":
        return terms.flip(-1)
    generator = torch.Generator().manual_seed(accumulators.seed)
    return terms[..., torch.randperm(terms.shape[-1], generator=generator)]
