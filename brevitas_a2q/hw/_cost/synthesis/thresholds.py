"""Multi-threshold activations: all comparisons at once, or a binary search.

*Parallel*: one comparator of P bits per threshold and a population count, ``n - ceil(log2(n + 1))`` full adders for n
thresholds. With one channel per PE the thresholds are constants: two bits of the input meet two bits of a constant in
one LUT, and equal LUTs are shared between comparators, so that ``1 - (7/8)^n`` of all kinds occur. With ``cf`` channels
per PE all thresholds of a channel are read at once from a memory of ``cf`` words.

*Binary search* (FINN's RTL): one comparator per output bit; stage b has a memory of ``cf * 2^b`` thresholds. One result
per cycle too. Memories of up to four constants vanish into the comparators; in LUTs a memory's last multiplexers mix
with its comparator, which costs more than one behind the output registers of a block RAM.

Thresholds and comparators are as wide as the thresholds' values need, which does not depend on P: an accumulator that
is wider is clipped to their range first. Equal rows and equal columns are stored once. A design takes the cheaper one.
"""

from __future__ import annotations

from functools import cached_property, lru_cache

import numpy as np

from brevitas_a2q._ir.dot_product import IntArray
from brevitas_a2q.bounds import required_bit_width
from brevitas_a2q.hw._cost.synthesis.bill import Bill
from brevitas_a2q.hw._devices.part import Part
from brevitas_a2q.hw._memory import part_share, place_memory
from brevitas_a2q.hw._units.folding import MemoryStyle

__all__ = [
    "ThresholdTable",
    "binary_search",
    "binary_search_features",
    "binary_search_memories",
    "block_search_features",
    "parallel",
    "parallel_features",
    "saturation_features",
    "thresholds_bill",
]

_FREE_WORDS = 4
_SEEN_AT_ONCE = 3  # sign bits that fit into the LUTs that clip
_MOST_COMPARED = 1 << 20  # bits of a table whose columns are held against each other


class ThresholdTable:
    """What a table of thresholds takes, whatever the accumulator's width: the bits of its values, and equal columns.

    Args:
        thresholds: Shape (channels or 1, steps).
    """

    def __init__(self, thresholds: IntArray) -> None:
        self._table = thresholds
        self.channels, self.steps = (int(n) for n in thresholds.shape)
        lowest, highest = int(thresholds.min(initial=0)), int(thresholds.max(initial=0))
        self.width = max(1, required_bit_width(lowest, highest) if lowest < 0 else highest.bit_length() + 1)
        self._columns: dict[int, int] = {}

    @cached_property
    def _rows_differ(self) -> bool:
        return bool((self._table != self._table[:1]).any())

    def channels_per_pe(self, pe: int) -> int:
        """Channels that one PE serves in turn; 1 also where all channels have the same thresholds."""
        return max(1, self.channels // pe) if self._rows_differ else 1

    def columns(self, pe: int) -> int:
        """Different columns of the memory of all PEs, those that are constant left out: what a synthesis keeps."""
        if pe not in self._columns:
            self._columns[pe] = self._count(pe)
        return self._columns[pe]

    def _count(self, pe: int) -> int:
        fold = self.channels_per_pe(pe)
        total = pe * self.steps * self.width
        if fold == 1 or self._table.size * self.width > _MOST_COMPARED:
            return total if fold > 1 else 0
        words = self._table.reshape(fold, -1)  # the channels of one fold are in one word
        random = np.random.default_rng(0).integers(1, 1 << 62, fold, dtype=np.int64)
        hashes = [((words >> bit) & 1).T @ random for bit in range(self.width)]
        found = np.unique(np.concatenate(hashes))
        return int(np.count_nonzero((found != 0) & (found != int(random.sum()))))


def parallel_features(steps: int, width: int, channels_per_pe: int) -> dict[str, float]:
    """Features of one PE with ``steps`` thresholds of ``width`` bits, its memory excluded."""
    if channels_per_pe > 1:
        bits = steps * width
        # Yosys' mapper no longer merges comparators with the memory's outputs once there are some hundreds of them.
        crowded = min(1.0, max(0.0, (bits - 150) / 350))
        return {"comparators.bits": bits, "comparators.crowded": crowded * bits}
    return {"comparators.kinds": width * (1 - 0.875**steps), "count.adders": steps - steps.bit_length()}


def binary_search_memories(steps: int, width: int, channels_per_pe: int) -> list[tuple[int, int]]:
    """``(words, bits)`` of the memory of each stage, those that vanish into comparators left out."""
    shapes = [(channels_per_pe << stage, width) for stage in range(steps.bit_length())]
    return [(words, bits) for words, bits in shapes if words > _FREE_WORDS]


def binary_search_features(stages: int, width: int, channels_per_pe: int) -> dict[str, float]:
    """Features of the stages of one PE whose memories are in LUTs or constant, the memories excluded."""
    addressed = channels_per_pe > 1
    return {
        "comparators.bits": stages * width,
        "comparators.addressed": stages * width * addressed,
        "pipeline.addressed": width * addressed,
        "pipeline.codes": stages * stages,
        "pipeline.each": 1,
    }


def block_search_features(stages: int, width: int) -> dict[str, float]:
    """Features of the stages of one PE whose memories are in blocks, the memories excluded."""
    return {"comparators.bits": stages * width, "pipeline.each": 1}


def saturation_features(width: int, kept: int) -> dict[str, float]:
    """Features of clipping a sum of ``width`` bits to ``kept`` bits; few bits above are looked at with the result."""
    above = width - kept + 1
    several = above > _SEEN_AT_ONCE
    return {"saturation.bits": kept, "saturation.sign": above * several, "saturation.each": several}


def parallel(
    steps: int,
    width: int,
    channels_per_pe: int,
    pe: int,
    style: MemoryStyle,
    part: Part,
    columns: int | None = None,
) -> Bill:
    """``pe`` banks of parallel comparators, whose memory in LUTs holds so many different ``columns`` (None: all)."""
    bill = Bill()
    circuit = "parallel thresholds" if channels_per_pe > 1 else "constant thresholds"
    bill.circuit(circuit, parallel_features(steps, width, channels_per_pe), pe)
    bits = pe * steps * width
    if columns is not None and style in ("auto", "distributed"):
        in_luts = place_memory(channels_per_pe, columns, "distributed", part)
        elsewhere = place_memory(channels_per_pe, bits, style, part)
        cheaper = style == "distributed" or part_share(in_luts.resources, part) <= part_share(elsewhere.resources, part)
        bill.memory("threshold memory", in_luts if cheaper else elsewhere)
        return bill
    bill.memory("threshold memory", place_memory(channels_per_pe, bits, style, part))
    return bill


def binary_search(steps: int, width: int, channels_per_pe: int, pe: int, style: MemoryStyle, part: Part) -> Bill:
    """``pe`` pipelines of comparators."""
    bill = Bill()
    memories = [place_memory(*m, style, part) for m in binary_search_memories(steps, width, channels_per_pe)]
    blocks = sum(placed.style != "distributed" for placed in memories)
    others = steps.bit_length() - blocks
    if others:
        bill.circuit("binary search", binary_search_features(others, width, channels_per_pe), pe)
    if blocks:
        bill.circuit("block search", block_search_features(blocks, width), pe)
    for placed in memories:
        bill.memory("threshold memory", placed, pe)
    return bill


def thresholds_bill(table: ThresholdTable, width: int, pe: int, part: Part, style: MemoryStyle = "auto") -> Bill:
    """The structure that takes the smaller share of the part.

    Args:
        table: The thresholds.
        width: Bits of what is compared with them: the accumulator's P, or the input's width of a standalone unit.
        pe: Parallel channels.
        part: What the FPGA has.
        style: Where threshold memories go.
    """
    fold = table.channels_per_pe(pe)
    compared = min(width, table.width)
    return _bill(table.steps, compared, fold, table.columns(pe), width - compared, pe, part, style)


@lru_cache(maxsize=8192)
def _bill(
    steps: int, compared: int, fold: int, columns: int, above: int, pe: int, part: Part, style: MemoryStyle
) -> Bill:
    """Kept for the next call: extend another bill with it."""
    options = [
        parallel(steps, compared, fold, pe, style, part, columns),
        binary_search(steps, compared, fold, pe, style, part),
    ]
    best = min(options, key=lambda bill: part_share(bill.resources, part))
    if above > 0:
        best.circuit("saturation", saturation_features(compared + above, compared), pe)
    return best
