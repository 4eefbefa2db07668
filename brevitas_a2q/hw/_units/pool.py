"""Max or average pool behind a depthwise window."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

from brevitas_a2q._ir.datatypes import IntType
from brevitas_a2q.hw._cost.synthesis.bill import Bill
from brevitas_a2q.hw._devices.part import Part
from brevitas_a2q.hw._units.base import Unit, covering
from brevitas_a2q.hw._units.finn_node import Node, Version
from brevitas_a2q.hw._units.folding import Folding
from brevitas_a2q.hw._units.global_acc_pool import total_type

__all__ = ["Pool"]


@dataclass(frozen=True, eq=False, kw_only=True)
class Pool(Unit):
    """Max or average pool behind a depthwise :class:`SlidingWindow`."""

    kind: ClassVar[str] = "Pool"
    in_hls: ClassVar[bool] = True
    output_dim: tuple[int, int]
    kernel: tuple[int, int]
    function: Literal["max", "average"]
    accumulator_bit_width: int = 0

    @property
    def pe_limit(self) -> int:
        return self.channels

    def retyped(self, inputs: Sequence[IntType]) -> Pool:
        found = covering(inputs)
        if self.function == "max":
            return replace(self, input_type=found, output_type=found)
        total = total_type(found, self.kernel[0] * self.kernel[1])
        return replace(self, input_type=found, output_type=total, accumulator_bit_width=total.bit_width)

    def cycles(self, folding: Folding) -> int:
        return self.pixels * (self.channels // folding.pe) * self.kernel[0] * self.kernel[1]

    def finn(self, vectors: list[int], version: Version) -> list[Node]:
        attributes = {
            "PE": 1,
            "Channels": self.channels,
            "KernelSize": list(self.kernel),
            "Function": "MaxPool" if self.function == "max" else "QuantAvgPool",
            "OutImgDims": list(self.output_dim),
            "InputDataType": self.input_type.name,
            "OutputDataType": self.output_type.name,
            "AccumBits": self.accumulator_bit_width,
        }
        return [("Pool", attributes)]

    def bill(self, folding: Folding, part: Part) -> Bill:
        """PE running maxima or sums over the window."""
        window, bits = self.kernel[0] * self.kernel[1], self.input_type.bit_width
        bill = Bill()
        bill.counters(window)
        if self.function == "max":
            features = {"maximum.carry": folding.pe * (bits + bits / 2), "maximum.each": folding.pe, "control.each": 1}
            bill.circuit("pool maximum", features)
            return bill
        width = self.accumulator_bit_width or bits + (window - 1).bit_length()
        bill.circuit("pool sum", {"sum.carry": folding.pe * width, "sum.each": folding.pe, "control.each": 1})
        return bill
