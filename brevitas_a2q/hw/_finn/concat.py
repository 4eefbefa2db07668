"""Channel concatenation.

On main all channels travel in one word; dev folds them by SIMD. Cycles are the output words; resources 0.

Source: FINN ``custom_op/fpgadataflow/concat.py`` of either branch.
"""

from __future__ import annotations

from brevitas_a2q.hw._finn.attributes import Attributes
from brevitas_a2q.hw._finn.data_types import DataType, data_type
from brevitas_a2q.hw._finn.unit import FinnUnit

__all__ = ["ConcatDev", "ConcatMain"]


class ConcatMain(FinnUnit):
    """``StreamingConcat_hls`` (main)."""

    op_types = ("StreamingConcat_hls",)

    def __init__(self, node: Attributes) -> None:
        super().__init__(node)
        self.streams = node.integers("ElemsPerStream")
        self.output_elements = sum(self.streams)
        self.output_type = node.data_type("inputDataType")
        self.output_shape = (*node.integers("numInputVectors", (1,)), self.output_elements)

    def input_elements(self, index: int = 0) -> int:
        return self.streams[index]


class ConcatDev(FinnUnit):
    """``StreamingConcat_hls`` (dev)."""

    op_types = ("StreamingConcat_hls",)

    def __init__(self, node: Attributes) -> None:
        super().__init__(node)
        self.streams = node.integers("ChannelsPerStream")
        self.output_elements = min(node.parallelism("SIMD", channels) for channels in self.streams)
        self.inputs = tuple(data_type(str(name)) for name in node.values.get("inputDataTypes", ()))
        self.output_type = self._common_type()
        self.output_shape = (*node.integers("numInputVectors", (1,)), sum(self.streams))

    def _common_type(self) -> DataType:
        """A plain UINT or INT that holds every input."""
        lo, hi = min(0, *(t.lo for t in self.inputs)), max(0, *(t.hi for t in self.inputs))
        if lo >= 0:
            return data_type(f"UINT{hi.bit_length()}")
        return data_type(f"INT{max(-lo - 1, hi).bit_length() + 1}")

    def input_type(self, index: int = 0) -> DataType:
        return self.inputs[index]
