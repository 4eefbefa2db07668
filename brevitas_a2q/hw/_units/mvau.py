"""Matrix-vector-activation unit."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import ClassVar

from brevitas_a2q.errors import ConfigError, FoldingError
from brevitas_a2q.hw._cost.synthesis.bill import Bill
from brevitas_a2q.hw._devices.part import Part
from brevitas_a2q.hw._memory import place_memory
from brevitas_a2q.hw._units.finn_node import REMEDY, Node
from brevitas_a2q.hw._units.flow import Flow
from brevitas_a2q.hw._units.folding import Folding
from brevitas_a2q.hw._units.matrix import MatrixUnit
from brevitas_a2q.hw._units.runs import Runs

__all__ = ["Mvau"]

_REPLAY = 2  # cycles from a word's arrival to its first multiplication
_MOST_HLS_WORDS = 1024


@dataclass(frozen=True, eq=False, kw_only=True)
class Mvau(MatrixUnit):
    """Matrix-vector-activation unit: dense layer, or convolution behind a :class:`SlidingWindow`."""

    kind: ClassVar[str] = "MVAU"
    groups: int = 1  # grouped convolutions other than depthwise; a word holds one group's inputs or outputs

    @property
    def matrix_width(self) -> int:
        """MW = K, products per output."""
        return self.products

    @property
    def matrix_height(self) -> int:
        """MH, outputs."""
        return self.outputs

    @property
    def pe_limit(self) -> int:
        return self.matrix_height // self.groups

    @property
    def simd_limit(self) -> int:
        return self.matrix_width

    def check(self, folding: Folding) -> None:
        super().check(folding)
        if folding.compute == "unrolled" and self.groups > 1:
            expected = "lut or dsp, for a grouped convolution"
            raise FoldingError("found multipliers unrolled", where=f"{self.kind} {self.name}", expected=expected)

    def foldings(self, part: Part, unrolled: bool = False) -> Iterator[Folding]:
        yield from super().foldings(part, unrolled and self.groups == 1)

    def input_elements(self, folding: Folding, port: int = 0) -> int:
        return folding.simd

    @property
    def input_shape(self) -> tuple[int, int]:
        return self.pixels, self.matrix_width

    def flow(self, folding: Folding, cycles: int, inputs: int) -> Flow:
        """The first outputs of a vector are complete with its last word, the others take the rest of the interval.

        A second buffer takes the next vector from when the one before this has been used up. With groups a vector is a
        part of a pixel: a pixel is taken little by little, the last of it two parts before the unit is done with it.
        """
        interval, vector = cycles / self.pixels, max(inputs // self.pixels, 1)  # in pixels of the input
        words, part = self.matrix_width / folding.simd, interval / self.groups
        tail, span = max(0.0, part - words), max(0.0, interval - words)
        paces = Runs.constant(interval, self.pixels)
        found = Flow(inputs, self.need(inputs), paces, (interval - tail) / vector, tail, span)
        if folding.pe == self.pe_limit or self.constant(folding):
            return found
        if self.groups > 1:
            return replace(found, taking=interval - tail, ahead=part - _REPLAY)
        return replace(found, ahead=-float(_REPLAY), spare=vector)

    def latency(self, folding: Folding) -> int:
        """Two cycles more where a buffer sends each vector several times."""
        replayed = folding.pe < self.pe_limit and not self.constant(folding)
        return super().latency(folding) + _REPLAY * replayed

    def in_hls_legal(self, folding: Folding) -> bool:
        """FINN's HLS unit reads a vector in at most 1024 words (``MVAU_hls.defines``)."""
        return super().in_hls_legal(folding) and folding.simd * _MOST_HLS_WORDS >= self.matrix_width

    def finn_shape(self, vectors: list[int]) -> Node:
        if self.groups > 1:
            raise ConfigError(
                f"found {self.groups} groups",
                where=self.name,
                expected="one group or one per channel, as in FINN",
                remedy=REMEDY,
            )
        sizes = {"MW": self.matrix_width, "MH": self.matrix_height}
        return "MVAU", {**sizes, "numInputVectors": vectors, "ram_style_thresholds": "auto"}

    def bill(self, folding: Folding, part: Part) -> Bill:
        bill = super().bill(folding, part)
        if not self.constant(folding) and folding.pe < self.matrix_height:
            # Every input vector is read once and used for each group of PE outputs, while the next one comes in.
            synapses, width = self.matrix_width // folding.simd, folding.simd * self.input_type.bit_width
            bill.counters(synapses, self.matrix_height // folding.pe)
            features = {"replay.place": (2 * synapses - 1).bit_length(), "replay.count": (2 * synapses).bit_length()}
            bill.circuit("replay", {**features, "replay.each": 1})
            bill.memory("input buffer", place_memory(2 * synapses, width, "auto", part, writable=True))
        return bill
