"""A unit's cost while it is being added up: circuits by their features, and memories."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache

from brevitas_a2q.hw._cost.result import CostTerm, Resources, UnitCost
from brevitas_a2q.hw._cost.synthesis.fits import Features, lut, terms
from brevitas_a2q.hw._memory import MemoryCost

__all__ = ["Bill", "compared", "counter_bits", "wrapped_bits"]

_DEEP_MEMORY_BAND = 0.15  # of memories in LUTs deeper than what is exact; benchmarks/synth/results.md


def counter_bits(*limits: int) -> int:
    """Bits of the counters that count up to each limit; a limit of 1 needs none.

    Example:
        >>> counter_bits(1, 2, 9)
        5
    """
    return sum((limit - 1).bit_length() for limit in limits)


def compared(*limits: int) -> tuple[int, ...]:
    """Limits that their counters are compared with; one up to a power of two wraps by itself.

    Example:
        >>> compared(8, 9)
        (9,)
    """
    return tuple(limit for limit in limits if limit & (limit - 1))


def wrapped_bits(*limits: int) -> int:
    """Bits that the comparison with a limit sets back; those of its trailing zeros wrap by themselves.

    Example:
        >>> wrapped_bits(8, 9, 12)
        6
    """
    return sum((limit // (limit & -limit) - 1).bit_length() for limit in compared(*limits))


@lru_cache(maxsize=8192)
def _counter_features(limits: tuple[int, ...]) -> Features:
    found = [limit for limit in limits if limit > 1]
    return {
        "control.bits": counter_bits(*found),
        "control.wrapped": wrapped_bits(*found),
        "control.counters": len(found),
        "control.compared": len(compared(*found)),
    }


@dataclass
class Bill:
    """What a unit is made of; LUTs are counted when asked for.

    ``circuits`` holds (name, features of one, copies): the fit of the coefficients reads the same bills.
    """

    circuits: list[tuple[str, Features, float]] = field(default_factory=list)
    memories: list[CostTerm] = field(default_factory=list)
    blocks: Resources = field(default_factory=Resources)

    def circuit(self, name: str, features: Features, copies: float = 1) -> None:
        """Add a fitted circuit; see :mod:`brevitas_a2q.hw._cost.synthesis.fits`."""
        self.circuits.append((name, features, copies))

    def counters(self, *limits: int) -> None:
        """Add counters that count up to each limit (``counter.v``); one up to 1 is nothing."""
        features = _counter_features(limits)
        if features["control.counters"]:
            self.circuit("counters", features)

    def exact(self, name: str, luts: int) -> None:
        """Add LUTs that are known exactly."""
        self.memories.append(CostTerm(name, luts, "exact"))

    def _distributed(self, name: str, luts: int, exact: bool) -> None:
        if exact:
            self.exact(name, luts)
        else:
            self.memories.append(CostTerm(name, luts, "fitted", _DEEP_MEMORY_BAND))

    def memory(self, name: str, placed: MemoryCost, copies: int = 1) -> None:
        """Add a placed memory: its LUTs as a term, its blocks as blocks."""
        used = placed.resources
        if used.lut:
            self._distributed(name, copies * used.lut, placed.exact)
        if used.bram18 or used.uram:
            self.blocks += Resources(bram18=copies * used.bram18, uram=copies * used.uram)

    def extend(self, other: Bill) -> None:
        """Add all of another bill."""
        self.circuits += other.circuits
        self.memories += other.memories
        self.blocks += other.blocks

    @property
    def terms(self) -> tuple[CostTerm, ...]:
        """All terms."""
        fitted = (term for name, features, copies in self.circuits for term in terms(name, features, copies))
        return (*fitted, *self.memories)

    @property
    def lut(self) -> float:
        """LUTs, unrounded."""
        fitted = sum(copies * lut(name, features) for name, features, copies in self.circuits)
        return fitted + sum(memory.lut for memory in self.memories)

    @property
    def resources(self) -> Resources:
        """Everything, LUTs rounded to a whole number."""
        return Resources(lut=round(self.lut)) + self.blocks

    def unit_cost(self, cycles: int) -> UnitCost:
        """The finished bill."""
        parts = self.terms
        return UnitCost(Resources(lut=round(sum(t.lut for t in parts))) + self.blocks, cycles, parts)
