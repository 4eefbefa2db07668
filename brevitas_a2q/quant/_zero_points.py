"""Which of two datapaths a budget guards where inputs have a zero-point.

One subtracts the zero-point from each code before it multiplies; the other multiplies codes as they are, and corrects
the sum behind the accumulator. Of unsigned codes in ``[0, R]`` with zero-point ``z`` the first meets integers in
``[-z, R - z]``, the second integers in ``[0, R]``.

Weights whose sums of raw codes fit, ``S+ R <= A`` and ``S- R <= A + 1``, fit the first datapath too, whatever ``z``:
``S+ (R - z) + S- z`` is a mean of the two with the weights ``(R - z) / R`` and ``z / R``, so it stays below ``A + 1``,
and it is an integer. A bias moves the limits apart, and the argument with them. The converse is false: weights of one
sign have more room if the zero-point is subtracted first. Zero-centred weights (A2Q+) do not; with them the second
datapath costs nothing, so it is guarded as well, unless told otherwise.
"""

from __future__ import annotations

from typing import Any, Final

import torch
from torch import Tensor

from brevitas_a2q.bounds import IntRange
from brevitas_a2q.errors import ConfigError

__all__ = ["DATAPATHS", "check_datapath", "guards_raw_codes", "hull", "multiplied"]

DATAPATHS: Final = ("subtracted", "raw")


def check_datapath(zero_point: Any, where: str) -> str | None:
    """One of :data:`DATAPATHS`, or None for the default.

    Raises:
        ConfigError: It is neither.
    """
    if zero_point is not None and zero_point not in DATAPATHS:
        raise ConfigError(f"found zero_point = {zero_point!r}", where=where, expected=f"one of {DATAPATHS}, or None")
    return zero_point  # type: ignore[no-any-return]


def guards_raw_codes(zero_point: str | None, method: str, biased: bool) -> bool:
    """Whether the budget is that of raw codes, so far as it costs nothing where nobody asked for it."""
    return zero_point == "raw" or (zero_point is None and method == "a2q+" and not biased)


def multiplied(lo: Tensor, hi: Tensor, raw: Tensor, asked: bool) -> tuple[Tensor, Tensor]:
    """Lowest and highest integer that the guarded datapath multiplies.

    Args:
        lo: Of the inputs less their zero-point.  # shape: ()
        hi: Likewise.
        raw: Of codes, 0 included; two zeros where there is no zero-point.  # shape: (2,)
        asked: Whether raw codes were asked for; else they count only where they lie in ``[0, hi - lo]``.
    """
    there = raw[1] > raw[0]
    if not asked:
        there = there & (raw[0] == 0) & (raw[1] == hi - lo)
    return torch.where(there, raw[0], lo), torch.where(there, raw[1], hi)


def hull(first: IntRange | None, second: IntRange | None) -> IntRange | None:
    """The range of both, where there are both."""
    if first is None or second is None:
        return first or second
    return IntRange(min(first.lo, second.lo), max(first.hi, second.hi))
