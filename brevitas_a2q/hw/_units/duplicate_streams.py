"""Copies of one stream."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from brevitas_a2q.hw._cost.synthesis.bill import Bill
from brevitas_a2q.hw._devices.part import Part
from brevitas_a2q.hw._units.base import Unit
from brevitas_a2q.hw._units.finn import stream_attributes
from brevitas_a2q.hw._units.finn_node import Node, Version
from brevitas_a2q.hw._units.folding import Folding

__all__ = ["DuplicateStreams"]


@dataclass(frozen=True, eq=False, kw_only=True)
class DuplicateStreams(Unit):
    """Copies one stream to ``copies`` readers."""

    kind: ClassVar[str] = "DuplicateStreams"
    in_hls: ClassVar[bool] = True
    copies: int

    @property
    def pe_limit(self) -> int:
        return self.channels

    def latency(self, folding: Folding) -> int:
        return 0

    def finn(self, vectors: list[int], version: Version) -> list[Node]:
        return [("DuplicateStreams", {**stream_attributes(self, vectors), "NumOutputStreams": self.copies})]

    def bill(self, folding: Folding, part: Part) -> Bill:
        """One flag per copy that says whether its reader has taken the word.

        Of two copies all is known: a LUT for both flags, one for both words that are offered, one for the word taken.
        """
        bill = Bill()
        if self.copies == 2:
            bill.exact("handshake", 3)
        else:
            bill.circuit("duplicate streams", {"handshake.copies": self.copies})
        return bill
