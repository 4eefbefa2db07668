"""Flip-flops of FINN's RTL matrix units outside their DSP blocks, counted off their source.

Two generations exist. That of FINN main (0.10, ``mvu_4sx4u.sv``, ``mvu_8sx8u_dsp48.sv``) adds the SIMD inputs of a PE
in one cycle; that of FINN dev and finn-plus (``mvu.sv``, ``add_multi.sv``) has a register behind every level of the
tree. Names of stages and widths are those of the source. Brevitas' weights are symmetric (``NARROW_WEIGHTS``).
"""

from __future__ import annotations

from functools import lru_cache

__all__ = ["core_registers", "lanes"]

_MULTIPLIER_BITS = 27  # of the port that weights share (DSP48E2)
_CANARY = 6  # flip-flops that predict two low bits of a product over three stages
_STAGES = 4  # of the pipeline but for its tree


def _log(number: int) -> int:
    return max(0, number - 1).bit_length()


def lanes(weight_bits: int, activation_bits: int, pipelined: bool) -> int:
    """Products of one DSP block.

    Example:
        >>> lanes(4, 4, True), lanes(4, 8, True), lanes(4, 8, False), lanes(8, 8, True)
        (4, 3, 2, 2)
    """
    if pipelined:
        return 1 + (_MULTIPLIER_BITS - weight_bits) // (weight_bits + activation_bits - 1)
    return 4 if max(weight_bits, activation_bits) <= 4 else 2


def _low_widths(weight_bits: int, activation_bits: int, accumulator_bits: int, pipelined: bool) -> list[int]:
    """Bits of each lane inside the block (``lo_width``); the topmost is as wide as the accumulator."""
    count = lanes(weight_bits, activation_bits, pipelined)
    if not pipelined and count == 2:
        return [weight_bits + activation_bits, accumulator_bits]
    least = weight_bits + activation_bits - 1
    slack = _MULTIPLIER_BITS - weight_bits - (count - 1) * least
    widths = []
    for lane in range(1, count):
        extra = -(-slack // (count - lane))
        widths.append(least + extra)
        slack -= extra
    return [*widths, accumulator_bits]


def _high_width(low: int, accumulator_bits: int, simd: int) -> int:
    """Bits of the carries out of a lane (``hi_width``, in the simplified form that both sources have)."""
    beyond = accumulator_bits - low
    return 1 + (_log(simd) if beyond <= 0 else _log((1 << (beyond - 1)) + simd))


@lru_cache(maxsize=4096)
def _tree(addends: int, depth: int, bits: int, signed: bool, limit: int) -> int:
    """Registers of ``add_multi``: ``depth`` stages in a tree of so many numbers.

    Args:
        addends: Numbers to add.
        depth: Registers between arguments and sum.
        bits: Of a number; those of a signed one are carries of -1, 0 or 1.
        signed: Which of them.
        limit: Bits above which nothing is read.
    """

    def width(leaves: int) -> int:
        if not signed:
            return min(limit, bits + _log(leaves))
        most, least = leaves.bit_length(), 1 + _log(leaves)
        return min(limit, most + 1 if most >= least else least)

    levels = _log(addends)
    if levels == 0:
        return depth * width(1)
    stages = min(levels, depth)
    load = [1] * (2 * addends - 1)
    for node in range(addends - 2, -1, -1):
        load[node] = load[2 * node + 1] + load[2 * node + 2]
    total = max(0, depth - levels) * width(addends)
    for node, leaves in enumerate(load):
        step = levels - ((node + 1).bit_length() - 1)
        if step > 0 and step * stages // levels < (step + 1) * stages // levels:
            total += width(leaves)
    return total


def core_registers(
    weight_bits: int, activation_bits: int, simd: int, pe: int, accumulator_bits: int, *, pipelined: bool
) -> int:
    """Flip-flops from the DSP blocks to the PEs' sums.

    Args:
        weight_bits: W.
        activation_bits: A.
        simd: Products that each PE adds in a cycle.
        pe: Sums at a time.
        accumulator_bits: P.
        pipelined: Whether the tree has registers, as FINN dev's and finn-plus' has.

    Example:
        >>> core_registers(4, 4, 8, 16, 14, pipelined=False), core_registers(4, 4, 8, 16, 14, pipelined=True)
        (1072, 2296)
    """
    widths = _low_widths(weight_bits, activation_bits, accumulator_bits, pipelined)
    depth = _log(simd) + (simd == 1)
    total = 0
    for first in range(0, pe, len(widths)):
        used = widths[max(0, first + len(widths) - pe) :]  # a block with fewer PEs uses its topmost lanes
        total += _CANARY * simd * (len(used) - 1) + accumulator_bits * len(used)
        for low in used[:-1]:
            high = _high_width(low, accumulator_bits, simd)
            total += high + (_tree(simd, depth - 1, 2, True, high) if pipelined else 0)
        for low in used:
            root = min(accumulator_bits, low + _log(simd))
            total += _tree(simd, depth, low, False, accumulator_bits) if pipelined else root
    return total
