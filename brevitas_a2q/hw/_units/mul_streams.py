"""Elementwise product of two streams."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from brevitas_a2q._ir.datatypes import IntType
from brevitas_a2q.bounds import IntRange
from brevitas_a2q.errors import ConfigError
from brevitas_a2q.hw._cost.synthesis.bill import Bill
from brevitas_a2q.hw._cost.synthesis.dot_product import product_features
from brevitas_a2q.hw._devices.part import Part
from brevitas_a2q.hw._units.base import Unit, covering
from brevitas_a2q.hw._units.finn_node import REMEDY, Node, Version
from brevitas_a2q.hw._units.folding import Folding

__all__ = ["MulStreams", "product_range"]


@dataclass(frozen=True, eq=False, kw_only=True)
class MulStreams(Unit):
    """Elementwise product of two streams (squeeze and excitation); ``factors`` are the types of the two."""

    kind: ClassVar[str] = "MulStreams"
    in_hls: ClassVar[bool] = True
    factors: tuple[IntType, IntType]

    @property
    def pe_limit(self) -> int:
        return self.channels

    def retyped(self, inputs: Sequence[IntType]) -> MulStreams:
        first, second = inputs
        product = IntType.smallest(product_range(first.range, second.range))
        return replace(self, input_type=covering(inputs), output_type=product, factors=(first, second))

    def finn(self, vectors: list[int], version: Version) -> list[Node]:
        """dev has an elementwise multiplication, main has none."""
        if version == "main":
            expected = "FINN dev, which multiplies streams"
            raise ConfigError("found a MulStreams", where=self.name, expected=expected, remedy=REMEDY)
        shape = [*vectors, self.channels]
        types = {"lhs_dtype": self.factors[0].name, "rhs_dtype": self.factors[1].name}
        types["out_dtype"] = self.output_type.name
        return [("ElementwiseMul", {"PE": 1, "lhs_shape": shape, "rhs_shape": shape, "out_shape": shape, **types})]

    def bill(self, folding: Folding, part: Part) -> Bill:
        """PE multipliers as of a matrix unit, and a handshake that joins streams."""
        bill = Bill()
        _, features = product_features(*self.factors, self.output_type.bit_width)
        bill.circuit("dot product", features, folding.pe)
        bill.circuit("multiply streams", {"handshake.each": 1})
        return bill


def product_range(first: IntRange, second: IntRange) -> IntRange:
    """All products of two integers.

    Example:
        >>> product_range(IntRange(-8, 7), IntRange(0, 15))
        IntRange(lo=-120, hi=105)
    """
    ends = [a * b for a in (first.lo, first.hi) for b in (second.lo, second.hi)]
    return IntRange(min(ends), max(ends))
