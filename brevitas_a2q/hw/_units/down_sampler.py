"""A subsampler: the window of a strided 1x1 convolution."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from brevitas_a2q.errors import ConfigError
from brevitas_a2q.hw._cost.synthesis.bill import Bill
from brevitas_a2q.hw._devices.part import Part
from brevitas_a2q.hw._units.base import Unit
from brevitas_a2q.hw._units.finn import spatial_attributes, window_node
from brevitas_a2q.hw._units.finn_node import REMEDY, Node, Version
from brevitas_a2q.hw._units.flow import raster
from brevitas_a2q.hw._units.folding import Folding
from brevitas_a2q.hw._units.runs import Runs

__all__ = ["DownSampler"]


@dataclass(frozen=True, eq=False, kw_only=True)
class DownSampler(Unit):
    """Keeps every ``stride``-th pixel (a strided 1x1 convolution's window)."""

    kind: ClassVar[str] = "DownSampler"
    bursts: ClassVar[bool] = True
    in_hls: ClassVar[bool] = True
    input_dim: tuple[int, int]
    stride: tuple[int, int]

    @property
    def simd_limit(self) -> int:
        return self.channels

    def input_pixels(self, written: int) -> int:
        return self.input_dim[0] * self.input_dim[1]

    @property
    def input_shape(self) -> tuple[int, int]:
        return self.input_dim[0] * self.input_dim[1], self.channels

    @property
    def sampled_dim(self) -> tuple[int, int]:
        """(height, width) of what leaves."""
        height, width = (-(-i // s) for i, s in zip(self.input_dim, self.stride, strict=True))
        return height, width

    def cycles(self, folding: Folding) -> int:
        return self.input_dim[0] * self.input_dim[1] * (self.channels // folding.simd)

    def need(self, inputs: int) -> Runs:
        rows, columns = (Runs.ramp(0, s, n) for s, n in zip(self.stride, self.sampled_dim, strict=True))
        return raster(rows, columns, self.input_dim[1])

    def finn(self, vectors: list[int], version: Version) -> list[Node]:
        """dev has a window of one pixel instead."""
        if version == "dev":
            return [window_node(self, list(self.input_dim), vectors[1:], (1, 1), self.stride, (1, 1), False)]
        (height, width), is_line = self.input_dim, 1 in self.input_dim
        if not is_line and (height != width or self.stride[0] != self.stride[1]):
            raise ConfigError(
                f"found an image of {height} x {width}, stride {self.stride}",
                where=self.name,
                expected="a square image and stride, as FINN main",
                remedy=REMEDY,
            )
        sizes = {"ImgDim": max(height, width), "Stride": max(self.stride), "is1D": int(is_line)}
        return [("DownSampler", {**spatial_attributes(self), **sizes, "is1D_unitx": int(width == 1)})]

    def bill(self, folding: Folding, part: Part) -> Bill:
        """Counters that let every stride-th pixel through."""
        bill = Bill()
        bill.counters(*self.input_dim, *self.stride, self.channels // folding.simd)
        bill.circuit("down sampler", {"control.each": 1})
        return bill
