"""The array of our RTL (``dot_product.v``): SIMD multipliers in LUTs, an adder tree, a P-bit accumulator for each PE.

Everything is computed modulo 2^P. A multiplier adds a shifted row of one operand for each bit of the other, every row
on a carry chain of one LUT a bit; which operand has the rows is chosen so that they take the fewer bits, so that W and
A are interchangeable. The first row is free, as its gate is in the LUTs of the second. Bipolar operands are -1 and 1 in
two bits.

In DSP blocks (``dsp_products.v``) one block multiplies the weights of several rows with the activation that they share:
they stand W + A bits apart in its wider factor, which holds one bit more than the highest of them needs.
"""

from __future__ import annotations

from functools import lru_cache

from brevitas_a2q._ir.datatypes import IntType
from brevitas_a2q.hw._cost.synthesis.core import adder_tree_bits, multiplier_bits

__all__ = [
    "by_weight",
    "dot_product_features",
    "dsp_blocks",
    "dsp_products",
    "fits_dsp",
    "product_bits",
    "product_features",
]

_WIDE_FACTOR = {"DSP48E1": 25, "DSP48E2": 27, "DSP58": 27}  # bits of the pre-adder; UG479, UG579, AM004
_NARROW_FACTOR = 18  # bits of the other factor, signed


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


def product_features(first: IntType, second: IntType, bits: int) -> tuple[bool, dict[str, float]]:
    """One multiplier of two streams' values: whether it has a row for each bit of the first, and its features.

    Args:
        first: Type of a factor, not bipolar.
        second: Of the other.
        bits: Of the product that matter.

    Example:
        >>> two, eight = IntType("UINT2"), IntType("INT8")
        >>> product_features(two, eight, 10)[0], product_features(eight, two, 10)[0]
        (True, False)
    """
    counts = []
    for factor, other in ((first, second), (second, first)):
        wide = factor.bit_width + (not factor.signed)
        counts.append((other.bit_width, *multiplier_bits(wide, other.bit_width, bits)))
    straight, swapped = counts
    swap = sum(swapped[1:]) < sum(straight[1:])
    rows, chained, short = swapped if swap else straight
    several = rows > 1
    features: dict[str, float] = {
        "multipliers.carry": chained,
        "multipliers.short": short,
        "multipliers.rows": several * (rows - 1),
        "multipliers.each": several,
        "multipliers.gates": 0 if several else bits,
    }
    return swap, features


def fits_dsp(weight: int, activation: int, block: str) -> bool:
    """Whether one DSP block of this name multiplies signed numbers of so many bits.

    Example:
        >>> fits_dsp(8, 9, "DSP48E1"), fits_dsp(8, 33, "DSP48E1")
        (True, False)
    """
    narrow, wide = sorted((weight, activation))
    return narrow <= _NARROW_FACTOR and wide <= _wide_factor(block)


def _wide_factor(block: str) -> int:
    return _WIDE_FACTOR.get(block, min(_WIDE_FACTOR.values()))


def _signed_widths(weight: IntType, activation: IntType) -> tuple[int, int]:
    w, a, signed = _widths(weight, activation)
    return w, a if signed else a + 1


def dsp_products(weight: IntType, activation: IntType, block: str, *, shared: bool) -> int:
    """Products of one DSP block.

    Args:
        weight: Type of a weight.
        activation: Type of an activation.
        block: Name of the DSP block.
        shared: Whether rows multiply the same activations.

    Example:
        >>> four, eight = (IntType("INT4"), IntType("UINT4")), (IntType("INT8"), IntType("UINT8"))
        >>> dsp_products(*four, "DSP48E2", shared=True), dsp_products(*eight, "DSP48E1", shared=True)
        (3, 2)
    """
    w, a, _ = _widths(weight, activation)
    room = _wide_factor(block) - w - 1
    if not shared or room < 0 or _signed_widths(weight, activation)[1] > _NARROW_FACTOR:
        return 1
    return 1 + room // (w + a)


def dsp_blocks(weight: IntType, activation: IntType, block: str, *, pe: int, simd: int, shared: bool) -> int:
    """DSP blocks of PE x SIMD multipliers; one that is too wide for a block is parted into several.

    Example:
        >>> eight = IntType("INT8"), IntType("UINT8")
        >>> [dsp_blocks(*eight, "DSP48E2", pe=pe, simd=4, shared=True) for pe in (1, 2, 3)]
        [4, 4, 8]
    """
    widths = _signed_widths(weight, activation)
    if fits_dsp(*widths, block):
        return simd * -(-pe // dsp_products(weight, activation, block, shared=shared))
    narrow, wide = sorted(widths)
    tiles = -(-(narrow - 1) // (_NARROW_FACTOR - 1)) * -(-(wide - 1) // (_wide_factor(block) - 1))
    return pe * simd * tiles
