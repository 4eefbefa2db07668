"""Real arithmetic between integers that no unit of ours computes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from brevitas_a2q._ir.datatypes import IntType
from brevitas_a2q.hw._cost.synthesis.bill import Bill
from brevitas_a2q.hw._devices.part import Part
from brevitas_a2q.hw._units.base import Memory, Unit, covering
from brevitas_a2q.hw._units.folding import Folding
from brevitas_a2q.hw._units.thresholding import Thresholding

__all__ = ["Island"]


@dataclass(frozen=True, eq=False, kw_only=True)
class Island(Unit):
    """From integers to a quantizer's integers by real arithmetic.

    A function of one integer is priced as the comparisons that tell its values apart, ``stand_in``, whether it rises or
    falls; anything else has its place in the stream and its time, and no price. A graph with one says so in a warning.
    """

    kind: ClassVar[str] = "Island"
    stand_in: Thresholding | None = None

    @property
    def pe_limit(self) -> int:
        return self.channels

    def retyped(self, inputs: Sequence[IntType]) -> Island:
        stand_in = None if self.stand_in is None else self.stand_in.retyped(inputs)
        return replace(self, input_type=covering(inputs), stand_in=stand_in)

    def memories(self, folding: Folding) -> tuple[Memory, ...]:
        return () if self.stand_in is None else self.stand_in.memories(folding)

    def bill(self, folding: Folding, part: Part) -> Bill:
        """What is known of it."""
        return Bill() if self.stand_in is None else self.stand_in.bill(folding, part)
