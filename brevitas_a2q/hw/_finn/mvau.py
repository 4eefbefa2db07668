"""Matrix-vector-activation unit.

- cycles ``MH / PE * MW / SIMD * prod(numInputVectors)``; wmem ``MW * MH / (PE * SIMD)``; tmem ``MH / PE``;
- block RAM by the RAMB18 table at depth wmem and width ``PE * SIMD * W``; ``ram_style = auto`` counts as block;
- an embedded memory deeper than 128 is charged both as block RAM and as UltraRAM;
- thresholds cost LUTs only where ``ram_style_thresholds`` is "distributed", never block RAM;
- DSP: HLS ``PE * SIMD * ceil((W + A) / 48)`` with ``resType = dsp``; RTL ``PE * ceil(SIMD / 3)`` on DSP58,
  ``ceil(PE / 4) * SIMD`` else.

Source: FINN ``custom_op/fpgadataflow/matrixvectoractivation.py``, ``hls/matrixvectoractivation_hls.py``,
``rtl/matrixvectoractivation_rtl.py``.
"""

from __future__ import annotations

from math import prod

from brevitas_a2q.hw._finn.attributes import Attributes
from brevitas_a2q.hw._finn.data_types import DataType
from brevitas_a2q.hw._finn.matrix import MatrixUnit
from brevitas_a2q.hw._finn.memory import bram18_count, uram_count
from brevitas_a2q.hw._finn.unit import ceil_div

__all__ = ["Mvau"]


class Mvau(MatrixUnit):
    """``MVAU_hls`` and ``MVAU_rtl``."""

    op_types = ("MVAU_hls", "MVAU_rtl")

    def __init__(self, node: Attributes) -> None:
        super().__init__(node)
        self.dot_product_size = node.integer("MW", minimum=1)
        self.height = node.integer("MH", minimum=1)
        self.weight_count = self.dot_product_size * self.height
        self.pe = node.parallelism("PE", self.height)
        self.simd = node.parallelism("SIMD", self.dot_product_size)
        self.vectors = node.integers("numInputVectors", (1,))
        self.threshold_style = node.choice("ram_style_thresholds", "auto", ("auto", "block", "distributed"))
        self._read_types(node)
        # dev only: layers inside a rolled loop get their weights from outside.
        self.weights_outside = self.mem_mode == "external" or node.flag("mlo_max_iter")
        self.output_elements = self.pe
        self.output_shape = (*self.vectors, self.height)

    def input_elements(self, index: int = 0) -> int:
        return self.simd

    def input_type(self, index: int = 0) -> DataType:
        return self.inputs

    @property
    def cycles(self) -> int:
        return self.wmem * prod(self.vectors)

    @property
    def tmem(self) -> int:
        return self.height // self.pe if self.has_thresholds else 0

    def _threshold_luts(self, accumulator_bits: int) -> float:
        if not self.has_thresholds or self.threshold_style != "distributed":
            return 0
        return ((1 << self.output_type.bits) - 1) * accumulator_bits * (ceil_div(self.tmem, 64) + 1)

    @property
    def bram18(self) -> int:
        elsewhere = self.mem_mode == "internal_decoupled" and self.ram_style in ("distributed", "ultra")
        if elsewhere or self._embedded_in_lutram or self.weights_outside:
            return 0
        return bram18_count(self._memory_width, self.wmem)

    @property
    def uram(self) -> int:
        elsewhere = self.mem_mode == "internal_decoupled" and self.ram_style != "ultra"
        if elsewhere or self._embedded_in_lutram or self.weights_outside:
            return 0
        return uram_count(self._memory_width, self.wmem)

    def dsp(self, block: str) -> int:
        if self.is_hls:
            wide = ceil_div(self.weights.bits + self.inputs.bits, 48)
            return self.pe * self.simd * wide if self.res_type == "dsp" else 0
        return self.pe * ceil_div(self.simd, 3) if block == "DSP58" else ceil_div(self.pe, 4) * self.simd
