"""The multiply-accumulate array in LUTs: SIMD multipliers, an adder tree and a P-bit accumulator for each PE.

Everything is computed modulo 2^P, so whatever lies above bit P is never built: a narrow accumulator trims its own
adder and register, the top of the tree, and the top of every multiplier. The widths follow the reference RTL
(``benchmarks/synth/rtl``): a multiplier of a W-bit weight and an A-bit activation adds A - 1 shifted rows of W + 1
bits,

    rows = sum_{j=1..A-1} min(W + 1, P - j)
    tree = sum over levels of (number of adders) * min(width, P)

each a carry chain with one LUT per bit. Two details make the count exact on all rows of the reference grid: an adder
whose result is not trimmed repeats its sign, so that the top bit needs no LUT of its own; and trimmed rows of one or
two bits become plain logic. What is not in a carry chain (partial products, the multiplexer that starts a new sum) is
fitted.
"""

from __future__ import annotations

from functools import lru_cache

from brevitas_a2q.hw._cost.synthesis.fits import lut

__all__ = ["adder_tree_bits", "cheaper_core", "core_features", "core_lut", "multiplier_bits", "soft_core_features"]

_SHORTEST_CARRY_CHAIN = 3  # bits; shorter adders are mapped to logic


@lru_cache(maxsize=4096)
def multiplier_bits(weight_bits: int, activation_bits: int, accumulator_bits: int) -> tuple[int, int]:
    """LUTs in carry chains, and bits of rows too short for one, of one multiplier.

    Args:
        weight_bits: W, the width of one row.
        activation_bits: A; there is one row for each of its bits, the first of them free.
        accumulator_bits: P, above which nothing is built.

    Example:
        >>> multiplier_bits(8, 8, 32), multiplier_bits(8, 8, 8)
        ((56, 0), (25, 3))
    """
    chained = short = 0
    for j in range(1, activation_bits):
        width = min(weight_bits + 1, accumulator_bits - j)
        if width >= _SHORTEST_CARRY_CHAIN:
            chained += width - (weight_bits + 1 <= accumulator_bits - j)
        elif width > 0:
            short += width
    return chained, short


@lru_cache(maxsize=4096)
def adder_tree_bits(simd: int, width: int, accumulator_bits: int) -> int:
    """LUTs in carry chains of a tree that adds ``simd`` numbers of ``width`` bits modulo 2^P.

    Example:
        >>> adder_tree_bits(4, 16, 32), adder_tree_bits(4, 12, 12)
        (49, 36)
    """
    bits = 0
    while simd > 1:
        bits += (simd // 2) * min(width, accumulator_bits)
        width = min(width + 1, accumulator_bits)
        simd = (simd + 1) // 2
    return bits


def core_features(weight_bits: int, activation_bits: int, simd: int, accumulator_bits: int) -> dict[str, float]:
    """Features of one PE; see :mod:`brevitas_a2q.hw._cost.synthesis.fits`."""
    chained, _ = multiplier_bits(weight_bits, activation_bits, accumulator_bits)
    binary = weight_bits == 1
    several = simd if activation_bits > 1 else 0  # multipliers of more than one row
    # One activation bit only gates the weight: the product is as wide as that.
    product = min(weight_bits + activation_bits if activation_bits > 1 else weight_bits, accumulator_bits)
    return {
        "multipliers.carry": simd * chained,
        "multipliers.rows": 0 if binary else simd * (activation_bits - 1),
        "multipliers.each": 0 if binary else several,
        "multipliers.binary rows": simd * (activation_bits - 1) if binary else 0,
        "multipliers.binary each": several if binary else 0,
        "multipliers.gates": simd - several,
        "adder tree.carry": adder_tree_bits(simd, product, accumulator_bits),
        "accumulator.carry": accumulator_bits,
        "accumulator.restart": accumulator_bits,
    }


@lru_cache(maxsize=4096)
def cheaper_core(weight_bits: int, activation_bits: int, simd: int, accumulator_bits: int) -> dict[str, float]:
    """Features of one PE whose multipliers add a row for each bit of the operand for which that takes fewer LUTs.

    Rows of the other operand are one for each weight bit, the last one subtracted.

    Example:
        >>> cheaper_core(2, 8, 4, 16) == cheaper_core(8, 2, 4, 16)
        True
    """
    rows = (core_features(*bits, simd, accumulator_bits) for bits in _orders(weight_bits, activation_bits))
    return min(rows, key=lambda features: lut("lut core", features))


def _orders(weight_bits: int, activation_bits: int) -> tuple[tuple[int, int], ...]:
    """One-bit operands are what they are: a sign or a gate."""
    if min(weight_bits, activation_bits) == 1:
        return ((weight_bits, activation_bits),)
    return (weight_bits, activation_bits), (activation_bits, weight_bits)


def core_lut(weight_bits: int, activation_bits: int, simd: int, pe: int, accumulator_bits: int) -> float:
    """LUTs of PE x SIMD multipliers with their trees and accumulators.

    Example:
        >>> wide, narrow = (core_lut(8, 8, 4, 1, p) for p in (32, 12))
        >>> narrow < 0.8 * wide
        True
    """
    return pe * lut("lut core", cheaper_core(weight_bits, activation_bits, simd, accumulator_bits))


def soft_core_features(weight_bits: int, activation_bits: int, simd: int, accumulator_bits: int) -> dict[str, float]:
    """Features of one PE written with ``*`` and left to Yosys' own mapping, which is not what Vivado builds.

    Multipliers and tree become compressors with one carry chain each (the widths of which are exact), and a
    multiplier by two bits needs none. Kept to compare with such syntheses; costs of units use :func:`core_features`.
    """
    product = min(weight_bits + activation_bits, accumulator_bits)
    total = min(product + (simd - 1).bit_length(), accumulator_bits)
    compressed = min(weight_bits, activation_bits) > 2
    return {
        "multipliers.carry": simd * product,
        "multipliers.compressors": simd * (activation_bits - 2) * (weight_bits - 2) * compressed,
        "multipliers.columns": simd * product * compressed,
        "adder tree.carry": total if simd > 1 else 0,
        "adder tree.compressors": max(0, simd - 2) * total,
        "accumulator.carry": accumulator_bits,
        "accumulator.restart": accumulator_bits,
    }
