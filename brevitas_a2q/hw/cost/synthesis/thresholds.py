"""Multi-threshold activations: all comparisons at once, or a binary search.

*Parallel*: one comparator of P bits per threshold and a population count, ``n - ceil(log2(n + 1))`` full adders for n
thresholds. With one channel per PE the thresholds are constants: two bits of the input meet two bits of a constant in
one LUT, and equal LUTs are shared between comparators, so that ``1 - (7/8)^n`` of all kinds occur. With ``cf`` channels
per PE all thresholds of a channel are read at once from a memory of ``cf`` words.

*Binary search* (FINN's RTL): one comparator per output bit; stage b has a memory of ``cf * 2^b`` thresholds. One result
per cycle too. Memories of up to four constants vanish into the comparators; in LUTs a memory's last multiplexers mix
with its comparator, which costs more than one behind the output registers of a block RAM.

Both are P bits wide throughout, and a design takes the cheaper one.
"""

from __future__ import annotations

from functools import lru_cache

from brevitas_a2q.hw.cost.synthesis.bill import Bill
from brevitas_a2q.hw.devices.part import Part
from brevitas_a2q.hw.memory import part_share, place_memory
from brevitas_a2q.hw.units.folding import MemoryStyle

__all__ = [
    "binary_search",
    "binary_search_features",
    "binary_search_memories",
    "block_search_features",
    "parallel",
    "parallel_features",
    "thresholds_bill",
]

_FREE_WORDS = 4


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


def parallel(steps: int, width: int, channels_per_pe: int, pe: int, style: MemoryStyle, part: Part) -> Bill:
    """``pe`` banks of parallel comparators."""
    bill = Bill()
    circuit = "parallel thresholds" if channels_per_pe > 1 else "constant thresholds"
    bill.circuit(circuit, parallel_features(steps, width, channels_per_pe), pe)
    bill.memory("threshold memory", place_memory(channels_per_pe, pe * steps * width, style, part))
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


@lru_cache(maxsize=8192)
def thresholds_bill(
    steps: int, width: int, channels_per_pe: int, pe: int, part: Part, style: MemoryStyle = "auto"
) -> Bill:
    """The structure that takes the smaller share of the part; kept for the next call, so extend another bill with it.

    Args:
        steps: Thresholds per channel.
        width: Bits of a threshold: the accumulator's P, or the input's width of a standalone unit.
        channels_per_pe: Channels that one PE serves in turn; 1 also where all channels share their thresholds.
        pe: Parallel channels.
        part: What the FPGA has.
        style: Where threshold memories go.
    """
    options = [build(steps, width, channels_per_pe, pe, style, part) for build in (parallel, binary_search)]
    return min(options, key=lambda bill: part_share(bill.resources, part))
