"""The dataflow graph: frozen units of FINN's kinds, and how each may be folded.

A :class:`Graph` says what is computed; a :class:`Folding` says with how much hardware. Costs are functions of both, so
one graph serves a whole design-space search. The kinds are in :mod:`brevitas_a2q.hw._units`, one file each.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from brevitas_a2q.hw._units.add_streams import AddStreams
from brevitas_a2q.hw._units.base import Unit
from brevitas_a2q.hw._units.channelwise_op import ChannelwiseOp
from brevitas_a2q.hw._units.concat import Concat
from brevitas_a2q.hw._units.data_width_converter import DataWidthConverter
from brevitas_a2q.hw._units.depth_to_space import DepthToSpace
from brevitas_a2q.hw._units.down_sampler import DownSampler
from brevitas_a2q.hw._units.duplicate_streams import DuplicateStreams
from brevitas_a2q.hw._units.fifo import Fifo
from brevitas_a2q.hw._units.folding import Compute, Folding, MemoryStyle
from brevitas_a2q.hw._units.global_acc_pool import GlobalAccPool
from brevitas_a2q.hw._units.input import Input
from brevitas_a2q.hw._units.island import Island
from brevitas_a2q.hw._units.label_select import LabelSelect
from brevitas_a2q.hw._units.matrix import MatrixUnit
from brevitas_a2q.hw._units.max_pool import MaxPool
from brevitas_a2q.hw._units.mul_streams import MulStreams
from brevitas_a2q.hw._units.mvau import Mvau
from brevitas_a2q.hw._units.padding import Padding
from brevitas_a2q.hw._units.pixel_padding import PixelPadding
from brevitas_a2q.hw._units.pool import Pool
from brevitas_a2q.hw._units.select_channels import SelectChannels
from brevitas_a2q.hw._units.sliding_window import SlidingWindow
from brevitas_a2q.hw._units.thresholding import Thresholding
from brevitas_a2q.hw._units.upsample import Upsample
from brevitas_a2q.hw._units.vvau import Vvau

__all__ = [
    "KINDS",
    "AddStreams",
    "ChannelwiseOp",
    "Compute",
    "Concat",
    "DataWidthConverter",
    "DepthToSpace",
    "DownSampler",
    "DuplicateStreams",
    "Fifo",
    "Folding",
    "GlobalAccPool",
    "Graph",
    "Input",
    "Island",
    "LabelSelect",
    "MatrixUnit",
    "MaxPool",
    "MemoryStyle",
    "MulStreams",
    "Mvau",
    "Padding",
    "PixelPadding",
    "Pool",
    "SelectChannels",
    "SlidingWindow",
    "Thresholding",
    "Unit",
    "Upsample",
    "Vvau",
]

KINDS: tuple[type[Unit], ...] = (
    AddStreams,
    ChannelwiseOp,
    Concat,
    DataWidthConverter,
    DepthToSpace,
    DownSampler,
    DuplicateStreams,
    Fifo,
    GlobalAccPool,
    Input,
    Island,
    LabelSelect,
    MaxPool,
    MulStreams,
    Mvau,
    Padding,
    PixelPadding,
    Pool,
    SelectChannels,
    SlidingWindow,
    Thresholding,
    Upsample,
    Vvau,
)


@dataclass(frozen=True, eq=False)
class Graph:
    """Units in topological order, and what the first ones read.

    ``input`` is the value that units name ``""``; where it is left out, it has the shape that its first reader needs.
    """

    name: str
    units: tuple[Unit, ...]
    notes: tuple[str, ...] = field(default=())  # what the front end assumed or skipped
    warnings: tuple[str, ...] = field(default=())  # units that do not compute exactly what the network does
    input: Input = field(default=None)  # type: ignore[assignment]

    def __post_init__(self) -> None:
        if self.input is None:
            reader = next((unit for unit in self.units if "" in unit.inputs), None)
            if reader is not None:
                found = Input.of(*reader.input_shape, reader.input_type)
                object.__setattr__(self, "input", found)

    def __getitem__(self, name: str) -> Unit:
        if name == "":
            return self.input
        for unit in self.units:
            if unit.name == name:
                return unit
        raise KeyError(name)

    @property
    def outputs(self) -> tuple[Unit, ...]:
        """The units that no other one reads."""
        read = {name for unit in self.units for name in unit.inputs}
        return tuple(unit for unit in self.units if unit.name not in read)

    def with_units(self, **changes: dict[str, Any]) -> Graph:
        """A copy in which the named units have other field values."""
        return replace(self, units=tuple(replace(u, **changes.get(u.name, {})) for u in self.units))
