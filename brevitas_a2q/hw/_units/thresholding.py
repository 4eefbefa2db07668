"""Multi-threshold activation on its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import ClassVar

from brevitas_a2q._ir.datatypes import IntType
from brevitas_a2q._ir.dot_product import IntArray
from brevitas_a2q.hw._cost.synthesis.bill import Bill
from brevitas_a2q.hw._cost.synthesis.search import SearchTable, threshold_bill
from brevitas_a2q.hw._devices.part import Part
from brevitas_a2q.hw._units.base import Memory, Unit, covering
from brevitas_a2q.hw._units.finn import threshold_node
from brevitas_a2q.hw._units.finn_node import Node, Version
from brevitas_a2q.hw._units.folding import Folding

__all__ = ["Thresholding"]


@dataclass(frozen=True, eq=False, kw_only=True)
class Thresholding(Unit):
    """Multi-threshold activation: the output code is ``activation_bias`` plus the thresholds at or below the input."""

    kind: ClassVar[str] = "Thresholding"
    thresholds: IntArray  # shape: (channels or 1, steps)
    activation_bias: int = 0
    threshold_reach: tuple[int, int] | None = None  # lowest and highest before clipping to what sums reach; for FINN

    @property
    def pe_limit(self) -> int:
        return self.channels

    def retyped(self, inputs: Sequence[IntType]) -> Thresholding:
        return replace(self, input_type=covering(inputs))  # what leaves are levels

    def latency(self, folding: Folding) -> int:
        return self.table.latency(block=folding.ram_style_thresholds in ("block", "ultra"))

    def memories(self, folding: Folding) -> tuple[Memory, ...]:
        return (Memory(("ram_style", "ram_style_thresholds"), None, initialised=True),)

    def finn(self, vectors: list[int], version: Version) -> list[Node]:
        return [threshold_node(self, self.thresholds, self.activation_bias, self.input_type.name, vectors)]

    def bill(self, folding: Folding, part: Part) -> Bill:
        bill = threshold_bill(self.table, self.channels, folding.pe, part, folding.ram_style_thresholds)
        bill.counters(self.table.words(self.channels, folding.pe))
        bill.circuit("stream", {"control.each": 1})
        return bill

    @cached_property
    def table(self) -> SearchTable:
        """The memories of its searches."""
        kind = self.input_type
        return SearchTable(self.thresholds, kind.range)
