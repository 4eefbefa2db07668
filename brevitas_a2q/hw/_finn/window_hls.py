"""Sliding window (convolution input generator), HLS, on main only.

2D: ``kh + sh`` line buffers of ``w * cf`` words, ``cf = IFMChannels / SIMD``. 1D: one buffer whose depth depends on the
variant of the library function that FINN picks. Cycles count filling and the slower of reading and writing.

Source: FINN ``custom_op/fpgadataflow/hls/convolutioninputgenerator_hls.py``.
"""

from __future__ import annotations

from brevitas_a2q.hw._finn.attributes import Attributes
from brevitas_a2q.hw._finn.memory import uram_count
from brevitas_a2q.hw._finn.unit import ceil_div
from brevitas_a2q.hw._finn.window import Window, ram_width

__all__ = ["WindowHls"]


class WindowHls(Window):
    """``ConvolutionInputGenerator_hls`` (main)."""

    op_types = ("ConvolutionInputGenerator_hls",)

    def __init__(self, node: Attributes) -> None:
        super().__init__(node)
        self.is_1d = node.flag("is1D")
        self.variant = self._variant() if self.is_1d else "2d"
        pixels = self.kernel[0] * self.kernel[1] if self.variant == "parallel" else 1
        self.output_elements = self.simd * pixels

    def _variant(self) -> str:
        steps, gaps = self.stride[0] * self.stride[1], self.dilation[0] * self.dilation[1]
        plain = self.fold == 1 and not self.depthwise and steps == gaps == 1
        if self.wants_parallel_window and plain and self.ram_style in ("auto", "distributed"):
            return "parallel"
        if not self.depthwise:
            return "dense"
        return "naive" if gaps > 1 or steps > 2 else "depthwise"

    @property
    def cycles(self) -> int:
        if not self.is_1d:
            (kh, kw), (oh, ow), w, fold = self.kernel, self.output_dim, self.image[1], self.fold
            row = max(ow * kw * kh * fold, self.stride[1] * w * fold)
            return w * kh * self.dilation[0] * fold + oh * row
        kw, ow, w = (self._along_width(pair)[1] for pair in (self.kernel, self.output_dim, self.image))
        if self.variant == "parallel":
            return kw + ow
        written = ow * kw * self.fold
        if self.variant == "naive":
            return w * self.fold + written
        return 1 + written + ((self.fold - 1) * (kw - 1) if self.variant == "depthwise" else 0)

    @property
    def _pixels_buffered(self) -> int:
        """Pixels that the buffer (2D: one line of it) holds; FINN takes the height of a 2D image for its width."""
        if not self.is_1d:
            return self.image[0]
        kw, w = self._along_width(self.kernel)[1], self._along_width(self.image)[1]
        return {"dense": kw - 1, "naive": w, "depthwise": kw, "parallel": 0}[self.variant]

    @property
    def lut(self) -> int:
        bits = self.inputs.bits
        if self.ram_style != "distributed":
            return 300
        if self.variant == "parallel":
            return 300 + ceil_div(self.width * (self._along_width(self.kernel)[1] + 1), 64)
        if self.is_1d:
            return 300 + ceil_div(bits * self._pixels_buffered * self.channels, 64)
        return 300 + self._lines * self.width * ceil_div(self._pixels_buffered * self.fold, 64)

    @property
    def _lines(self) -> int:
        return self.kernel[0] + self.stride[0]

    @property
    def bram18(self) -> int:
        if self.ram_style not in ("auto", "block") or self.variant == "parallel":
            return 0
        depth = self._pixels_buffered * self.fold
        columns = ceil_div(self.width, ram_width(depth))
        # FINN divides a line's depth by itself in 2D: deep lines cost as much as shallow ones of their width.
        return columns * ceil_div(depth, 18432) if self.is_1d else self._lines * columns

    @property
    def uram(self) -> int:
        if self.ram_style != "ultra" or self.variant == "parallel":
            return 0
        depth = self._pixels_buffered * self.fold
        if self.is_1d:
            return uram_count(self.width, depth)
        return self._lines * ceil_div(self.width, 64) * ceil_div(depth, 4096)
