"""With how much hardware a unit is built."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

__all__ = ["Compute", "Folding", "MemoryStyle"]

MemoryStyle: TypeAlias = Literal["auto", "distributed", "block", "ultra"]
Compute: TypeAlias = Literal["auto", "lut", "dsp", "unrolled"]


@dataclass(frozen=True)
class Folding:
    """How one unit is folded. ``pe`` and ``simd`` are 1 where a kind has no such parallelism."""

    pe: int = 1
    simd: int = 1
    compute: Compute = "auto"
    ram_style: MemoryStyle = "auto"  # of weights, or of the window buffer
    ram_style_thresholds: MemoryStyle = "auto"
    parallel_window: bool = False
    writable_weights: bool = False  # FINN's runtime_writeable_weights
    fifo_depths: tuple[int, ...] | None = None  # words of each input's FIFO; None: as many as the schedule needs
    far_fifo_depths: tuple[int, ...] | None = None  # of FIFOs on converters' other side; None: FINN's least
