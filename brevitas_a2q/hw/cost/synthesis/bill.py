"""A unit's cost while it is being added up."""

from __future__ import annotations

from dataclasses import dataclass, field

from brevitas_a2q.hw.cost.result import CostTerm, Resources, UnitCost
from brevitas_a2q.hw.cost.synthesis.fits import Features, terms
from brevitas_a2q.hw.memory import MemoryCost

__all__ = ["Bill", "counter_bits"]


def counter_bits(*limits: int) -> int:
    """Bits of the counters that count up to each limit; a limit of 1 needs none.

    Example:
        >>> counter_bits(1, 2, 9)
        5
    """
    return sum((limit - 1).bit_length() for limit in limits)


@dataclass
class Bill:
    """LUT terms, and the blocks that are counted beside them."""

    terms: list[CostTerm] = field(default_factory=list)
    blocks: Resources = field(default_factory=Resources)

    def circuit(self, name: str, features: Features, copies: float = 1) -> None:
        """Add fitted terms; see :func:`brevitas_a2q.hw.cost.synthesis.fits.terms`."""
        self.terms.extend(terms(name, features, copies))

    def memory(self, name: str, placed: MemoryCost, copies: int = 1) -> None:
        """Add a placed memory: its LUTs as an exact term, its blocks as blocks."""
        r = placed.resources
        if r.lut:
            self.terms.append(CostTerm(name, copies * r.lut, "exact"))
        self.blocks += Resources(bram18=copies * r.bram18, uram=copies * r.uram)

    def extend(self, other: Bill) -> None:
        """Add all of another bill."""
        self.terms.extend(other.terms)
        self.blocks += other.blocks

    @property
    def resources(self) -> Resources:
        """Everything so far, LUTs rounded to a whole number."""
        return Resources(lut=round(sum(t.lut for t in self.terms))) + self.blocks

    def unit_cost(self, cycles: int) -> UnitCost:
        """The finished bill."""
        return UnitCost(self.resources, cycles, tuple(self.terms))
