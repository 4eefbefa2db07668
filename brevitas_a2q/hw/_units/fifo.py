"""First-in first-out buffer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from brevitas_a2q.hw._cost.synthesis.bill import Bill
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
        in_luts = placed.style == "distributed"
        words = self.depth if in_luts else max(3, self.depth - 1)  # a block RAM has a register behind it
        # In LUTs these are memories of 64 words, of which the write pointer selects one.
        groups = -(-words // 64) if in_luts else 1
        bill.counters(words, words)
        features = {"level.bits": words.bit_length(), "level.groups": groups - 1, "control.each": 1}
        bill.circuit("fifo", features)
        bill.memory("memory", placed)
        return bill
