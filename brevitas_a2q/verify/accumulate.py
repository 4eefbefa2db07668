"""P-bit accumulators that wrap, saturate or are checked, for all outputs of a layer at once, in any order of additions.

What is counted as an overflow:

- ``wrap``: outputs whose exact sum lies outside the range. Two's complement addition is addition modulo ``2^P``, so
  the order and the partial sums do not matter: wrapping the final sum gives what wrapping every partial sum gives.
- ``saturate``: additions that would have left the range and were clamped to its end.
- ``check``: additions whose exact partial sum lies outside the range; the result stays exact.

Most outputs cannot overflow, and that is cheap to know: every partial sum, in any order, lies between the sum of an
output's negative products and the sum of its positive ones. Only outputs for which these leave the range are added up
product by product.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import torch
from torch import Tensor

from brevitas_a2q.bounds import IntRange, accumulator_range
from brevitas_a2q.errors import A2QError
from brevitas_a2q.verify.products import Products

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


def accumulate(
    products: Products, x: Tensor, bias: Tensor | None, bounds: IntRange, accumulators: Accumulators
) -> tuple[Tensor, int]:
    """Every output of a layer as its accumulators compute it.

    Args:
        products: The layer.
        x: Input codes less zero-point, in any type that holds them.  # shape: (batch, in_channels, *spatial)
        bias: int64 at the scale of the sums.  # shape: (out_channels,)
        bounds: Holds every partial sum, bias included, whatever the input; from the layer's certificate.
        accumulators: Width, and what happens beyond it.

    Returns:
        Integers in a float type, shape (batch, out_channels, *spatial), and the number of overflows.
    """
    prepared = products.prepared(x)
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
    for rows, terms in products.terms(prepared, at_risk, _CHUNK):
        indices = at_risk[rows]
        last = None if bias is None else bias[indices[:, 1]]
        values, count = _add_up(terms, last, accumulators)
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


def _add_up(terms: Tensor, bias: Tensor | None, accumulators: Accumulators) -> tuple[Tensor, int]:
    """Add products one by one. ``terms`` has shape (rows, K); returns int64 of shape (rows,) and overflows."""
    limit = accumulators.range
    if accumulators.tile is None or accumulators.tile >= terms.shape[1]:
        last = terms if bias is None else torch.cat([terms, bias[:, None]], dim=1)
        return _stage(last, limit, accumulators)
    missing = -terms.shape[1] % accumulators.tile
    tiles = torch.nn.functional.pad(terms, (0, missing)).reshape(terms.shape[0], -1, accumulators.tile)
    inner, count = _stage(tiles, limit, accumulators)
    outer = inner if bias is None else torch.cat([inner, bias[:, None]], dim=1)
    width = accumulators.outer_bit_width
    result, more = _stage(outer, None if width is None else accumulator_range(width), accumulators)
    return result, count + more


def _stage(terms: Tensor, limit: IntRange | None, accumulators: Accumulators) -> tuple[Tensor, int]:
    """Sum over the last axis through one accumulator."""
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
        return partial[..., -1], int(torch.count_nonzero((partial < limit.lo) | (partial > limit.hi)))
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
