"""Zeros between pixels, as a transposed convolution needs them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

from brevitas_a2q._ir.datatypes import IntType
from brevitas_a2q.hw._cost.synthesis.bill import Bill
from brevitas_a2q.hw._devices.part import Part
from brevitas_a2q.hw._units.base import Unit
from brevitas_a2q.hw._units.finn import spatial_attributes
from brevitas_a2q.hw._units.finn_node import Node, Version
from brevitas_a2q.hw._units.flow import raster, repeated
from brevitas_a2q.hw._units.folding import Folding
from brevitas_a2q.hw._units.padding import padded_type, padding_bill
from brevitas_a2q.hw._units.runs import Runs

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["PixelPadding"]


@dataclass(frozen=True, eq=False, kw_only=True)
class PixelPadding(Unit):
    """Zeros between pixels; an image of n rows gets ``(n - 1) * stride + 1``."""

    kind: ClassVar[str] = "PixelPadding"
    bursts: ClassVar[bool] = True
    in_hls: ClassVar[bool] = True
    input_dim: tuple[int, int]
    stride: tuple[int, int]

    @property
    def padded_dim(self) -> tuple[int, int]:
        """(height, width) of what leaves."""
        height, width = ((i - 1) * s + 1 for i, s in zip(self.input_dim, self.stride, strict=True))
        return height, width

    @property
    def simd_limit(self) -> int:
        return self.channels

    def input_pixels(self, written: int) -> int:
        return self.input_dim[0] * self.input_dim[1]

    @property
    def input_shape(self) -> tuple[int, int]:
        return self.input_dim[0] * self.input_dim[1], self.channels

    def retyped(self, inputs: Sequence[IntType]) -> Self:
        found = super().retyped(inputs)
        return replace(found, output_type=padded_type(found.input_type))

    def cycles(self, folding: Folding) -> int:
        return self.padded_dim[0] * self.padded_dim[1] * (self.channels // folding.simd)

    def need(self, inputs: int) -> Runs:
        sides = zip(self.input_dim, self.stride, self.padded_dim, strict=True)
        rows, columns = (repeated(n, s, outputs) for n, s, outputs in sides)
        return raster(rows, columns, self.input_dim[1])

    def finn(self, vectors: list[int], version: Version) -> list[Node]:
        sizes = {"ImgDim": list(self.input_dim), "Stride": list(self.stride)}
        return [("FMPadding_Pixel", {**spatial_attributes(self), **sizes})]

    def bill(self, folding: Folding, part: Part) -> Bill:
        """Padding whose zeros between pixels two more counters find; rows are counted where there are some between."""
        (height, width), between = self.padded_dim, self.stride
        apart = sum(stride > 1 for stride in between)
        return padding_bill(self, folding, 0, height if between[0] > 1 else 1, width, *between, between=apart)
