"""Sliding window (convolution input generator), RTL.

``cf = IFMChannels / SIMD``. The unit is built "parallel" with ``parallel_window`` or a 1x1 kernel, else "default".

- buffer depth, default: ``((kh - 1) * dh * w + (kw - 1) * dw + 1) * cf`` plus what the stride reads ahead;
  parallel: ``((kh - 1) * dh * w + (kw - 1) * dw) * cf + 2``;
- ``LUT = 300 + SIMD * A * ceil(depth / 38)`` in LUTRAM, 300 else, even for a 1x1 kernel that passes pixels through;
- block RAM: one buffer, or ``kh - 1`` line buffers where parallel; the last of a cascade may be wider;
- UltraRAM: ``ceil(depth / 4096) * ceil(SIMD * A / 72)`` per buffer;
- cycles: see :attr:`WindowRtl.cycles`.

Source: FINN ``custom_op/fpgadataflow/convolutioninputgenerator.py``, ``rtl/convolutioninputgenerator_rtl.py``.
"""

from __future__ import annotations

from brevitas_a2q.errors import ConfigError, FoldingError
from brevitas_a2q.hw._finn.attributes import Attributes
from brevitas_a2q.hw._finn.data_types import DataType
from brevitas_a2q.hw._finn.memory import uram_count
from brevitas_a2q.hw._finn.unit import FinnUnit, ceil_div

__all__ = ["Window", "WindowRtl", "ram_width"]

_RAM_DEPTH = 16384


def ram_width(depth: int) -> int:
    """Widest RAMB18 column of this depth, as FINN's window units assume: 36 bits up to 512 words, 1 bit above 8192."""
    for limit, width in ((512, 36), (1024, 18), (2048, 9), (4096, 4), (8192, 2)):
        if depth <= limit:
            return width
    return 1


class Window(FinnUnit):
    """What the RTL and HLS generators share."""

    def __init__(self, node: Attributes) -> None:
        super().__init__(node)
        self.channels = node.integer("IFMChannels", minimum=1)
        self.simd = node.parallelism("SIMD", self.channels)
        self.kernel = node.pair("ConvKernelDim")
        self.image = node.pair("IFMDim")
        self.output_dim = node.pair("OFMDim")
        self.stride = node.pair("Stride", (1, 1))
        self.dilation = node.pair("Dilation", (1, 1))
        self.inputs = node.data_type("inputDataType")
        self.output_type = node.data_type("outputDataType", self.inputs.name)
        self.depthwise = node.flag("depthwise")
        self.ram_style = node.choice("ram_style", "distributed", ("auto", "block", "distributed", "ultra"))
        self.wants_parallel_window = node.flag("parallel_window")
        self.fold = self.channels // self.simd
        self.width = self.simd * self.inputs.bits
        # FINN recomputes the output size here and ignores OFMDim.
        extent = [(k - 1) * d + 1 for k, d in zip(self.kernel, self.dilation, strict=True)]
        self.output_shape = (
            1,
            *((i - e) // s + 1 for i, e, s in zip(self.image, extent, self.stride, strict=True)),
            self.kernel[0] * self.kernel[1] * self.channels,
        )

    def input_elements(self, index: int = 0) -> int:
        return self.simd

    def input_type(self, index: int = 0) -> DataType:
        return self.inputs

    @property
    def output_width(self) -> int:
        return self.output_elements * self.inputs.bits

    @property
    def _is_1d(self) -> bool:
        return 1 in self.image

    def _along_width(self, values: tuple[int, int]) -> tuple[int, int]:
        """FINN transposes (D, 1) images to (1, D)."""
        return values[::-1] if self.image[1] == 1 else values


class WindowRtl(Window):
    """``ConvolutionInputGenerator_rtl``."""

    op_types = ("ConvolutionInputGenerator_rtl",)

    def __init__(self, node: Attributes) -> None:
        super().__init__(node)
        self._check(node.op_type)
        pixels = self.kernel[0] * self.kernel[1]
        # M, pixels made per cycle, only widens the buffer's class, as FINN writes it.
        self.parallel = pixels == 1 or (self.wants_parallel_window and node.integer("M", 1) * pixels > 1)
        self.output_elements = self.simd * (pixels if self.wants_parallel_window else 1)
        if self.parallel and pixels > 1 and not self.depthwise and self.simd != self.channels:
            raise FoldingError(
                f"found SIMD = {self.simd} with parallel_window", where=node.op_type, expected=f"SIMD = {self.channels}"
            )

    def _check(self, where: str) -> None:
        for axis, (k, d, s, i) in enumerate(zip(self.kernel, self.dilation, self.stride, self.image, strict=True)):
            if (k - 1) * d + 1 > i or s > i or k < 1 or s < 1:
                raise ConfigError(
                    f"found kernel {k}, dilation {d}, stride {s} on {i} pixels (axis {axis})",
                    where=where,
                    expected="a kernel and a stride within the image",
                )

    @property
    def _span(self) -> int:
        """Pixels between the first and the last of one window."""
        (kh, kw), (dh, dw), (_, w) = self.kernel, self.dilation, self.image
        return (kh - 1) * dh * w + (kw - 1) * dw

    @property
    def buffer_depth(self) -> int:
        """Words of the whole buffer."""
        if self.parallel:
            return self._span * self.fold + 2
        pixels, (sh, sw) = self.kernel[0] * self.kernel[1], self.stride
        ahead = max(0, sw - 1 - pixels) + max(0, (sh - 1) * self.image[1] - pixels)
        return (self._span + 1 + ahead) * self.fold

    @property
    def cycles(self) -> int:
        """Parallel: every input word once. Default: filling the buffer, then rows limited by reading or writing."""
        if self.parallel:
            return self.image[0] * self.image[1] * self.fold + 2
        if self._is_1d:
            return self._cycles_1d
        (kh, kw), (oh, ow), (sh, sw), w, fold = self.kernel, self.output_dim, self.stride, self.image[1], self.fold
        row = max(ow * kw * kh * fold, sw * w * fold)
        total = (self._span + 1) * fold + oh * row
        if self.depthwise:
            total += oh * ow * (sw - 1) * (fold - 1) + (sh - 1) * w * fold
        return total

    @property
    def _cycles_1d(self) -> int:
        kw, ow, sw = (self._along_width(pair)[1] for pair in (self.kernel, self.output_dim, self.stride))
        total = ow * kw * self.fold + 2
        return total + self.fold * (kw - 1) * (sw - 1) - (kw - 1) if self.depthwise else total

    @property
    def lut(self) -> int:
        return 300 + (self.width * ceil_div(self.buffer_depth, 38) if self.ram_style == "distributed" else 0)

    @property
    def _memories(self) -> tuple[int, int]:
        """Depth and number of the RAM buffers; none for a parallel window along one axis."""
        if not self.parallel:
            return self.buffer_depth, 1
        if self._is_1d:
            return 0, 0
        (kh, kw), (dh, dw), (_, w) = self.kernel, self.dilation, self.image
        return w - ((kw - 1) * dw + 1) + w * (dh - 1), kh - 1

    @property
    def bram18(self) -> int:
        if self.ram_style not in ("auto", "block"):
            return 0
        depth, count = self._memories
        columns = ceil_div(self.width, ram_width(depth))
        saved = columns - ceil_div(self.width, ram_width(depth % _RAM_DEPTH)) if depth > _RAM_DEPTH else 0
        return (ceil_div(depth, _RAM_DEPTH) * columns - saved) * count

    @property
    def uram(self) -> int:
        if self.ram_style != "ultra":
            return 0
        depth, count = self._memories
        return uram_count(self.width, depth) * count
