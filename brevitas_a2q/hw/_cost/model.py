"""A cost model as a value: what a folding search and a design are priced by."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache

from brevitas_a2q.hw._cost.result import UnitCost
from brevitas_a2q.hw._devices.part import Part
from brevitas_a2q.hw._ir import Folding, Unit

__all__ = ["CostModel", "cost", "price", "synthesis_model"]


@dataclass(frozen=True)
class CostModel:
    """Cost of a folded unit, and what a search asks for far more often: its price and its cycles alone."""

    name: str
    cost: Callable[[Unit, Folding, Part], UnitCost]
    price: Callable[[Unit, Folding, Part], tuple[float, int, int, int]]  # LUT before rounding, BRAM18, URAM, DSP
    cycles: Callable[[Unit, Folding], int]
    far_fifos: bool = False  # whether both sides of a width converter have a FIFO, as in FINN's designs
    unrolled: bool = False  # whether a search may choose units of constant weights, which FINN does not have

    def remembering(self) -> CostModel:
        """The same model, which keeps every price for as long as it lives: for one search over one graph."""
        return replace(self, price=cache(self.price))


def cost(unit: Unit, folding: Folding, part: Part) -> UnitCost:
    """Resources, cycles and LUT terms of one unit with this folding on this part, as synthesis counts them.

    Args:
        unit: Any kind of :mod:`brevitas_a2q.hw._units`.
        folding: A legal folding of it (see :meth:`Unit.check`); not checked again here, a search calls this often.
        part: Decides where memories may go and what a DSP block does.

    Returns:
        The cost; its terms sum to its LUTs before rounding.

    Raises:
        PartError: If the folding asks for UltraRAM on a part without it.
    """
    return unit.bill(folding, part).unit_cost(unit.cycles(folding))


def price(unit: Unit, folding: Folding, part: Part) -> tuple[float, int, int, int]:
    """LUTs before rounding, BRAM18, URAM and DSP: what :func:`cost` says, without its terms, for searches."""
    bill = unit.bill(folding, part)
    return bill.lut, bill.blocks.bram18, bill.blocks.uram, bill.blocks.dsp


def synthesis_model(unrolled: bool = False) -> CostModel:
    """Our model, fitted to synthesis.

    Args:
        unrolled: Whether a search may choose units of constant weights.
    """
    return CostModel("synthesis", cost, price, lambda unit, folding: unit.cycles(folding), unrolled=unrolled)
