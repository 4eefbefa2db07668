"""Multi-threshold activations of the reference grid: all comparisons at once, or a binary search.

*Parallel*: one comparator of P bits per threshold and a population count, ``n - ceil(log2(n + 1))`` full adders for n
thresholds. With one channel per PE the thresholds are constants: two bits of the input meet two bits of a constant in
one LUT, and equal LUTs are shared between comparators, so that ``1 - (7/8)^n`` of all kinds occur. With ``cf`` channels
per PE all thresholds of a channel are read at once from a memory of ``cf`` words.

*Binary search* (FINN's RTL): one comparator per output bit; stage b has a memory of ``cf * 2^b`` thresholds. Memories
of up to four constants vanish into the comparators.

Our own units search (:mod:`brevitas_a2q.hw._cost.synthesis.search`).
"""

from __future__ import annotations

__all__ = ["binary_search_features", "binary_search_memories", "parallel_features"]

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
