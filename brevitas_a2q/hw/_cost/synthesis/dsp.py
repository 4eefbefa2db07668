"""The multiply-accumulate array of FINN's RTL in DSP blocks, and the LUTs that it still needs.

FINN's RTL packs two 8-bit or four 4-bit products into the lanes of one DSP block and charges no LUTs for it. But the
blocks of the SIMD inputs accumulate each on their own, so their sums are added outside, and all lanes but the topmost
are narrower than the accumulator, so their carries are tracked outside too. Source: FINN ``finn-rtllib/mvu``
(``mvu_8sx8u_dsp48.sv`` and ``mvu_4sx4u.sv``, stages 4 and 5), whose widths these features are.
"""

from __future__ import annotations

__all__ = ["dsp_core_features"]

_WIDEST_QUAD, _WIDEST_PAIR = 4, 8  # bits that four and two products per DSP48 can have
_SMALL_TREE = 4  # addends that Yosys adds in fewer LUTs than one adder each


def _lanes(weight_bits: int, activation_bits: int) -> int:
    widest = max(weight_bits, activation_bits)
    if widest > _WIDEST_PAIR:
        return 1
    return 4 if widest <= _WIDEST_QUAD else 2


def dsp_core_features(
    weight_bits: int, activation_bits: int, simd: int, pe: int, accumulator_bits: int
) -> dict[str, float]:
    """Features of all PEs outside the DSP blocks, which share blocks lane by lane."""
    lane = weight_bits + activation_bits
    blocks = -(-pe // _lanes(weight_bits, activation_bits))
    low = pe - blocks  # lanes below the topmost
    tree = (simd - 1) * (blocks * accumulator_bits + low * min(lane, accumulator_bits))
    return {
        "adder tree.bits": tree,
        "adder tree.saved": tree if simd <= _SMALL_TREE else 0,
        "lanes.carry": pe * accumulator_bits,
        "lanes.overflows": low * simd,
        "lanes.high": low * max(0, accumulator_bits - lane),
    }
