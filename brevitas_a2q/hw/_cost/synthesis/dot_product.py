"""The array of our RTL (``dot_product.v``): SIMD multipliers in LUTs, an adder tree, a P-bit accumulator for each PE.

Everything is computed modulo 2^P. A multiplier adds a shifted row of one operand for each bit of the other, every row
on a carry chain of one LUT a bit; which operand has the rows is chosen so that they take the fewer bits, so that W and
A are interchangeable. The first row is free, as its gate is in the LUTs of the second. Bipolar operands are -1 and 1 in
two bits.
"""

from __future__ import annotations

from functools import lru_cache

from brevitas_a2q._ir.datatypes import IntType
from brevitas_a2q.hw._cost.synthesis.core import adder_tree_bits, multiplier_bits

__all__ = ["by_weight", "dot_product_features", "product_bits"]


def _widths(weight: IntType, activation: IntType) -> tuple[int, int, bool]:
    """Bits of a weight as a signed number, of an activation, and whether that one is signed."""
    signed = weight.signed and weight.name != "BIPOLAR"
    bipolar = activation.name == "BIPOLAR"
    return (
        weight.bit_width if signed else weight.bit_width + 1,
        2 if bipolar else activation.bit_width,
        bipolar or activation.signed,
    )


def product_bits(weight: IntType, activation: IntType, accumulator: int) -> int:
    """Bits of a product that matter."""
    w, a, _ = _widths(weight, activation)
    return min(w + a, accumulator)


@lru_cache(maxsize=4096)
def _orders(
    weight: IntType, activation: IntType, accumulator: int
) -> tuple[tuple[int, int, int], tuple[int, int, int]]:
    """Rows, carry bits and short bits of a multiplier: a row for each bit of the activation, and of the weight."""
    w, a, signed = _widths(weight, activation)
    bits = product_bits(weight, activation, accumulator)
    wide = a if signed else a + 1
    return (a, *multiplier_bits(w, a, bits)), (w, *multiplier_bits(wide, w, bits))


def by_weight(weight: IntType, activation: IntType, accumulator: int) -> bool:
    """Whether a multiplier has a row for each bit of the weight.

    Example:
        >>> by_weight(IntType("INT2"), IntType("UINT8"), 16), by_weight(IntType("INT8"), IntType("UINT2"), 16)
        (True, False)
    """
    straight, swapped = _orders(weight, activation, accumulator)
    return swapped[1] + swapped[2] < straight[1] + straight[2]


@lru_cache(maxsize=4096)
def dot_product_features(
    weight: IntType, activation: IntType, simd: int, accumulator: int, words: int
) -> dict[str, float]:
    """Features of one PE.

    Args:
        weight: Type of a weight.
        activation: Type of an activation.
        simd: Products added in a cycle.
        accumulator: P.
        words: Cycles that a sum takes; with one there is nothing to accumulate.
    """
    rows, chained, short = _orders(weight, activation, accumulator)[by_weight(weight, activation, accumulator)]
    product = product_bits(weight, activation, accumulator)
    two_valued = "BIPOLAR" in (weight.name, activation.name)
    both = weight.name == activation.name == "BIPOLAR"
    several = simd if rows > 1 and not both else 0
    plain = 0 if two_valued else several
    return {
        "multipliers.carry": 0 if both else simd * chained,
        "multipliers.short": 0 if both else simd * short,
        "multipliers.rows": plain * (rows - 1),
        "multipliers.each": plain,
        "multipliers.bipolar": several - plain,
        "multipliers.signs": simd if both else 0,
        "multipliers.gates": simd * product if rows == 1 else 0,
        "adder tree.carry": adder_tree_bits(simd, product, accumulator),
        "adder tree.each": simd - 1,
        "accumulator.carry": accumulator if words > 1 else 0,
    }
