"""What MVAU and VVAU share: the LUT formula of the FINN-R paper and the weight memory.

``LUT = int(300 + 1.1 * PE * (mult + tree + acc + thr + comp) + weights)`` with, for W weight and A input bits:

- ``mult = SIMD * (2 * ceil((W + A) / 6) - 1) * (W + A)``, or 0 with ``resType = dsp``;
- ``tree = (W + A) * (2 * SIMD - 1)``;
- ``acc = min(bits(accDataType), data-type bound)``: FINN silently caps the accumulator (A2Q's bound from data types);
- ``thr``, ``comp``: thresholds and comparators, where the unit charges them at all;
- ``weights = PE * SIMD * W * ceil(wmem / 64)`` in LUTRAM.

Source: FINN ``custom_op/fpgadataflow/hls/matrixvectoractivation_hls.py`` and ``hls/vectorvectoractivation_hls.py``,
after FINN-R (Blott et al., 2018).
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

from brevitas_a2q.hw._finn.attributes import Attributes
from brevitas_a2q.hw._finn.memory import BRAM18_BITS, URAM_BITS
from brevitas_a2q.hw._finn.unit import FinnUnit, ceil_div

__all__ = ["MatrixUnit"]

_EMBEDDED_LUTRAM_DEPTH = 128  # FINN: memories up to this deep inside an HLS unit become LUTs


def finn_data_type_bound(dot_product_size: int, weight_bits: int, input_bits: int, input_signed: bool) -> int:
    """The A2Q data-type bound in FINN's floating point.

    :func:`brevitas_a2q.bounds.data_type_bound` is exact and equal but where K is one less than a power of two and
    both types are BIPOLAR: there a rounded logarithm can cost FINN one bit (K = 31 gives 7 instead of 6).
    """
    alpha = math.log(dot_product_size, 2) + weight_bits + input_bits - 1 - int(input_signed)
    return math.ceil(alpha + math.log(1 + pow(2, -alpha), 2) + 1)


class MatrixUnit(FinnUnit, ABC):
    """Base of the four matrix units; subclasses set the sizes before calling :meth:`_read_types`."""

    pe: int
    simd: int
    dot_product_size: int  # K
    weight_count: int

    def _read_types(self, node: Attributes) -> None:
        self.inputs = node.data_type("inputDataType")
        self.weights = node.data_type("weightDataType")
        self.output_type = node.data_type("outputDataType")
        self.accumulator = node.data_type("accDataType", "INT32")
        self.has_thresholds = not node.flag("noActivation")
        self.mem_mode = node.choice(
            "mem_mode", "internal_decoupled", ("internal_embedded", "internal_decoupled", "external")
        )
        self.ram_style = node.choice("ram_style", "auto", ("auto", "block", "distributed", "ultra"))
        self.res_type = node.choice("resType", "auto", ("auto", "lut", "dsp"))
        self.is_hls = node.op_type.endswith("_hls")

    @property
    def wmem(self) -> int:
        """Words of weight memory per PE."""
        return self.weight_count // (self.pe * self.simd)

    @property
    def weight_width(self) -> int:
        return 0 if self.mem_mode == "internal_embedded" else self._memory_width

    @property
    def _memory_width(self) -> int:
        return self.pe * self.simd * self.weights.bits

    @property
    def _embedded_in_lutram(self) -> bool:
        return self.mem_mode == "internal_embedded" and self.wmem <= _EMBEDDED_LUTRAM_DEPTH

    @property
    def _accumulator_bits(self) -> int:
        bound = finn_data_type_bound(self.dot_product_size, self.weights.bits, self.inputs.bits, self.inputs.signed)
        return min(self.accumulator.bits, bound)

    @abstractmethod
    def _threshold_luts(self, accumulator_bits: int) -> float:
        """LUTs of threshold memory and comparators in one PE."""

    @property
    def lut(self) -> int:
        if not self.is_hls:
            return 0  # FINN has no LUT model of its RTL units
        product = self.weights.bits + self.inputs.bits
        multipliers = 0 if self.res_type == "dsp" else self.simd * (2 * ceil_div(product, 6) - 1) * product
        tree = product * (2 * self.simd - 1)
        accumulator = self._accumulator_bits
        core = multipliers + tree + accumulator + self._threshold_luts(accumulator)
        memory = 0
        if self._embedded_in_lutram or (self.mem_mode == "internal_decoupled" and self.ram_style == "distributed"):
            memory = self._memory_width * ceil_div(self.wmem, 64)
        return int(300 + 1.1 * (self.pe * core) + memory)  # floating point in FINN's order: int() cuts its rounding

    @property
    def bram_efficiency(self) -> float:
        bram18 = self.bram18
        return self._stored_bits / (bram18 * BRAM18_BITS) if bram18 else 1

    @property
    def uram_efficiency(self) -> float:
        uram = self.uram
        return self.weights.bits * self.weight_count / (uram * URAM_BITS) if uram else 1

    @property
    def _stored_bits(self) -> int:
        return self.weights.bits * self.weight_count
