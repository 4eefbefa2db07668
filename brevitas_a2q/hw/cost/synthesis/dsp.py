"""The multiply-accumulate array in DSP blocks, and the LUTs that it still needs.

FINN's RTL packs two 8-bit or four 4-bit products into one DSP block and charges no LUTs for it. The lanes of a block
are narrower than the accumulator, so carries between lanes are recovered outside, and the sums of the SIMD blocks are
added outside at width P: about one LUT per accumulator bit for each PE and each SIMD lane.
"""

from __future__ import annotations

__all__ = ["dsp_blocks", "dsp_core_features"]


def dsp_blocks(weight_bits: int, activation_bits: int, simd: int, pe: int, dsp_block: str) -> int:
    """DSP blocks of PE x SIMD multipliers.

    DSP58 computes dot products of three 8-bit (9-bit) pairs; other blocks pack four products up to 4 bits, two up to
    8 bits, one up to 18 bits, which share the activation, that is across PEs. Source: FINN ``mvu_vvu_8sx9_dsp58.sv``,
    ``mvu_4sx4u_dsp48e2.sv``, ``mvu_8sx8u_dsp48.sv``; block counts of the reference grid.

    Example:
        >>> dsp_blocks(4, 4, 8, 4, "DSP48E2"), dsp_blocks(8, 8, 8, 4, "DSP48E2"), dsp_blocks(8, 8, 8, 4, "DSP58")
        (8, 16, 12)
    """
    widest = max(weight_bits, activation_bits)
    if widest > 8:
        return pe * simd * -(-widest // 18)
    if dsp_block == "DSP58":
        return pe * -(-simd // 3)
    return simd * -(-pe // (4 if widest <= 4 else 2))


def dsp_core_features(weight_bits: int, activation_bits: int, simd: int, accumulator_bits: int) -> dict[str, float]:
    """Features of one PE outside the DSP blocks."""
    lane = weight_bits + activation_bits
    return {
        "adder tree.bits": (simd - 1) * accumulator_bits,
        "accumulator.bits": accumulator_bits,
        "lanes.bits": simd * lane,
        "lanes.each": 1,
    }
