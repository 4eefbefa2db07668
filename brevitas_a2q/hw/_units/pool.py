"""Max or average pool behind a depthwise window."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import ClassVar, Literal

import numpy as np

from brevitas_a2q._ir.datatypes import IntType
from brevitas_a2q.hw._cost.synthesis.bill import Bill
from brevitas_a2q.hw._cost.synthesis.unrolled import csd_digits
from brevitas_a2q.hw._devices.part import Part
from brevitas_a2q.hw._units.base import Unit, covering
from brevitas_a2q.hw._units.finn import Node, Version
from brevitas_a2q.hw._units.folding import Folding
from brevitas_a2q.hw._units.global_acc_pool import sum_features, total_type

__all__ = ["Pool", "division_features"]


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
        """PE running maxima or sums over the window; an average also multiplies by the reciprocal of its size."""
        window, bits = self.kernel[0] * self.kernel[1], self.input_type.bit_width
        bill = Bill()
        if self.function == "max":
            # Up to two bits are compared and chosen in one function.
            features = {"maximum.bits": folding.pe * bits, "maximum.each": folding.pe * (bits > 2), "control.each": 1}
            bill.circuit("pool maximum", features)
            return bill
        width = self.accumulator_bit_width or bits + (window - 1).bit_length()
        bill.circuit("pool sum", sum_features(folding.pe * width, window))
        if window & (window - 1):
            bill.circuit("division", division_features(width, window), folding.pe)
        return bill


@lru_cache(maxsize=1024)
def division_features(width: int, divisor: int) -> dict[str, float]:
    """Features of a division by a constant: a product with its reciprocal to as many digits as the result needs.

    One adder fewer than the reciprocal has canonical signed digits; the more bits it has set, the wider they get, as
    synthesis does not find all of those digits.

    Example:
        >>> division_features(8, 9)
        {'division.bits': 16, 'division.growth': 72}
    """
    fraction = width + (divisor - 1).bit_length()
    reciprocal = -(-(1 << fraction) // divisor)
    adders = int(csd_digits(np.array([reciprocal]))[0]) - 1
    return {"division.bits": width * adders, "division.growth": width * (reciprocal.bit_count() - 1) ** 2}
