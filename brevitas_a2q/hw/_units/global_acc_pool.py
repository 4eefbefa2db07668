"""The sum over all pixels of each channel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from brevitas_a2q._ir.datatypes import IntType
from brevitas_a2q.bounds import IntRange
from brevitas_a2q.hw._cost.synthesis.bill import Bill
from brevitas_a2q.hw._devices.part import Part
from brevitas_a2q.hw._memory import place_memory
from brevitas_a2q.hw._units.base import Unit, covering
from brevitas_a2q.hw._units.finn import stream_attributes
from brevitas_a2q.hw._units.finn_node import Node, Version
from brevitas_a2q.hw._units.flow import Flow
from brevitas_a2q.hw._units.folding import Folding

__all__ = ["GlobalAccPool", "total_type"]


@dataclass(frozen=True, eq=False, kw_only=True)
class GlobalAccPool(Unit):
    """Sum over all pixels of each channel."""

    kind: ClassVar[str] = "GlobalAccPool"
    in_hls: ClassVar[bool] = True
    input_dim: tuple[int, int]

    @property
    def pe_limit(self) -> int:
        return self.channels

    def input_pixels(self, written: int) -> int:
        return self.input_dim[0] * self.input_dim[1]

    @property
    def input_shape(self) -> tuple[int, int]:
        return self.input_dim[0] * self.input_dim[1], self.channels

    def retyped(self, inputs: Sequence[IntType]) -> GlobalAccPool:
        found = covering(inputs)
        return replace(self, input_type=found, output_type=total_type(found, self.input_dim[0] * self.input_dim[1]))

    def cycles(self, folding: Folding) -> int:
        """The sums leave with the last pixel."""
        return self.input_dim[0] * self.input_dim[1] * (self.channels // folding.pe)

    def flow(self, folding: Folding, cycles: int, inputs: int) -> Flow:
        return replace(super().flow(folding, cycles, inputs), span=self.channels / folding.pe)

    def finn(self, vectors: list[int], version: Version) -> list[Node]:
        return [("GlobalAccPool", stream_attributes(self, [1, *self.input_dim]))]

    def bill(self, folding: Folding, part: Part) -> Bill:
        """PE adders as wide as the sum, and one sum per channel in a memory of ``channels / PE`` words."""
        words, bits = self.channels // folding.pe, folding.pe * self.output_type.bit_width
        bill = Bill()
        if self.input_dim == (1, 1):  # nothing to add: a register
            bill.circuit("stream", {"control.each": 1})
            return bill
        bill.counters(words, self.input_dim[0] * self.input_dim[1])
        bill.circuit("global pool", {"sum.carry": bits, "sum.each": folding.pe, "control.each": 1})
        bill.memory("sums", place_memory(words, bits, "distributed", part, writable=True))
        return bill


def total_type(term: IntType, count: int) -> IntType:
    """The type of a sum of so many integers.

    Example:
        >>> total_type(IntType("INT32"), 64).name
        'INT38'
    """
    return IntType.smallest(IntRange(term.range.lo * count, term.range.hi * count))
