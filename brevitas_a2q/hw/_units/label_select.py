"""Indices of the highest labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from brevitas_a2q._ir.datatypes import IntType
from brevitas_a2q.hw._cost.synthesis.bill import Bill
from brevitas_a2q.hw._devices.part import Part
from brevitas_a2q.hw._units.base import Unit, covering
from brevitas_a2q.hw._units.finn_node import Node, Version
from brevitas_a2q.hw._units.folding import Folding

__all__ = ["LabelSelect"]


@dataclass(frozen=True, eq=False, kw_only=True)
class LabelSelect(Unit):
    """Indices of the ``k`` highest labels."""

    kind: ClassVar[str] = "LabelSelect"
    in_hls: ClassVar[bool] = True
    labels: int
    k: int = 1

    @property
    def pe_limit(self) -> int:
        return self.labels

    def input_elements(self, folding: Folding, port: int = 0) -> int:
        return folding.pe

    def output_elements(self, folding: Folding) -> int:
        return 1

    @property
    def elements_per_pixel(self) -> int:
        return self.k

    @property
    def input_shape(self) -> tuple[int, int]:
        return 1, self.labels

    def retyped(self, inputs: Sequence[IntType]) -> LabelSelect:
        return replace(self, input_type=covering(inputs))  # what leaves are indices

    def cycles(self, folding: Folding) -> int:
        return self.labels // folding.pe

    def finn(self, vectors: list[int], version: Version) -> list[Node]:
        kind = self.input_type.name
        sizes = {"PE": 1, "Labels": self.labels, "K": self.k}
        return [("LabelSelect", {**sizes, "inputDataType": kind, "numInputVectors": vectors})]

    def bill(self, folding: Folding, part: Part) -> Bill:
        """A sorted list of the ``k`` highest; each of PE new labels is compared with all of them in one cycle."""
        stages, index = folding.pe * self.k, max(1, (self.labels - 1).bit_length())
        bill = Bill()
        bill.counters(self.labels // folding.pe)
        features = {
            "maximum.bits": stages * self.input_type.bit_width,
            "maximum.index": stages * index,
            "list.index": (self.k - 1) * index,
            "control.each": 1,
        }
        bill.circuit("label select", features)
        return bill
