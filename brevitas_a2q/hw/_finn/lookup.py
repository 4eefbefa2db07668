"""Embedding table and label selection: the ends of a network.

- Lookup: one cycle per index; embedded tables take ``ceil(width / 16) * ceil(NumEmbeddings / 1024)`` block RAMs;
- LabelSelect: ``Labels / PE`` cycles; indices are rounded up to whole bytes.

Source: FINN ``custom_op/fpgadataflow/lookup.py``, ``labelselect.py``.
"""

from __future__ import annotations

from math import prod

from brevitas_a2q.errors import ConfigError
from brevitas_a2q.hw._finn.attributes import Attributes
from brevitas_a2q.hw._finn.data_types import DataType, data_type, smallest_possible, whole_bytes
from brevitas_a2q.hw._finn.memory import BRAM18_BITS
from brevitas_a2q.hw._finn.unit import FinnUnit, ceil_div

__all__ = ["LabelSelect", "Lookup"]


class Lookup(FinnUnit):
    """``Lookup_hls``."""

    op_types = ("Lookup_hls",)

    def __init__(self, node: Attributes) -> None:
        super().__init__(node)
        self.embeddings = node.integer("NumEmbeddings", minimum=1)
        size = node.integer("EmbeddingDim", minimum=1)
        self.output_type = node.data_type("EmbeddingType")
        self.inputs = node.data_type("InputType")
        self.indices = node.integers("InputShape", (1,))
        self.embedded = node.choice("mem_mode", "internal_embedded", ("internal_embedded", "external")) != "external"
        self.output_shape = (*self.indices, size)
        self.output_elements = size if self.embedded else self._external_word(node.integer("ext_mem_width", 32))

    def _external_word(self, width: int) -> int:
        if width % self.output_type.bits:
            raise ConfigError(
                f"found ext_mem_width = {width}", where=self.op_type, expected=f"a multiple of {self.output_type.bits}"
            )
        return width // self.output_type.bits

    def input_elements(self, index: int = 0) -> int:
        return 1

    def input_type(self, index: int = 0) -> DataType:
        return self.inputs

    @property
    def cycles(self) -> int:
        return prod(self.indices)

    @property
    def bram18(self) -> int:
        return ceil_div(self.output_width, 16) * ceil_div(self.embeddings, 1024) if self.embedded else 0

    @property
    def bram_efficiency(self) -> float:
        bram18 = self.bram18
        return self.output_width * self.embeddings / (bram18 * BRAM18_BITS) if bram18 else 1


class LabelSelect(FinnUnit):
    """``LabelSelect_hls``: indices of the K highest labels."""

    op_types = ("LabelSelect_hls",)

    def __init__(self, node: Attributes) -> None:
        super().__init__(node)
        self.labels = node.integer("Labels", minimum=1)
        self.pe = node.parallelism("PE", self.labels)
        self.inputs = node.data_type("inputDataType")
        given = node.values.get("outputDataType")
        self.output_type = data_type(str(given)) if given else whole_bytes(smallest_possible(self.labels - 1))
        self.output_elements = 1
        self.output_shape = (*node.integers("numInputVectors", (1,)), node.integer("K", minimum=1))

    def input_elements(self, index: int = 0) -> int:
        return self.pe

    def input_type(self, index: int = 0) -> DataType:
        return self.inputs

    @property
    def cycles(self) -> int:
        return self.labels // self.pe
