"""What half precision does to values: ends that hold for float16 and bfloat16, which carry 11 and 8 bits.

The table of ranges rounds as float32 does. In a narrower type an operation that only copies or chooses elements keeps
what is known; one that computes moves the ends by its roundings, of which integers gain what they can then become; sums
of many terms, of which it is not said how they are kept, are unknown.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import numpy as np
import torch

from brevitas_a2q._ranges import Value
from brevitas_a2q._trace.sums import COMPARISONS

__all__ = ["HALVES", "MOVEMENTS", "in_type"]

# Unit roundoff, largest number, and the spacing of the smallest ones.
_HALF: Final = {
    torch.float16: (2.0**-11, 65504.0, 2.0**-24),
    torch.bfloat16: (2.0**-8, 3.3e38, 0.0),
}
HALVES: Final = tuple(_HALF)
_ROUNDINGS: Final = 4  # of a product: of an operand (at most two, see _made), of a constant, of the result

# Operations that hand elements of one tensor on, in other places.
MOVEMENTS: Final = frozenset(
    (
        *("alias", "detach", "clone", "contiguous", "lift", "lift_fresh", "rename", "unbind", "flip", "roll", "repeat"),
        *("view", "_unsafe_view", "reshape", "_reshape_alias", "squeeze", "unsqueeze", "flatten", "unflatten"),
        *("expand", "expand_as", "broadcast_to", "permute", "transpose", "t", "slice", "narrow", "select", "split"),
        *("split_with_sizes", "pixel_shuffle", "pixel_unshuffle", "channel_shuffle"),
    )
)
_COPIES: Final = MOVEMENTS.union(
    (
        *("copy", "fill", "zero", "index_select", "cat", "stack", "gather", "index"),
        *("take", "take_along_dim", "unfold", "im2col", "sort", "topk", "masked_select", "masked_fill", "where"),
        *("constant_pad_nd", "amax", "amin", "max", "min"),
        *(f"{kind}{n}d" for kind in ("upsample_nearest", "_upsample_nearest_exact", "max_pool") for n in (1, 2, 3)),
        *(f"{kind}_pad{n}d" for kind in ("reflection", "replication") for n in (1, 2, 3)),
        *(f"{kind}max_pool{n}d" for kind in ("adaptive_", "") for n in (2, 3)),
        *("max_pool2d_with_indices", "max_pool3d_with_indices"),
        *("relu", "neg", "abs", "clamp", "clamp_min", "clamp_max", "hardtanh", "maximum", "minimum", "sign"),
    )
)
_SUMS: Final = ("add", "sub", "rsub")
_ROUNDED: Final = (*_SUMS, "mul", "div", "leaky_relu", "_to_copy", "to")


def in_type(value: Value, name: str, dtype: torch.dtype, operands: Iterable[Any], alpha: float = 1.0) -> Value:
    """A result as a tensor of this type holds it.

    Args:
        value: By the table, for float32.
        name: Of the ATen operation.
        dtype: Of the result.
        operands: The operation's arguments.
        alpha: Factor of one of them, where there is one.
    """
    if dtype in (torch.float32, torch.float64):
        return value
    if dtype == torch.bool and name in COMPARISONS:
        return value
    # Integers of a machine wrap around, and lose what lies between them.
    unknown = Value.unknown(value.shape, f"{name} in {str(dtype).removeprefix('torch.')}")
    if dtype not in _HALF or name not in (*_COPIES, *_ROUNDED):
        return unknown
    unit, largest, spacing = _HALF[dtype]
    given = [operand for operand in operands if isinstance(operand, Value)]
    if max(map(_reach, (value, *given))) > largest:
        return unknown
    if name in _COPIES:
        return value
    if name in _SUMS:
        times = 1.0 if alpha == 1 else 2 * max(1.0, abs(alpha))
        error = _reach(value) + times * sum(_made(operand, unit) * _reach(operand) for operand in given)
    else:
        error = _ROUNDINGS * _reach(value)
    error = unit * error + _ROUNDINGS * spacing
    return Value.of(value.shape, value.codes, value.lo - error, value.hi + error, value.origin)


def _made(operand: Value, unit: float) -> int:
    """Roundings of an operand as its quantizer made it: of its scale times an integer, which may be rounded itself."""
    codes = operand.codes
    exact = codes is not None and max(-codes.range.lo, codes.range.hi) <= 1 / unit
    return 1 if exact else 2


def _reach(value: Value) -> float:
    return float(max(np.abs(value.lo).max(), np.abs(value.hi).max()))
