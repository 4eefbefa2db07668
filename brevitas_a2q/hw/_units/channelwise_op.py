"""One integer parameter per channel, added, multiplied or compared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import numpy as np

from brevitas_a2q._ir.datatypes import IntType
from brevitas_a2q._ir.dot_product import IntArray
from brevitas_a2q.bounds import IntRange
from brevitas_a2q.hw._cost.synthesis.bill import Bill, counter_bits
from brevitas_a2q.hw._cost.synthesis.core import multiplier_bits
from brevitas_a2q.hw._cost.synthesis.unrolled import csd_digits
from brevitas_a2q.hw._devices.part import Part
from brevitas_a2q.hw._memory import place_memory
from brevitas_a2q.hw._units.base import Memory, Unit, covering
from brevitas_a2q.hw._units.finn import Node, Version, stream_attributes
from brevitas_a2q.hw._units.folding import Folding

__all__ = ["ChannelwiseOp"]


@dataclass(frozen=True, eq=False, kw_only=True)
class ChannelwiseOp(Unit):
    """One integer parameter per channel, added, multiplied or compared."""

    kind: ClassVar[str] = "ChannelwiseOp"
    in_hls: ClassVar[bool] = True
    function: Literal["add", "mul", "cmp_le", "cmp_ge"]
    parameter_type: IntType
    parameters: IntArray | None = None  # shape: (channels,); None: not known

    @property
    def pe_limit(self) -> int:
        return self.channels

    def retyped(self, inputs: Sequence[IntType]) -> ChannelwiseOp:
        found = covering(inputs)
        if self.function in ("cmp_le", "cmp_ge"):
            return replace(self, input_type=found)
        if self.parameters is None:
            known = self.parameter_type.range
        else:
            known = IntRange(int(self.parameters.min()), int(self.parameters.max()))
        values = found.range
        if self.function == "add":
            result = IntRange(values.lo + known.lo, values.hi + known.hi)
        else:
            ends = [v * k for v in (values.lo, values.hi) for k in (known.lo, known.hi)]
            result = IntRange(min(ends), max(ends))
        return replace(self, input_type=found, output_type=IntType.smallest(result))

    def memories(self, folding: Folding) -> tuple[Memory, ...]:
        return (Memory(("ram_style",), folding.pe, initialised=True),)

    def finn(self, vectors: list[int], version: Version) -> list[Node]:
        types = {"paramDataType": self.parameter_type.name, "outputDataType": self.output_type.name}
        function = {"Func": self.function, "ram_style": "distributed"}
        return [("ChannelwiseOp", {**stream_attributes(self, vectors), **function, **types})]

    def bill(self, folding: Folding, part: Part) -> Bill:
        """PE adders, multipliers or comparators with a parameter memory of ``channels / PE`` words."""
        bill = Bill()
        words = self.channels // folding.pe
        parameter, data = self.parameter_type.bit_width, self.input_type.bit_width
        lanes, widest = folding.pe, max(parameter, data)
        control = {"control.bits": counter_bits(words), "control.each": 1}
        if self.function == "mul" and self.parameters is not None and (self.parameters == self.parameters[0]).all():
            features = _constant_factor(int(self.parameters[0]), lanes * self.output_type.bit_width)
            bill.circuit("channelwise add", features)
            return bill
        if self.function == "mul":
            chained, short = multiplier_bits(parameter, data, parameter + data)
            rows = {"multipliers.carry": lanes * (chained + short), "multipliers.rows": lanes * (data - 1)}
            bill.circuit("channelwise multiply", {**rows, **control})
        elif self.function == "add":
            bill.circuit("channelwise add", {"adders.carry": lanes * widest, **control})
        else:
            comparators = {"comparators.bits": lanes * widest, "comparators.each": lanes}
            bill.circuit("channelwise compare", {**comparators, **control})
        bill.memory("parameter memory", place_memory(words, folding.pe * parameter, folding.ram_style, part))
        return bill


def _constant_factor(factor: int, bits: int) -> dict[str, float]:
    """One factor for all channels: an adder for each canonical signed digit but the first, and one that negates.

    A power of two is wires, so that the output's register and its handshake remain.
    """
    digits = int(csd_digits(np.array([factor]))[0])
    adders = digits - 1 if factor > 0 else digits
    return {"adders.carry": bits * adders, "control.bits": 0, "control.each": 1}
