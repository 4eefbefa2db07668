"""Nearest-neighbour upsampling."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from brevitas_a2q.errors import ConfigError
from brevitas_a2q.hw._cost.synthesis.bill import Bill
from brevitas_a2q.hw._devices.part import Part
from brevitas_a2q.hw._memory import place_memory
from brevitas_a2q.hw._units.base import Unit
from brevitas_a2q.hw._units.finn_node import REMEDY, Node, Version
from brevitas_a2q.hw._units.flow import raster, repeated
from brevitas_a2q.hw._units.folding import Folding
from brevitas_a2q.hw._units.runs import Runs

__all__ = ["Upsample", "line_bill"]


@dataclass(frozen=True, eq=False, kw_only=True)
class Upsample(Unit):
    """Nearest-neighbour upsampling by an integer factor."""

    kind: ClassVar[str] = "Upsample"
    bursts: ClassVar[bool] = True
    in_hls: ClassVar[bool] = True
    whole_pixel: ClassVar[bool] = True
    input_dim: tuple[int, int]
    scale: tuple[int, int]

    def input_pixels(self, written: int) -> int:
        return self.input_dim[0] * self.input_dim[1]

    @property
    def input_shape(self) -> tuple[int, int]:
        return self.input_dim[0] * self.input_dim[1], self.channels

    @property
    def output_dim(self) -> tuple[int, int]:
        """(height, width) of what leaves."""
        return self.input_dim[0] * self.scale[0], self.input_dim[1] * self.scale[1]

    def need(self, inputs: int) -> Runs:
        rows, columns = (repeated(n, s, n * s) for n, s in zip(self.input_dim, self.scale, strict=True))
        return raster(rows, columns, self.input_dim[1])

    def finn(self, vectors: list[int], version: Version) -> list[Node]:
        (height, width), (high, wide) = self.input_dim, vectors[1:]
        found: dict[str, Any] = {"NumChannels": self.channels, "inputDataType": self.input_type.name}
        if version == "dev":
            sizes = {"HI": height, "WI": width, "HO": high, "WO": wide, "SIMD": self.channels}
            return [("UpsampleNearestNeighbour", {**found, **sizes})]
        is_line = width == wide == 1
        if high != wide and not is_line:
            raise ConfigError(
                f"found an image of {high} x {wide}",
                where=self.name,
                expected="a square one, as FINN main",
                remedy=REMEDY,
            )
        sizes = {"OFMDim": high, "IFMDim": height, "DimMode": int(is_line)}
        return [("UpsampleNearestNeighbour", {**found, **sizes})]

    def bill(self, folding: Folding, part: Part) -> Bill:
        """A line buffer that is read ``scale`` times, all channels wide."""
        bits = self.channels * self.input_type.bit_width
        return line_bill(self.input_dim[1], bits, self.scale, bits, part)


def line_bill(words: int, bits: int, repeats: tuple[int, int], out: int, part: Part) -> Bill:
    """A buffer of one row of ``words`` pixels of ``bits`` bits, read ``repeats`` times along both axes.

    Args:
        words: Pixels of a row.
        bits: Of a pixel that is read.
        repeats: Rows and columns that a pixel becomes.
        out: Bits of a pixel that is written; fewer where every copy takes its own part.
        part: What the FPGA has.
    """
    bill = Bill()
    bill.counters(words, *repeats)
    several = repeats[0] > 1
    features = {
        "line.pairs": -(-bits // 2) if several else 0,
        "choice.bits": bits - out,
        "control.each": 1,
    }
    bill.circuit("line reader", features)
    if several:
        bill.memory("line buffer", place_memory(words, bits, "distributed", part, writable=True))
    return bill
