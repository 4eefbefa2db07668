"""First-in first-out buffer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from brevitas_a2q.hw._cost.synthesis.bill import Bill, wrapped_bits
from brevitas_a2q.hw._devices.part import Part
from brevitas_a2q.hw._memory import place_memory
from brevitas_a2q.hw._units.base import Unit
from brevitas_a2q.hw._units.folding import Folding

__all__ = ["Fifo"]

_REGISTER_FIFO = 2  # words; a deeper one has a memory


@dataclass(frozen=True, eq=False, kw_only=True)
class Fifo(Unit):
    """First-in first-out buffer; ``depth`` in words of ``width`` bits."""

    kind: ClassVar[str] = "Fifo"
    width: int
    depth: int

    def cycles(self, folding: Folding) -> int:
        return self.pixels

    def bill(self, folding: Folding, part: Part) -> Bill:
        """Two words are registers with a multiplexer; more are a memory with two pointers and a level."""
        bill = Bill()
        if self.depth <= _REGISTER_FIFO:
            bill.circuit("register fifo", {"multiplexer.pairs": -(-self.width // 2), "control.each": 1})
            return bill
        placed = place_memory(self.depth, self.width, folding.ram_style, part, writable=True)
        # In LUTs these are memories of 64 words, of which the write pointer selects one.
        groups = -(-self.depth // 64) if placed.style == "distributed" else 1
        features = {"pointers.wrapped": wrapped_bits(self.depth), "pointers.groups": groups - 1, "control.each": 1}
        bill.circuit("fifo", features)
        bill.memory("memory", placed)
        return bill
