"""Multi-threshold activations: all comparisons at once, or a binary search.

*Parallel*: one comparator of P bits per threshold and a population count. With one channel per PE the thresholds are
constants, and comparators share the few distinct functions that two bits of the input and two bits of a constant can
form: ``4 * (1 - (3/4)^n)`` of the four patterns occur among n thresholds on average. With ``cf`` channels per PE
all thresholds of a channel are read at once from a memory of ``cf`` words.

*Binary search*: one comparator per output bit; stage b has a memory of ``cf * 2^b`` thresholds. One result per cycle
too.

Both are P bits wide throughout, and a design takes the cheaper one.
"""

from __future__ import annotations

from brevitas_a2q.hw.cost.synthesis.bill import Bill
from brevitas_a2q.hw.devices.part import Part
from brevitas_a2q.hw.ir import MemoryStyle
from brevitas_a2q.hw.memory import part_share, place_memory

__all__ = [
    "binary_search",
    "binary_search_features",
    "binary_search_memories",
    "parallel",
    "parallel_features",
    "thresholds_bill",
]


def parallel_features(steps: int, width: int, channels_per_pe: int) -> dict[str, float]:
    """Features of one PE with ``steps`` thresholds of ``width`` bits, its memory excluded."""
    if channels_per_pe > 1:
        return {"comparators.bits": steps * width, "count": steps}
    return {"comparators.shared": width * 4 * (1 - 0.75**steps), "comparators.bits": width, "count": steps}


def binary_search_memories(steps: int, width: int, channels_per_pe: int) -> list[tuple[int, int]]:
    """``(words, bits)`` of the memory of each stage, the first of which halves the range of all steps."""
    return [(channels_per_pe << stage, width) for stage in range(steps.bit_length())]


def binary_search_features(steps: int, width: int, channels_per_pe: int) -> dict[str, float]:
    """Features of one PE, its memories excluded."""
    stages = steps.bit_length()
    return {
        "comparators.bits": stages * width,
        "pipeline.stages": stages,
        "pipeline.codes": stages * stages,
        "pipeline.channels": stages * (channels_per_pe - 1).bit_length(),
        "pipeline.each": 1,
    }


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
    bill.circuit("binary search", binary_search_features(steps, width, channels_per_pe), pe)
    for words, bits in binary_search_memories(steps, width, channels_per_pe):
        bill.memory("threshold memory", place_memory(words, bits, style, part), pe)
    return bill


def thresholds_bill(
    steps: int, width: int, channels_per_pe: int, pe: int, part: Part, style: MemoryStyle = "auto"
) -> Bill:
    """The structure that takes the smaller share of the part.

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
