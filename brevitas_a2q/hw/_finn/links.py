"""What connects units: FIFOs and data width converters.

FIFO: ``D`` is the depth, for ``impl_style = vivado`` rounded up to a power of two;
``LUT = 2 * ceil(log2 D) + ceil(D / 32) * ceil(W / 2)`` in LUTRAM (RTL, or vivado with "distributed"); vivado with
"block" takes the RAMB18 table, "ultra" UltraRAMs, "auto" no memory at all. On dev a comparison always fails, so every
FIFO is charged block RAM and UltraRAM at once, and no LUTRAM.

Width converter: with ``l = lcm(in, out)``,
``LUT = [in != l] * (floor(log2(l / in)) + l) + [out != l] * (ceil(log2(l / out)) + out)``; FINN gives it 0 cycles.

Source: FINN ``custom_op/fpgadataflow/streamingfifo.py``, ``rtl/streamingfifo_rtl.py``,
``streamingdatawidthconverter.py``.
"""

from __future__ import annotations

from math import lcm

from brevitas_a2q.hw._finn.attributes import Attributes
from brevitas_a2q.hw._finn.memory import BRAM18_BITS, bram18_count, uram_count
from brevitas_a2q.hw._finn.unit import FinnUnit, ceil_div

__all__ = ["FifoDev", "FifoMain", "WidthConverter"]


class FifoMain(FinnUnit):
    """``StreamingFIFO_rtl`` (main)."""

    op_types = ("StreamingFIFO_rtl",)

    def __init__(self, node: Attributes) -> None:
        super().__init__(node)
        depth = node.integer("depth", minimum=1)
        self.output_elements = node.integers("folded_shape")[-1]
        self.output_type = node.data_type("dataType")
        self.output_shape = node.integers("normal_shape")
        self.is_rtl = node.choice("impl_style", "rtl", ("rtl", "vivado")) == "rtl"
        self.ram_style = node.choice("ram_style", "auto", ("auto", "block", "distributed", "ultra"))
        self.depth = depth if self.is_rtl else 1 << (depth - 1).bit_length()

    @property
    def cycles(self) -> int:
        return 0

    @property
    def _in_lutram(self) -> bool:
        return self.is_rtl or self.ram_style == "distributed"

    @property
    def _in_bram(self) -> bool:
        return not self.is_rtl and self.ram_style == "block"

    @property
    def _in_uram(self) -> bool:
        return not self.is_rtl and self.ram_style == "ultra"

    @property
    def lut(self) -> int:
        memory = ceil_div(self.depth, 32) * ceil_div(self.output_width, 2) if self._in_lutram else 0
        return 2 * (self.depth - 1).bit_length() + memory

    @property
    def bram18(self) -> int:
        return bram18_count(self.output_width, self.depth) if self._in_bram else 0

    @property
    def bram_efficiency(self) -> float:
        bram18 = self.bram18
        return self.output_width * self.depth / (bram18 * BRAM18_BITS) if bram18 else 1

    @property
    def uram(self) -> int:
        return uram_count(self.output_width, self.depth) if self._in_uram else 0


class FifoDev(FifoMain):
    """``StreamingFIFO_rtl`` (dev), whose style comparisons never hold."""

    _in_lutram = property(lambda self: False)
    _in_bram = property(lambda self: True)
    _in_uram = property(lambda self: True)


class WidthConverter(FinnUnit):
    """``StreamingDataWidthConverter_rtl`` and ``_hls``."""

    op_types = ("StreamingDataWidthConverter_rtl", "StreamingDataWidthConverter_hls")

    def __init__(self, node: Attributes) -> None:
        super().__init__(node)
        self.widths = (node.integer("inWidth", minimum=1), node.integer("outWidth", minimum=1))
        self.output_type = node.data_type("dataType")
        self.output_elements = self.widths[1] // self.output_type.bits
        self.output_shape = node.integers("shape", (self.output_elements,))

    def input_width(self, index: int = 0) -> int:
        return self.widths[0]

    def input_elements(self, index: int = 0) -> int:
        return self.widths[0] // self.output_type.bits

    @property
    def output_width(self) -> int:
        return self.widths[1]

    @property
    def cycles(self) -> int:
        return 0

    @property
    def lut(self) -> int:
        into, out = self.widths
        common = lcm(into, out)
        total = 0
        if into != common:
            total += (common // into).bit_length() - 1 + common
        if out != common:
            total += (common // out - 1).bit_length() + out
        return total
