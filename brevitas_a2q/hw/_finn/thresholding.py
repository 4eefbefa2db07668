"""Standalone thresholds, and the per-channel operator whose HLS costs are the same.

HLS: ``LUT = A * PE`` for one comparator per PE, whatever the number of thresholds, plus ``PE * A * ceil(fold / 64)`` in
LUTRAM or ``ceil(A * PE / 16) * ceil(fold / 1024)`` block RAMs, where ``fold = NumChannels / PE`` is above 1.

RTL: a binary search of B stages, B the output bits; stage x of each PE has a memory of ``fold * 2^x`` thresholds. For
each memory FINN takes the primitive of a Versal table that wastes least; only the memories are counted, and the block
RAMs are lost (looked up as "BRAM", stored as "BRAM18").

Source: FINN ``custom_op/fpgadataflow/thresholding.py``, ``hls/thresholding_hls.py``, ``rtl/thresholding_rtl.py``,
``channelwise_op.py``, ``hls/channelwise_op_hls.py`` and ``mem_primitives_versal`` in ``util/basic.py``.
"""

from __future__ import annotations

from collections.abc import Iterator

from brevitas_a2q.hw._finn.attributes import Attributes
from brevitas_a2q.hw._finn.data_types import DataType
from brevitas_a2q.hw._finn.unit import FinnUnit, ceil_div

__all__ = ["ChannelwiseHls", "ThresholdingHls", "ThresholdingRtl", "ThresholdingRtlDev"]

# Class, width, depth of the Versal memory primitives, in FINN's order: the first of equally wasteful ones is taken.
_PRIMITIVES = (
    ("URAM", 72, 4096),
    ("URAM", 36, 8192),
    ("URAM", 18, 16384),
    ("URAM", 9, 32768),
    ("BRAM18", 36, 512),
    ("BRAM18", 18, 1024),
    ("BRAM18", 9, 2048),
    ("LUTRAM", 1, 64),
)


class _PerChannel(FinnUnit):
    """One operation per channel, PE channels at a time."""

    def __init__(self, node: Attributes) -> None:
        super().__init__(node)
        self.channels = node.integer("NumChannels", minimum=1)
        self.pe = node.parallelism("PE", self.channels)
        self.inputs = node.data_type("inputDataType", real=True)
        self.output_type = node.data_type("outputDataType")
        self.output_elements = self.pe
        self.output_shape = (*node.integers("numInputVectors", (1,)), self.channels)

    def input_type(self, index: int = 0) -> DataType:
        return self.inputs

    @property
    def tmem(self) -> int:
        """Channels that share one PE."""
        return self.channels // self.pe


class ChannelwiseHls(_PerChannel):
    """``ChannelwiseOp_hls`` (main)."""

    op_types = ("ChannelwiseOp_hls",)

    def __init__(self, node: Attributes) -> None:
        super().__init__(node)
        self.ram_style = node.choice("ram_style", "distributed", ("distributed", "block"))

    @property
    def lut(self) -> int:
        comparator = self.inputs.bits * self.pe
        if self.ram_style == "distributed" and self.tmem > 1:
            return comparator * (1 + ceil_div(self.tmem, 64))
        return comparator

    @property
    def bram18(self) -> int:
        if self.ram_style != "block" or self.tmem == 1:
            return 0
        return ceil_div(self.inputs.bits * self.pe, 16) * ceil_div(self.tmem, 1024)


class _Thresholds(_PerChannel):
    def __init__(self, node: Attributes) -> None:
        super().__init__(node)
        self.steps = node.integer("numSteps", minimum=1)
        self.weights = node.data_type("weightDataType", real=True)

    @property
    def _stream_width(self) -> int:
        return self.pe * self.weights.bits * self.steps


class ThresholdingHls(_Thresholds, ChannelwiseHls):
    """``Thresholding_hls``."""

    op_types = ("Thresholding_hls",)

    def __init__(self, node: Attributes) -> None:
        super().__init__(node)
        self.mem_mode = node.choice("mem_mode", "internal_decoupled", ("internal_embedded", "internal_decoupled"))

    @property
    def weight_width(self) -> int:
        return self._stream_width if self.mem_mode == "internal_decoupled" else 0


class ThresholdingRtl(_Thresholds):
    """``Thresholding_rtl`` (main)."""

    op_types = ("Thresholding_rtl",)

    def __init__(self, node: Attributes) -> None:
        super().__init__(node)
        self.uniform = node.flag("uniform_thres")
        self.bram_from = node.integer("depth_trigger_bram", 0)
        self.uram_from = node.integer("depth_trigger_uram", 0)

    @property
    def weight_width(self) -> int:
        return self._stream_width

    def _memories(self) -> Iterator[tuple[int, int]]:
        """Width and depth of each stage's memory in one PE."""
        stages = self.output_type.bits
        for stage in range(int(self.uniform), stages):
            yield (stages - stage if self.uniform else self.weights.bits), self.tmem << stage

    def _classes(self, depth: int) -> tuple[str, ...]:
        if not (self.bram_from or self.uram_from):
            return ("URAM", "BRAM18", "LUTRAM")
        if depth >= self.uram_from:  # also where only the block RAM trigger is set: its mate is then 0
            return ("URAM",)
        return ("BRAM18",) if depth >= self.bram_from else ("URAM", "BRAM18", "LUTRAM")

    def _primitives(self, wanted: str) -> int:
        total = 0
        for width, depth in self._memories():
            allowed = self._classes(depth)
            choices = [
                (ceil_div(width, w) * ceil_div(depth, d), w * d, name) for name, w, d in _PRIMITIVES if name in allowed
            ]
            count, _, name = min(choices, key=lambda choice: choice[0] * choice[1])
            total += self.pe * count if name == wanted else 0
        return total

    @property
    def lut(self) -> int:
        return self._primitives("LUTRAM")

    @property
    def uram(self) -> int:
        return self._primitives("URAM")


class ThresholdingRtlDev(ThresholdingRtl):
    """``Thresholding_rtl`` (dev): the same numbers, but no threshold stream."""

    @property
    def weight_width(self) -> int:
        return 0
