"""Units that change an image's size: padding, upsampling, downsampling.

- FMPadding, FMPadding_Pixel: one output word per cycle, ``NumChannels / SIMD`` words a pixel;
- UpsampleNearestNeighbour: on main ``OFMDim^2`` cycles whatever the channels (all in one word), on dev output words;
- DownSampler (main): every input word.

Resources 0, as FINN prints them.

Source: FINN ``custom_op/fpgadataflow/fmpadding.py``, ``fmpadding_pixel.py``, ``upsampler.py``, ``downsampler.py``.
"""

from __future__ import annotations

from brevitas_a2q.errors import ConfigError
from brevitas_a2q.hw._finn.attributes import Attributes
from brevitas_a2q.hw._finn.unit import FinnUnit

__all__ = ["DownSampler", "Padding", "PaddingHls", "PixelPadding", "UpsampleDev", "UpsampleMain"]


class _Spatial(FinnUnit):
    def __init__(self, node: Attributes) -> None:
        super().__init__(node)
        self.channels = node.integer("NumChannels", minimum=1)
        self.output_elements = node.parallelism("SIMD", self.channels, 1)
        self.output_type = node.data_type("inputDataType")

    def _needs_zero(self) -> None:
        if not self.output_type.holds(0):
            raise ConfigError(
                f"found {self.output_type.name} inputs", where=self.op_type, expected="a type with a zero to pad with"
            )


class Padding(_Spatial):
    """``FMPadding_rtl``; ``Padding`` is (top, left, bottom, right)."""

    op_types = ("FMPadding_rtl",)

    def __init__(self, node: Attributes) -> None:
        super().__init__(node)
        self._needs_zero()
        height, width = node.pair("ImgDim")
        top, left, bottom, right = node.integers("Padding", (1, 1, 1, 1), length=4)
        batch = node.integer("numInputVectors", 1, minimum=1)
        self.output_shape = (batch, height + top + bottom, width + left + right, self.channels)


class PaddingHls(Padding):
    """``FMPadding_hls`` (main)."""

    op_types = ("FMPadding_hls",)


class PixelPadding(_Spatial):
    """``FMPadding_Pixel_hls``: ``Stride - 1`` zeros between pixels."""

    op_types = ("FMPadding_Pixel_hls",)

    def __init__(self, node: Attributes) -> None:
        super().__init__(node)
        self._needs_zero()
        dims = zip(node.pair("ImgDim"), node.pair("Stride"), strict=True)
        batch = node.integer("numInputVectors", 1, minimum=1)
        self.output_shape = (batch, *((size - 1) * stride + 1 for size, stride in dims), self.channels)


class DownSampler(_Spatial):
    """``DownSampler_hls`` (main)."""

    op_types = ("DownSampler_hls",)

    def __init__(self, node: Attributes) -> None:
        super().__init__(node)
        size, stride = node.integer("ImgDim", minimum=1), node.integer("Stride", minimum=1)
        batch = node.integer("numInputVectors", 1, minimum=1)
        output = (size - 1) // stride + 1
        if node.flag("is1D"):
            self.output_shape = (batch, output, 1, self.channels)
            self.input_pixels = batch * size
        else:
            self.output_shape = (batch, output, output, self.channels)
            self.input_pixels = batch * size * size

    @property
    def cycles(self) -> int:
        return self.channels // self.output_elements * self.input_pixels


class UpsampleMain(FinnUnit):
    """``UpsampleNearestNeighbour_hls`` (main)."""

    op_types = ("UpsampleNearestNeighbour_hls",)

    def __init__(self, node: Attributes) -> None:
        super().__init__(node)
        size = node.integer("OFMDim", minimum=1)
        batch = node.integer("numInputVectors", 1, minimum=1)
        self.is_2d = node.integer("DimMode", 0) == 0
        self.output_elements = node.integer("NumChannels", minimum=1)
        self.output_type = node.data_type("inputDataType")
        self.output_shape = (batch, size, size if self.is_2d else 1, self.output_elements)

    @property
    def cycles(self) -> int:
        return super().cycles if self.is_2d else self.output_shape[1]  # FINN forgets the batch in one dimension


class UpsampleDev(_Spatial):
    """``UpsampleNearestNeighbour_hls`` (dev)."""

    op_types = ("UpsampleNearestNeighbour_hls",)

    def __init__(self, node: Attributes) -> None:
        super().__init__(node)
        size = (node.integer("HO", minimum=1), node.integer("WO", minimum=1))
        self.output_shape = (node.integer("batchSize", 1, minimum=1), *size, self.channels)
