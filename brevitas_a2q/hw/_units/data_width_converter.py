"""Stream width converter."""

from __future__ import annotations

from dataclasses import dataclass
from math import lcm
from typing import ClassVar

from brevitas_a2q.hw._cost.synthesis.bill import Bill, counter_bits
from brevitas_a2q.hw._devices.part import Part
from brevitas_a2q.hw._units.base import Unit
from brevitas_a2q.hw._units.folding import Folding

__all__ = ["DataWidthConverter"]


@dataclass(frozen=True, eq=False, kw_only=True)
class DataWidthConverter(Unit):
    """Stream width converter; widths in bits."""

    kind: ClassVar[str] = "DataWidthConverter"
    input_width: int
    output_width: int

    def cycles(self, folding: Folding) -> int:
        return self.pixels * max(1, -(-max(self.input_width, self.output_width) // self.output_width))

    def bill(self, folding: Folding, part: Part) -> Bill:
        """Gathers words up to the least common multiple of both widths, then parts them, both by shift registers.

        Gathering shifts whole words in and needs no multiplexer; parting loads and shifts, two bits to a LUT.
        """
        common = lcm(self.input_width, self.output_width)
        bill = Bill()
        if common > self.input_width:
            bits = (common // self.input_width).bit_length()
            bill.circuit("gathering", {"control.bits": bits, "control.each": 1})
        if common > self.output_width:
            pairs = -(-(common - self.output_width) // 2)
            bits = counter_bits(common // self.output_width)
            bill.circuit("parting", {"shift.pairs": pairs, "control.bits": bits, "control.each": 1})
        return bill
