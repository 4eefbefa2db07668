"""Pools.

- Pool (behind a depthwise window): cycles ``Channels * prod(k) / PE * prod(OutImgDims) * batch``;
- StreamingMaxPool (main): 2D ``int(w * w * (1 + 1 / k^2))`` whatever the channels, all of which travel in one word;
  1D ``outputs * fold * (k + 1)``;
- GlobalAccPool: every input word, then one output word per fold.

Resources 0, as FINN prints them.

Source: FINN ``custom_op/fpgadataflow/pool.py``, ``streamingmaxpool.py``, ``globalaccpool.py``.
"""

from __future__ import annotations

from math import prod

from brevitas_a2q.hw._finn.attributes import Attributes
from brevitas_a2q.hw._finn.data_types import DataType, smallest_possible
from brevitas_a2q.hw._finn.unit import FinnUnit, ceil_div

__all__ = ["GlobalAccPool", "Pool", "StreamingMaxPool"]


class Pool(FinnUnit):
    """``Pool_hls``."""

    op_types = ("Pool_hls",)

    def __init__(self, node: Attributes) -> None:
        super().__init__(node)
        self.channels = node.integer("Channels", minimum=1)
        self.output_elements = node.parallelism("PE", self.channels)
        self.kernel = node.integers("KernelSize")
        self.inputs = node.data_type("InputDataType")
        self.output_type = node.data_type("OutputDataType")
        batch = node.integer("BatchSize", 1, minimum=1)
        self.output_shape = (batch, *node.integers("OutImgDims"), self.channels)

    def input_type(self, index: int = 0) -> DataType:
        return self.inputs

    @property
    def cycles(self) -> int:
        return super().cycles * prod(self.kernel)


class StreamingMaxPool(FinnUnit):
    """``StreamingMaxPool_hls`` (main)."""

    op_types = ("StreamingMaxPool_hls",)

    def __init__(self, node: Attributes) -> None:
        super().__init__(node)
        image, pool = node.pair("ImgDim"), node.pair("PoolDim")
        channels = node.integer("NumChannels", minimum=1)
        ceil_mode = node.flag("CeilMode")
        self.output_type = node.data_type("dataType")
        self.output_dim = tuple(ceil_div(i, k) if ceil_mode else i // k for i, k in zip(image, pool, strict=True))
        self.output_shape = (1, *self.output_dim, channels)
        self.image, self.pool = (image[::-1], pool[::-1]) if image[1] == 1 else (image, pool)
        self.is_1d = self.image[0] == self.pool[0] == 1
        self.output_elements = node.parallelism("PE", channels) if self.is_1d else channels

    @property
    def cycles(self) -> int:
        width, k = self.image[1], self.pool[1]
        if self.is_1d:
            return super().cycles * (k + 1)
        return int(width * width * (1 + 1 / (k * k)))  # floating point as in FINN: 1 / k^2 rounds for odd k


class GlobalAccPool(FinnUnit):
    """``GlobalAccPool_hls``: sums over all pixels."""

    op_types = ("GlobalAccPool_hls",)

    def __init__(self, node: Attributes) -> None:
        super().__init__(node)
        channels = node.integer("NumChannels", minimum=1)
        self.output_elements = node.parallelism("PE", channels)
        self.vectors = node.integers("numInputVectors", (1,))
        self.inputs = node.data_type("inputDataType")
        pixels = prod(self.vectors[-2:])
        self.output_type = smallest_possible(pixels * (self.inputs.lo if self.inputs.signed else self.inputs.hi))
        self.output_shape = (self.vectors[0], *(1 for _ in self.vectors[1:]), channels)
        self.fold = channels // self.output_elements

    def input_type(self, index: int = 0) -> DataType:
        return self.inputs

    @property
    def cycles(self) -> int:
        return prod(self.vectors) * self.fold + self.fold
