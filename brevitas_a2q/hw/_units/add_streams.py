"""Elementwise sum of two streams."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from brevitas_a2q._ir.datatypes import IntType
from brevitas_a2q.bounds import IntRange
from brevitas_a2q.hw._cost.synthesis.bill import Bill
from brevitas_a2q.hw._devices.part import Part
from brevitas_a2q.hw._units.base import Unit, covering
from brevitas_a2q.hw._units.finn import stream_attributes
from brevitas_a2q.hw._units.finn_node import Node, Version
from brevitas_a2q.hw._units.folding import Folding

__all__ = ["AddStreams"]


@dataclass(frozen=True, eq=False, kw_only=True)
class AddStreams(Unit):
    """Elementwise sum of two streams (residual connections)."""

    kind: ClassVar[str] = "AddStreams"
    in_hls: ClassVar[bool] = True

    @property
    def pe_limit(self) -> int:
        return self.channels

    def retyped(self, inputs: Sequence[IntType]) -> AddStreams:
        ranges = [t.range for t in inputs]
        total = IntType.smallest(IntRange(sum(r.lo for r in ranges), sum(r.hi for r in ranges)))
        return replace(self, input_type=covering(inputs), output_type=total)

    def finn(self, vectors: list[int], version: Version) -> list[Node]:
        """dev has an elementwise addition instead."""
        if version == "main":
            return [("AddStreams", stream_attributes(self, vectors))]
        shape, kind = [*vectors, self.channels], self.input_type.name
        types = {"lhs_dtype": kind, "rhs_dtype": kind, "out_dtype": self.output_type.name}
        return [("ElementwiseAdd", {"PE": 1, "lhs_shape": shape, "rhs_shape": shape, "out_shape": shape, **types})]

    def bill(self, folding: Folding, part: Part) -> Bill:
        """PE adders, a LUT a bit, and a handshake that joins streams."""
        bits = min(self.input_type.bit_width + 1, self.output_type.bit_width)
        bill = Bill()
        features = {"adders.bits": folding.pe * bits, "adders.saved": folding.pe, "handshake.each": 1}
        bill.circuit("add streams", features)
        return bill
