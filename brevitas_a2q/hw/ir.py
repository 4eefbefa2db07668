"""The dataflow graph: frozen units of FINN's kinds, and how each may be folded.

A :class:`Graph` says what is computed; a :class:`Folding` says with how much hardware. Costs are functions of both, so
one graph serves a whole design-space search. Sizes are per image (batch 1). Units of fields are in their names or
comments; ``pixels`` are output positions (height times width) that one image passes through the unit.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Literal

from brevitas_a2q.errors import FoldingError
from brevitas_a2q.ir.datatypes import IntType
from brevitas_a2q.ir.dot_product import IntArray

__all__ = [
    "AddStreams",
    "ChannelwiseOp",
    "Concat",
    "DataWidthConverter",
    "DepthToSpace",
    "DownSampler",
    "DuplicateStreams",
    "Fifo",
    "Folding",
    "GlobalAccPool",
    "Graph",
    "LabelSelect",
    "MaxPool",
    "Mvau",
    "Padding",
    "PixelPadding",
    "Pool",
    "SlidingWindow",
    "Thresholding",
    "Unit",
    "Upsample",
    "Vvau",
]

MemoryStyle = Literal["auto", "distributed", "block", "ultra"]
Compute = Literal["auto", "lut", "dsp", "unrolled"]


@dataclass(frozen=True)
class Folding:
    """How one unit is folded. ``pe`` and ``simd`` are 1 where a kind has no such parallelism."""

    pe: int = 1
    simd: int = 1
    compute: Compute = "auto"
    ram_style: MemoryStyle = "auto"  # of weights, or of the window buffer
    ram_style_thresholds: MemoryStyle = "auto"
    parallel_window: bool = False


@dataclass(frozen=True, eq=False, kw_only=True)
class Unit:
    """One streaming unit; ``inputs`` names the units it reads, ``""`` being the network's input."""

    kind: ClassVar[str] = "Unit"

    name: str
    inputs: tuple[str, ...]
    input_type: IntType
    output_type: IntType
    pixels: int  # output positions per image
    channels: int  # channels of the output stream
    source: tuple[str, ...] = ()  # ONNX node names it was made from

    @property
    def pe_limit(self) -> int:
        """What PE must divide."""
        return 1

    @property
    def simd_limit(self) -> int:
        """What SIMD must divide."""
        return 1

    def check(self, folding: Folding) -> None:
        """Raise :class:`FoldingError` where PE or SIMD does not divide what it must."""
        for what, value, limit in (("PE", folding.pe, self.pe_limit), ("SIMD", folding.simd, self.simd_limit)):
            if value < 1 or limit % value:
                near = min((d for d in range(1, limit + 1) if limit % d == 0), key=lambda d: (abs(d - value), d))
                raise FoldingError(
                    f"found {what} = {value}",
                    where=f"{self.kind} {self.name}",
                    expected=f"a divisor of {limit}",
                    remedy=f"the nearest is {near}",
                )


@dataclass(frozen=True, eq=False, kw_only=True)
class _MatrixUnit(Unit):
    weight_type: IntType
    weights: IntArray  # shape: (output channels, products per output)
    accumulator_type: IntType  # as the policy in force sets it
    accumulator_range: tuple[int, int]  # exact lowest and highest sum of the frozen weights over the input's type
    trained_accumulator_bit_width: int | None  # P the network was trained for, if the file says so
    thresholds: IntArray | None = None  # shape: (channels or 1, steps); None: the sum itself leaves the unit
    activation_bias: int = 0  # FINN's ActVal: output code below the first threshold
    analysed_range: tuple[int, int] | None = None  # the same over the inputs that range analysis leaves


@dataclass(frozen=True, eq=False, kw_only=True)
class Mvau(_MatrixUnit):
    """Matrix-vector-activation unit: dense layer, or convolution behind a :class:`SlidingWindow`."""

    kind: ClassVar[str] = "MVAU"
    groups: int = 1  # grouped convolutions other than depthwise

    @property
    def matrix_width(self) -> int:
        """MW = K, products per output."""
        return int(self.weights.shape[1])

    @property
    def matrix_height(self) -> int:
        """MH, outputs."""
        return int(self.weights.shape[0])

    @property
    def pe_limit(self) -> int:
        return self.matrix_height

    @property
    def simd_limit(self) -> int:
        return self.matrix_width


@dataclass(frozen=True, eq=False, kw_only=True)
class Vvau(_MatrixUnit):
    """Vector-vector-activation unit: depthwise convolution. ``weights`` has shape (channels, kh * kw)."""

    kind: ClassVar[str] = "VVAU"
    kernel: tuple[int, int]
    output_dim: tuple[int, int]

    @property
    def pe_limit(self) -> int:
        return self.channels

    @property
    def simd_limit(self) -> int:
        return self.kernel[0] * self.kernel[1]

    def check(self, folding: Folding) -> None:
        super().check(folding)
        if folding.simd > 1 and folding.pe != self.channels:
            raise FoldingError(
                f"found SIMD = {folding.simd} with PE = {folding.pe}",
                where=f"VVAU {self.name}",
                expected=f"PE = {self.channels} (all channels) where SIMD is above 1",
            )


@dataclass(frozen=True, eq=False, kw_only=True)
class SlidingWindow(Unit):
    """Convolution input generator: turns an image into the windows that a convolution or pool reads."""

    kind: ClassVar[str] = "SlidingWindow"
    input_dim: tuple[int, int]  # after padding
    output_dim: tuple[int, int]
    kernel: tuple[int, int]
    stride: tuple[int, int]
    dilation: tuple[int, int]
    depthwise: bool

    @property
    def simd_limit(self) -> int:
        return self.channels


@dataclass(frozen=True, eq=False, kw_only=True)
class Padding(Unit):
    """Zero padding around an image; ``pads`` is (top, left, bottom, right)."""

    kind: ClassVar[str] = "Padding"
    input_dim: tuple[int, int]
    pads: tuple[int, int, int, int]

    @property
    def simd_limit(self) -> int:
        return self.channels


@dataclass(frozen=True, eq=False, kw_only=True)
class PixelPadding(Unit):
    """Zeros between pixels, as a transposed convolution needs them."""

    kind: ClassVar[str] = "PixelPadding"
    input_dim: tuple[int, int]
    stride: tuple[int, int]

    @property
    def simd_limit(self) -> int:
        return self.channels


@dataclass(frozen=True, eq=False, kw_only=True)
class Thresholding(Unit):
    """Multi-threshold activation: the output code is ``activation_bias`` plus the thresholds at or below the input."""

    kind: ClassVar[str] = "Thresholding"
    thresholds: IntArray  # shape: (channels or 1, steps)
    activation_bias: int = 0

    @property
    def pe_limit(self) -> int:
        return self.channels


@dataclass(frozen=True, eq=False, kw_only=True)
class MaxPool(Unit):
    """Streaming max pool with stride equal to the kernel."""

    kind: ClassVar[str] = "MaxPool"
    input_dim: tuple[int, int]
    kernel: tuple[int, int]
    ceil_mode: bool = False


@dataclass(frozen=True, eq=False, kw_only=True)
class Pool(Unit):
    """Max or average pool behind a depthwise :class:`SlidingWindow`."""

    kind: ClassVar[str] = "Pool"
    output_dim: tuple[int, int]
    kernel: tuple[int, int]
    function: Literal["max", "average"]
    accumulator_bit_width: int = 0

    @property
    def pe_limit(self) -> int:
        return self.channels


@dataclass(frozen=True, eq=False, kw_only=True)
class GlobalAccPool(Unit):
    """Sum over all pixels of each channel."""

    kind: ClassVar[str] = "GlobalAccPool"
    input_dim: tuple[int, int]

    @property
    def pe_limit(self) -> int:
        return self.channels


@dataclass(frozen=True, eq=False, kw_only=True)
class AddStreams(Unit):
    """Elementwise sum of two streams (residual connections)."""

    kind: ClassVar[str] = "AddStreams"

    @property
    def pe_limit(self) -> int:
        return self.channels


@dataclass(frozen=True, eq=False, kw_only=True)
class ChannelwiseOp(Unit):
    """One integer parameter per channel, added, multiplied or compared."""

    kind: ClassVar[str] = "ChannelwiseOp"
    function: Literal["add", "mul", "cmp_le", "cmp_ge"]
    parameter_type: IntType
    parameters: IntArray | None = None  # shape: (channels,); None: not known

    @property
    def pe_limit(self) -> int:
        return self.channels


@dataclass(frozen=True, eq=False, kw_only=True)
class DuplicateStreams(Unit):
    """Copies one stream to ``copies`` readers."""

    kind: ClassVar[str] = "DuplicateStreams"
    copies: int

    @property
    def pe_limit(self) -> int:
        return self.channels


@dataclass(frozen=True, eq=False, kw_only=True)
class Concat(Unit):
    """Channel concatenation; ``input_channels`` in input order."""

    kind: ClassVar[str] = "Concat"
    input_channels: tuple[int, ...]


@dataclass(frozen=True, eq=False, kw_only=True)
class Upsample(Unit):
    """Nearest-neighbour upsampling by an integer factor."""

    kind: ClassVar[str] = "Upsample"
    input_dim: tuple[int, int]
    scale: tuple[int, int]


@dataclass(frozen=True, eq=False, kw_only=True)
class DepthToSpace(Unit):
    """Pixel shuffle by an integer block size."""

    kind: ClassVar[str] = "DepthToSpace"
    input_dim: tuple[int, int]
    block_size: int


@dataclass(frozen=True, eq=False, kw_only=True)
class DownSampler(Unit):
    """Keeps every ``stride``-th pixel (a strided 1x1 convolution's window)."""

    kind: ClassVar[str] = "DownSampler"
    input_dim: tuple[int, int]
    stride: tuple[int, int]

    @property
    def simd_limit(self) -> int:
        return self.channels


@dataclass(frozen=True, eq=False, kw_only=True)
class LabelSelect(Unit):
    """Indices of the ``k`` highest labels."""

    kind: ClassVar[str] = "LabelSelect"
    labels: int
    k: int = 1

    @property
    def pe_limit(self) -> int:
        return self.labels


@dataclass(frozen=True, eq=False, kw_only=True)
class DataWidthConverter(Unit):
    """Stream width converter; widths in bits."""

    kind: ClassVar[str] = "DataWidthConverter"
    input_width: int
    output_width: int


@dataclass(frozen=True, eq=False, kw_only=True)
class Fifo(Unit):
    """First-in first-out buffer; ``depth`` in words of ``width`` bits."""

    kind: ClassVar[str] = "Fifo"
    width: int
    depth: int


@dataclass(frozen=True, eq=False)
class Graph:
    """Units in topological order."""

    name: str
    units: tuple[Unit, ...]
    notes: tuple[str, ...] = field(default=())  # what the front end assumed or skipped
    warnings: tuple[str, ...] = field(default=())  # units that do not compute exactly what the network does

    def __getitem__(self, name: str) -> Unit:
        for unit in self.units:
            if unit.name == name:
                return unit
        raise KeyError(name)

    def with_units(self, **changes: dict[str, Any]) -> Graph:
        """A copy in which the named units have other field values."""
        return replace(self, units=tuple(replace(u, **changes.get(u.name, {})) for u in self.units))
