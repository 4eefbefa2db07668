"""Streaming max pool whose windows do not overlap."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from brevitas_a2q.hw._cost.synthesis.bill import Bill
from brevitas_a2q.hw._devices.part import Part
from brevitas_a2q.hw._memory import place_memory
from brevitas_a2q.hw._units.base import Unit
from brevitas_a2q.hw._units.finn import window_node
from brevitas_a2q.hw._units.finn_node import Node, Version
from brevitas_a2q.hw._units.flow import raster
from brevitas_a2q.hw._units.folding import Folding
from brevitas_a2q.hw._units.runs import Runs

__all__ = ["MaxPool"]

_ONE_FUNCTION = 2  # bits


@dataclass(frozen=True, eq=False, kw_only=True)
class MaxPool(Unit):
    """Streaming max pool with stride equal to the kernel."""

    kind: ClassVar[str] = "MaxPool"
    in_hls: ClassVar[bool] = True
    whole_pixel: ClassVar[bool] = True
    input_dim: tuple[int, int]
    kernel: tuple[int, int]
    ceil_mode: bool = False

    @property
    def pooled_dim(self) -> tuple[int, int]:
        """(height, width) of what leaves."""
        sides = zip(self.input_dim, self.kernel, strict=True)
        height, width = (-(-i // k) if self.ceil_mode else i // k for i, k in sides)
        return height, width

    def input_pixels(self, written: int) -> int:
        return self.input_dim[0] * self.input_dim[1]

    @property
    def input_shape(self) -> tuple[int, int]:
        return self.input_dim[0] * self.input_dim[1], self.channels

    def cycles(self, folding: Folding) -> int:
        """Every pixel in; each maximum leaves with the last pixel of its window."""
        return self.input_dim[0] * self.input_dim[1]

    def need(self, inputs: int) -> Runs:
        rows, columns = (
            Runs.ramp(kernel - 1, kernel, outputs).minimum(size - 1)
            for outputs, kernel, size in zip(self.pooled_dim, self.kernel, self.input_dim, strict=True)
        )
        return raster(rows, columns, self.input_dim[1])

    def finn(self, vectors: list[int], version: Version) -> list[Node]:
        """dev has no streaming max pool, but a depthwise window and a Pool."""
        kind = self.input_type.name
        if version == "main":
            sizes = {"ImgDim": list(self.input_dim), "PoolDim": list(self.kernel), "CeilMode": int(self.ceil_mode)}
            return [("StreamingMaxPool", {"PE": 1, "NumChannels": self.channels, **sizes, "dataType": kind})]
        size = list(self.pooled_dim)
        pool = {
            "PE": 1,
            "Channels": self.channels,
            "KernelSize": list(self.kernel),
            "Function": "MaxPool",
            "OutImgDims": size,
            "InputDataType": kind,
            "OutputDataType": kind,
        }
        window = window_node(self, list(self.input_dim), size, self.kernel, self.kernel, (1, 1), True)
        return [window, ("Pool", pool)]

    def bill(self, folding: Folding, part: Part) -> Bill:
        """All channels at once: a comparator and a multiplexer per bit for columns and for rows, and a row's buffer."""
        bits, (high, wide) = self.input_type.bit_width, self.kernel
        columns = -(-self.input_dim[1] // wide)
        compared = self.channels * ((high > 1) + (wide > 1))
        bill = Bill()
        bill.counters(wide, columns, high)
        wide_bits = bits > _ONE_FUNCTION  # fewer are compared and chosen in one function
        features = {
            "maximum.carry": compared * (bits + bits / 2) if wide_bits else 0,  # to compare, and to choose
            "maximum.small": 0 if wide_bits else compared * bits,
            "control.each": 1,
        }
        bill.circuit("max pool", features)
        if high > 1:
            placed = place_memory(columns, self.channels * bits, "distributed", part, writable=True)
            bill.memory("line buffer", placed)
        return bill
