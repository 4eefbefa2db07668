"""Costs as frozen values: resources, and the terms they are the sum of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

__all__ = ["FINN_TERM", "Basis", "CostTerm", "Resources", "UnitCost"]

Basis = Literal["exact", "FINN parity", "fitted"]
FINN_TERM: Final = "FINN's formula"  # FINN's number for a node, which is not divided


@dataclass(frozen=True)
class Resources:
    """Counts of LUTs, 18-kbit block RAMs, UltraRAMs and DSP blocks."""

    lut: int = 0
    bram18: int = 0
    uram: int = 0
    dsp: int = 0

    def __add__(self, other: Resources) -> Resources:
        return Resources(self.lut + other.lut, self.bram18 + other.bram18, self.uram + other.uram, self.dsp + other.dsp)


@dataclass(frozen=True)
class CostTerm:
    """One term of a unit's LUT count: multipliers, adder tree, accumulator, comparators, memory, control..."""

    name: str
    lut: float
    basis: Basis
    error_band: float | None = None  # relative, 90th percentile on held-out rows; None where exact or not measured


@dataclass(frozen=True)
class UnitCost:
    """Cost of one folded unit per image; ``cycles`` from the first to the last word of one image."""

    resources: Resources
    cycles: int
    terms: tuple[CostTerm, ...] = ()
    ff: int | None = None  # flip-flops, where the model knows them
