"""A cost model as a value: what a folding search and a design are priced by."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from brevitas_a2q.hw.cost.result import UnitCost
from brevitas_a2q.hw.devices.part import Part
from brevitas_a2q.hw.ir import Folding, Unit

__all__ = ["CostModel", "synthesis_model"]


@dataclass(frozen=True)
class CostModel:
    """Cost of a folded unit, and what a search asks for far more often: its price and its cycles alone."""

    name: str
    cost: Callable[[Unit, Folding, Part], UnitCost]
    price: Callable[[Unit, Folding, Part], tuple[float, int, int, int]]  # LUT before rounding, BRAM18, URAM, DSP
    cycles: Callable[[Unit, Folding], int]


def synthesis_model() -> CostModel:
    """Our model, fitted to synthesis."""
    from brevitas_a2q.hw.cost.synthesis.cycles import unit_cycles
    from brevitas_a2q.hw.cost.synthesis.dispatch import cost, price

    return CostModel("synthesis", cost, price, unit_cycles)
