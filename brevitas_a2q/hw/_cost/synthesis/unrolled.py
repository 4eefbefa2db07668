"""The unrolled unit: every weight a constant, one multiplier-free adder tree per output channel, one result per cycle.

A weight in canonical signed digits (CSD: no two neighbouring digits nonzero, so the fewest) is as many shifted copies
of the activation as it has nonzero digits. A channel of d digits needs d - 1 adders, and a zero weight needs nothing:
here the sparsity that narrow accumulators bring pays directly. Source: Avizienis, "Signed-digit number
representations", 1961, for the digits; designs of hls4ml and da4ml kind for the structure.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from brevitas_a2q._ir.dot_product import IntArray

__all__ = ["csd_digits", "unrolled_features"]


def csd_digits(weights: IntArray) -> npt.NDArray[np.int64]:
    """Nonzero canonical signed digits of each integer: those of ``(3w) xor w``.

    Example:
        >>> csd_digits(np.array([0, 1, 7, -7, 5, 11], np.int64)).tolist()
        [0, 1, 2, 2, 2, 3]
    """
    magnitude = np.abs(weights)
    changed = (3 * magnitude) ^ magnitude
    bits = int(changed.max(initial=0)).bit_length()
    return sum((((changed >> bit) & 1) for bit in range(1, bits)), np.zeros_like(magnitude))


def unrolled_features(activation_bits: int, channel_digits: npt.ArrayLike) -> dict[str, float]:
    """Features of the adder trees of all channels.

    An adder is A bits wide plus the growth of sums and shifts less the low bits that a shift passes by; in a short tree
    the last is worth more, as the first adders of a channel are the narrowest.

    Args:
        activation_bits: A.
        channel_digits: Nonzero digits of each channel, shape (channels,); averages are welcome.
    """
    digits = np.asarray(channel_digits, np.float64)
    adders = np.maximum(digits - 1, 0)
    total = float(adders.sum())
    return {
        "adder trees.bits": activation_bits * total,
        "adder trees.growth": total,
        "adder trees.saved": activation_bits * float((adders / np.maximum(digits, 1)).sum()),
    }
