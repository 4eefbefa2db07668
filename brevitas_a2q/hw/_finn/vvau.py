"""Vector-vector-activation unit: depthwise convolution.

As the MVAU with ``K = kh * kw``, but

- cycles ``Channels * kh * kw / PE / SIMD * dim_h * dim_w`` (the batch is ignored);
- ``ram_style = auto`` costs no block RAM up to depth 128, and block RAM columns have no parity bits;
- UltraRAM only for decoupled memories of style "ultra";
- thresholds always cost LUTs, with ``tmem / 64`` not rounded up; block RAM efficiency forgets SIMD, as do HLS DSPs;
- RTL DSPs are ``PE * ceil(SIMD / 3)`` on every part.

Source: FINN ``custom_op/fpgadataflow/vectorvectoractivation.py``, ``hls/vectorvectoractivation_hls.py``,
``rtl/vectorvectoractivation_rtl.py``.
"""

from __future__ import annotations

from math import prod

from brevitas_a2q.hw._finn.attributes import Attributes
from brevitas_a2q.hw._finn.data_types import DataType
from brevitas_a2q.hw._finn.matrix import MatrixUnit
from brevitas_a2q.hw._finn.memory import WITHOUT_PARITY, bram18_count, uram_count
from brevitas_a2q.hw._finn.unit import ceil_div

__all__ = ["Vvau"]


class Vvau(MatrixUnit):
    """``VVAU_hls`` and ``VVAU_rtl``."""

    op_types = ("VVAU_hls", "VVAU_rtl")

    def __init__(self, node: Attributes) -> None:
        super().__init__(node)
        self.channels = node.integer("Channels", minimum=1)
        self.dot_product_size = prod(node.pair("Kernel"))
        self.weight_count = self.channels * self.dot_product_size
        self.pe = node.parallelism("PE", self.channels)
        self.simd = node.parallelism("SIMD", self.dot_product_size, 1)
        self.output_dim = node.pair("Dim")
        self._read_types(node)
        self.output_elements = self.pe
        self.output_shape = (1, *self.output_dim, self.channels)

    def input_elements(self, index: int = 0) -> int:
        return self.simd * self.pe

    def input_type(self, index: int = 0) -> DataType:
        return self.inputs

    @property
    def cycles(self) -> int:
        return self.wmem * prod(self.output_dim)

    @property
    def tmem(self) -> int:
        return self.channels // self.pe if self.has_thresholds else 0

    def _threshold_luts(self, accumulator_bits: int) -> float:
        if not self.has_thresholds:
            return 0
        comparators = ((1 << self.output_type.bits) - 1) * accumulator_bits
        return comparators * self.tmem / 64 + comparators

    @property
    def bram18(self) -> int:
        elsewhere = self.mem_mode == "internal_decoupled" and self.ram_style in ("distributed", "ultra")
        shallow = self.wmem <= 128 and (self.ram_style == "auto" or self.mem_mode == "internal_embedded")
        if elsewhere or shallow or self.mem_mode == "external":
            return 0
        return bram18_count(self._memory_width, self.wmem, WITHOUT_PARITY)

    @property
    def uram(self) -> int:
        decoupled = self.mem_mode == "internal_decoupled" and self.ram_style == "ultra"
        return uram_count(self._memory_width, self.wmem) if decoupled else 0

    @property
    def _stored_bits(self) -> int:
        return self.weights.bits * self.pe * self.wmem

    def dsp(self, block: str) -> int:
        if not self.is_hls:
            return self.pe * ceil_div(self.simd, 3)
        return self.pe * ceil_div(self.weights.bits + self.inputs.bits, 48) if self.res_type == "dsp" else 0
