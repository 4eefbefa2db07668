"""Where a memory goes: LUTs, block RAM or UltraRAM, how many, and how much of them is used.

Counts of block RAM and UltraRAM are exact for simple dual-port memories as Vivado maps them (UG573 UltraScale memory
resources: an 18-kbit block is 16384x1 to 512x36, an UltraRAM 4096x72); read-only LUT memories are exact against
synthesis, writable ones too up to 64 words. ``auto`` takes the style that uses the least share of the part.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from brevitas_a2q.errors import PartError
from brevitas_a2q.hw._cost.result import Resources
from brevitas_a2q.hw._devices.part import Part
from brevitas_a2q.hw._units.folding import MemoryStyle

__all__ = [
    "MemoryCost",
    "bram18_count",
    "bram18_luts",
    "lutram_luts",
    "part_share",
    "place_memories",
    "place_memory",
    "rom_luts",
    "single_port_luts",
    "uram_count",
]

# Aspect ratios of one block: (words, bits). The widest is tried last, ties keep the first.
_BRAM18_SHAPES = ((16384, 1), (8192, 2), (4096, 4), (2048, 9), (1024, 18), (512, 36))
_BRAM18_BITS = 18 * 1024
_LUTRAM_BLOCKS = ((32, 14), (64, 7))  # words and bits of eight LUTs
_LEAST_BITS = 3  # added to a block's bits in what it counts as, found by synthesis
_PAIRED_ENABLES = 16  # groups of so few address bits that two of their write enables share a LUT
_URAM_SHAPE = (4096, 72)
_FEW_WORDS = 12
_LUT_ROM_WORDS = 64  # one LUT6 is a 64x1 read-only memory
EXACT_WORDS = 256  # four LUTs of 64 words and the slice's own F7 and F8 multiplexers


@dataclass(frozen=True)
class MemoryCost:
    """One placed memory: where it went, what it costs, and which share of the blocks' bits holds data."""

    style: Literal["distributed", "block", "ultra"]
    resources: Resources
    efficiency: float
    exact: bool = True  # whether its LUTs are known exactly


def rom_luts(words: int, bits: int) -> int:
    """LUTs of a read-only memory: ``bits * ceil(words / 64)``, half of it up to 32 words, 0 for a constant.

    Equal columns are stored once, so that a memory of few words takes no more than there are different ones.

    Up to 256 words the slice's own multiplexers join the LUTs; LUTs select among more. Source: UG574 UltraScale CLB;
    synthesis of the accelerator's memories, exact where no columns are equal.

    Example:
        >>> rom_luts(1, 64), rom_luts(2, 64), rom_luts(16, 16), rom_luts(64, 16), rom_luts(256, 16), rom_luts(512, 64)
        (0, 1, 8, 16, 64, 544)
    """
    if words <= 1:
        return 0
    if words <= _FEW_WORDS:
        bits = min(bits, (1 << words) - 2)  # as many columns differ at most, constant ones left out
    if words <= _LUT_ROM_WORDS // 2:
        return -(-bits // 2)
    return math.ceil(bits * (-(-words // _LUT_ROM_WORDS) + _multiplexer_luts(-(-words // EXACT_WORDS))))


def lutram_luts(words: int, bits: int) -> int:
    """LUTs of a writable simple dual-port memory.

    A block of eight LUTs stores 32 words of 14 bits (RAM32M16) or 64 words of 7 (RAM64M8); one of the eight serves the
    write port. Deeper memories are groups of such blocks, with LUTs that select among them and that say which is
    written. Of the two kinds the cheaper is taken, as Yosys prices them. Source: UG574 UltraScale CLB, distributed RAM;
    synthesis.

    Example:
        >>> lutram_luts(32, 64), lutram_luts(64, 64), lutram_luts(144, 32), lutram_luts(200, 16)
        (40, 80, 171, 114)
    """
    if words <= 1:
        return 0
    _, groups, wide = min(
        (_lutram_price(bits, wide, -(-words // deep)), -(-words // deep), wide) for deep, wide in _LUTRAM_BLOCKS
    )
    enables = 0.0 if groups == 1 else groups / 2 if groups <= _PAIRED_ENABLES else groups
    return math.ceil(8 * groups * -(-bits // wide) + bits * _multiplexer_luts(groups) + enables)


def _lutram_price(bits: int, wide: int, groups: int) -> float:
    """What ``memory_libmap`` makes of it: a block of few bits counts as less than one, and a choice as a quarter."""
    whole, rest = divmod(bits, wide)
    partial = (rest + _LEAST_BITS) / (wide + _LEAST_BITS) if rest else 0.0
    return 8 * groups * (whole + partial) + bits * (groups - 1) / 4


def single_port_luts(words: int, bits: int) -> int:
    """LUTs of a memory that is read where it is written.

    A block of eight LUTs stores 32 words of 16 bits, a LUT 64 words of a bit. Source: UG574; synthesis, exact up to 128
    words.

    Example:
        >>> single_port_luts(32, 20), single_port_luts(64, 20), single_port_luts(111, 12)
        (16, 20, 24)
    """
    if words <= 1:
        return 0
    if words <= _LUT_ROM_WORDS // 2:
        return 8 * -(-bits // 16)
    deep = 1 << (-(-words // _LUT_ROM_WORDS) - 1).bit_length() if words <= EXACT_WORDS else -(-words // _LUT_ROM_WORDS)
    return math.ceil(bits * (deep + _multiplexer_luts(-(-words // EXACT_WORDS))))


def _multiplexer_luts(inputs: int) -> float:
    """LUTs of an ``inputs``:1 multiplexer of one bit: 4:1 in one LUT6, 2:1 in half of one."""
    luts = 0.0
    while inputs > 1:
        luts += inputs // 4 + {0: 0.0, 1: 0.0, 2: 0.5, 3: 1.0}[inputs % 4]
        inputs = -(-inputs // 4)
    return luts


def bram18_count(words: int, bits: int) -> int:
    """18-kbit blocks of a memory of ``words`` words of ``bits`` bits, the best of the block's aspect ratios.

    Example:
        >>> bram18_count(512, 36), bram18_count(513, 36), bram18_count(2048, 36), bram18_count(1, 8)
        (1, 2, 4, 0)
    """
    groups, beside = _bram18_shape(words, bits)
    return groups * beside


def bram18_luts(words: int, bits: int) -> int:
    """LUTs that select among blocks behind each other.

    Source: synthesis, exact where it takes as many blocks.

    Example:
        >>> bram18_luts(1024, 32), bram18_luts(1152, 32), bram18_luts(2048, 32), bram18_luts(5000, 16)
        (0, 32, 0, 24)
    """
    return math.ceil(bits * _multiplexer_luts(_bram18_shape(words, bits)[0]))


def _bram18_shape(words: int, bits: int) -> tuple[int, int]:
    """Blocks behind each other and beside each other; of as many, those of which fewer stand behind each other."""
    if words <= 1:
        return 0, 0
    shapes = ((-(-words // depth), -(-bits // width)) for depth, width in _BRAM18_SHAPES)
    return min(shapes, key=lambda shape: (shape[0] * shape[1], shape[0]))


def uram_count(words: int, bits: int) -> int:
    """UltraRAM blocks of 4096 words of 72 bits.

    Example:
        >>> uram_count(4097, 73), uram_count(100, 8)
        (4, 1)
    """
    if words <= 1:
        return 0
    return -(-words // _URAM_SHAPE[0]) * -(-bits // _URAM_SHAPE[1])


@lru_cache(maxsize=8192)
def place_memory(
    words: int, bits: int, style: MemoryStyle, part: Part, *, writable: bool = False, single_port: bool = False
) -> MemoryCost:
    """Place one memory.

    Args:
        words: Depth. A depth of 1 (or 0) is a constant or a register: no memory at all. bits: Width of one word.
        style: Where it shall go; ``auto`` takes the least share of the part's resources. part: What the FPGA has.
        writable: Whether hardware writes it (a buffer) or its contents are fixed at configuration (weights,
        thresholds). single_port: Whether it is read where it is written.

    Raises:
        PartError: If UltraRAM is asked for on a part that has none.

    Example:
        >>> from brevitas_a2q.hw._devices.part import Part
        >>> part = Part("example", "7-series", lut=53200, ff=106400, bram18=280, uram=0, dsp=220, dsp_block="DSP48E1")
        >>> place_memory(64, 16, "auto", part).resources, place_memory(2048, 36, "auto", part).resources.bram18
        (Resources(lut=16, bram18=0, uram=0, dsp=0), 4)
    """
    if words <= 1 or bits == 0:
        return MemoryCost("distributed", Resources(), 1.0)
    if style == "ultra" and not part.uram:
        raise PartError(
            "found a memory placed in UltraRAM",
            where=f"part {part.name}",
            expected="a part with UltraRAM",
            remedy="choose ram_style block, or auto",
        )
    candidates = [c for c in _candidates(words, bits, writable, single_port) if style in ("auto", c.style)]
    return min(candidates, key=lambda c: part_share(c.resources, part))


def place_memories(
    shapes: Sequence[tuple[int, int]], style: MemoryStyle, part: Part, *, writable: bool = False
) -> Resources:
    """Sum of several memories, ``(words, bits)`` each, every one placed on its own."""
    total = Resources()
    for words, bits in shapes:
        total += place_memory(words, bits, style, part, writable=writable).resources
    return total


def _candidates(words: int, bits: int, writable: bool, single_port: bool) -> tuple[MemoryCost, ...]:
    stored = words * bits
    count = rom_luts if not writable else single_port_luts if single_port else lutram_luts
    luts = count(words, bits)
    exact_words = _LUT_ROM_WORDS if writable else EXACT_WORDS
    blocks, ultra = bram18_count(words, bits), uram_count(words, bits)
    return (
        MemoryCost("distributed", Resources(lut=luts), min(1.0, stored / (luts * 64)), words <= exact_words),
        MemoryCost("block", Resources(lut=bram18_luts(words, bits), bram18=blocks), stored / (blocks * _BRAM18_BITS)),
        MemoryCost("ultra", Resources(uram=ultra), stored / (ultra * _URAM_SHAPE[0] * _URAM_SHAPE[1])),
    )


def part_share(resources: Resources, part: Part) -> float:
    """Share of the part, LUTs, block RAMs and UltraRAMs added up: what ``auto`` minimises; infinite if a kind is
    absent.

    Added up rather than the largest: until the whole network is placed nobody knows which resource will bind.
    """
    pairs = ((resources.lut, part.lut), (resources.bram18, part.bram18), (resources.uram, part.uram))
    return sum(used / have if have else math.inf for used, have in pairs if used)
