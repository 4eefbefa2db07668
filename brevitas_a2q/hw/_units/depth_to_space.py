"""Pixel shuffle."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from brevitas_a2q.hw._cost.synthesis.bill import Bill
from brevitas_a2q.hw._devices.part import Part
from brevitas_a2q.hw._units.base import Unit
from brevitas_a2q.hw._units.flow import raster, repeated
from brevitas_a2q.hw._units.folding import Folding
from brevitas_a2q.hw._units.runs import Runs
from brevitas_a2q.hw._units.upsample import line_bill

__all__ = ["DepthToSpace"]


@dataclass(frozen=True, eq=False, kw_only=True)
class DepthToSpace(Unit):
    """Pixel shuffle by an integer block size."""

    kind: ClassVar[str] = "DepthToSpace"
    bursts: ClassVar[bool] = True
    whole_pixel: ClassVar[bool] = True
    input_dim: tuple[int, int]
    block_size: int

    @property
    def input_channels(self) -> int:
        """Channels of the image that it reads."""
        return self.channels * self.block_size**2

    def input_elements(self, folding: Folding, port: int = 0) -> int:
        return self.input_channels

    def input_pixels(self, written: int) -> int:
        return self.input_dim[0] * self.input_dim[1]

    @property
    def input_shape(self) -> tuple[int, int]:
        return self.input_dim[0] * self.input_dim[1], self.input_channels

    def need(self, inputs: int) -> Runs:
        block = self.block_size
        rows, columns = (repeated(n, block, n * block) for n in self.input_dim)
        return raster(rows, columns, self.input_dim[1])

    def bill(self, folding: Folding, part: Part) -> Bill:
        """A buffer of one input row, read once per output row of its block."""
        block, bits = self.block_size, self.input_channels * self.input_type.bit_width
        return line_bill(self.input_dim[1], bits, (block, block), bits // block**2, part)
