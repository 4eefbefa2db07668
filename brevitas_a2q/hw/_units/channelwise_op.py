"""One integer parameter per channel, added, multiplied or compared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import numpy as np

from brevitas_a2q._ir.datatypes import IntType
from brevitas_a2q._ir.dot_product import IntArray
from brevitas_a2q.bounds import IntRange
from brevitas_a2q.hw._cost.result import Resources
from brevitas_a2q.hw._cost.synthesis.bill import Bill
from brevitas_a2q.hw._cost.synthesis.dot_product import product_features
from brevitas_a2q.hw._cost.synthesis.unrolled import csd_digits
from brevitas_a2q.hw._devices.part import Part
from brevitas_a2q.hw._memory import MemoryCost, place_memory
from brevitas_a2q.hw._rom import stored_luts
from brevitas_a2q.hw._units.base import Memory, Unit, covering
from brevitas_a2q.hw._units.finn import stream_attributes
from brevitas_a2q.hw._units.finn_node import Node, Version
from brevitas_a2q.hw._units.folding import Folding

__all__ = ["ChannelwiseOp"]


_HANDSHAKE = 2  # LUTs


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

    def latency(self, folding: Folding) -> int:
        return 2

    def memories(self, folding: Folding) -> tuple[Memory, ...]:
        return (Memory(("ram_style",), folding.pe, initialised=True),)

    def finn(self, vectors: list[int], version: Version) -> list[Node]:
        types = {"paramDataType": self.parameter_type.name, "outputDataType": self.output_type.name}
        function = {"Func": self.function, "ram_style": "distributed"}
        return [("ChannelwiseOp", {**stream_attributes(self, vectors), **function, **types})]

    def bill(self, folding: Folding, part: Part) -> Bill:
        """PE adders, multipliers or comparators with a parameter memory of ``channels / PE`` words."""
        bill = Bill()
        lanes, words = folding.pe, self.channels // folding.pe
        data = self.input_type.bit_width + (not self.input_type.signed)
        constant = self.parameters is not None and (self.parameters == self.parameters[0]).all()
        if self.function == "mul" and self.parameters is not None and constant:
            bill.circuit("channelwise", _features(_constant_factor(int(self.parameters[0])) * lanes * data))
            return bill
        bill.counters(words)
        parameter = self._parameter_bits
        if self.function == "mul":
            types = IntType.of(data, signed=True), IntType.of(parameter, signed=True)
            bill.circuit("dot product", product_features(*types, self.output_type.bit_width)[1], lanes)
            bill.circuit("channelwise", _features(0))
        elif self.function == "add":
            bill.circuit("channelwise", _features(lanes * self.output_type.bit_width))
        else:
            bill.circuit("channelwise", {**_features(0), "comparators.bits": lanes * max(data, parameter)})
        bill.memory("parameter memory", self._memory(words, lanes, part))
        return bill

    @property
    def _parameter_bits(self) -> int:
        """Bits that the parameters need."""
        if self.parameters is None:
            return self.parameter_type.bit_width
        return max(2, *(int(p).bit_length() + 1 for p in (self.parameters.min(), self.parameters.max())))

    def _memory(self, words: int, lanes: int, part: Part) -> MemoryCost:
        """Parameters in LUTs, wherever a folding wants them: they are few."""
        if self.parameters is None:
            return place_memory(words, lanes * self._parameter_bits, "distributed", part)
        found = stored_luts(self.parameters.reshape(1, words, lanes), self._parameter_bits)
        return MemoryCost("distributed", Resources(lut=found), 1.0)


def _features(adders: int) -> dict[str, float]:
    return {"adders.bits": adders, "comparators.bits": 0, "handshake.carry": _HANDSHAKE}


def _constant_factor(factor: int) -> int:
    """Adders of a product with a constant: one for each canonical signed digit but the first, and one that negates."""
    digits = int(csd_digits(np.array([factor]))[0])
    return digits - 1 if factor > 0 else digits
