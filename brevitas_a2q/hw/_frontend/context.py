"""What the walk over a network has built so far."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np
import numpy.typing as npt

from brevitas_a2q._ir.datatypes import IntType
from brevitas_a2q._ir.dot_product import IntArray
from brevitas_a2q._ir.layers import DOT_PRODUCTS
from brevitas_a2q._ir.network import Network, Node
from brevitas_a2q._ir.tensor import Tensor
from brevitas_a2q.errors import OnnxFileError
from brevitas_a2q.hw._frontend.stream import Broken, Stream, check_bipolar
from brevitas_a2q.hw._ir import Input, Unit

__all__ = ["ChannelRanges", "Context", "channel_axis_of", "image_of", "read_image"]

# What takes the channels of its input to be on axis 1, besides products.
_OF_IMAGES: Final = ("AveragePool", "DepthToSpace", "GlobalAveragePool", "MaxPool", "Pad", "Upsample")


@dataclass(frozen=True, eq=False)
class ChannelRanges:
    """Lowest and highest sum of every channel; shapes (channels,)."""

    lo: IntArray
    hi: IntArray

    @property
    def ends(self) -> tuple[int, int]:
        """Over all channels."""
        return int(self.lo.min()), int(self.hi.max())

    def turned(self, mirrored: npt.NDArray[np.bool_]) -> ChannelRanges:
        """The ranges after the weights of some channels were negated."""
        return ChannelRanges(np.where(mirrored, -self.hi, self.lo), np.where(mirrored, -self.lo, self.hi))


def channel_axis_of(tensor: Tensor, last: bool = False) -> int:
    """Axis of the channels: the second of images, the last of products of matrices."""
    return len(tensor.shape) - 1 if last or len(tensor.shape) < 3 else 1


def image_of(node: Node, shape: tuple[int, ...]) -> tuple[int, int]:
    """(height, width) of a tensor of shape (batch, channels, ...); one-dimensional images have width 1."""
    if not 3 <= len(shape) <= 4:
        raise node.error(f"found an image of shape {shape}", expected="(batch, channels, height[, width])")
    return (shape[2], shape[3] if len(shape) == 4 else 1)


def read_image(node: Node, stream: Stream) -> tuple[int, int]:
    """(height, width) of the image that a stream carries to a window, a pool or the like.

    Raises:
        OnnxFileError: Its channels are not on axis 1, where these operators take them to be.
    """
    if stream.channel_axis != 1:
        raise node.error("reads an image whose channels come last", expected="channels on axis 1")
    return image_of(node, stream.start.shape)


@dataclass
class Context:
    """Units by name in the order they were made, and the stream behind every tensor."""

    network: Network
    standalone_thresholds: bool
    units: dict[str, Unit] = field(default_factory=dict)
    streams: dict[str, Stream | Broken] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    input_quantizer: Node | None = None
    image: Input | None = None  # what the accelerator reads
    exact_ranges: dict[str, ChannelRanges] = field(default_factory=dict)  # by matrix unit: over all of the input's type
    analysed_ranges: dict[str, ChannelRanges] = field(default_factory=dict)  # by matrix unit: by range analysis

    def __post_init__(self) -> None:
        for name in self.network.inputs:
            tensor = self.network.tensors[name]
            if tensor.codes is not None:
                self.streams[name] = self.input_stream(tensor)

    def input_stream(self, tensor: Tensor) -> Stream:
        """The accelerator's input, whose channels come last if a matrix product reads it as it is.

        Raises:
            OnnxFileError: It has no axis of channels.
        """
        if len(tensor.shape) < 2:
            found = f"found integers of shape {tensor.shape}"
            raise OnnxFileError(found, where=f"tensor {tensor.name}", expected="an axis for the batch, and channels")
        stream = Stream("", tensor, channel_axis_of(tensor, last=self._first_product(tensor.name) == "MatMul"))
        check_bipolar(stream.codes, f"tensor {tensor.name}")
        self.image = Input.of(stream.pixels, stream.channels, stream.codes.integer_type, stream.channel_axis)
        return stream

    def _first_product(self, tensor: str) -> str:
        """Operator of the first node behind a tensor that says where its channels are."""
        seen, queue = {tensor}, deque([tensor])
        while queue:
            for node in self.network.consumers(queue.popleft()):
                if node.op in (*DOT_PRODUCTS, *_OF_IMAGES, "Reshape", "Transpose", "BatchNormalization"):
                    return node.op
                queue.extend(name for name in node.outputs if name not in seen)
                seen.update(node.outputs)
        return ""

    def place(self, node: Node, found: Stream | Broken | tuple[Stream, ...]) -> None:
        """Record the stream of a node's outputs, or that of each."""
        streams = found if isinstance(found, tuple) else (found,) * len(node.outputs)
        self.streams.update(zip(node.outputs, streams, strict=True))

    def stream_inputs(self, node: Node) -> list[str]:
        """Inputs of a node that are not constants."""
        return [name for name in node.inputs if name and self.network.tensors[name].value is None]

    def in_front(self, node: Node) -> bool:
        """Whether a node computes on the real-valued input that no quantizer has seen yet."""
        return not any(name in self.streams for name in self.stream_inputs(node))

    def broken(self, node: Node) -> Iterator[Broken]:
        """Inputs of a node that cannot be built."""
        for name in self.stream_inputs(node):
            stream = self.streams.get(name)
            if isinstance(stream, Broken):
                yield stream

    def stream(self, node: Node, tensor: str, shuffled: bool = False) -> Stream:
        """The stream behind a tensor; ``shuffled`` if elements may stand elsewhere than at their pixels."""
        stream = self.streams.get(tensor)
        if isinstance(stream, Stream) and stream.places is not None and not shuffled:
            raise node.error("reads elements of several pixels at once", expected="a reshape back to the image's shape")
        if not isinstance(stream, Stream):
            raise node.error(
                "reads the network's real-valued input", expected="integers", remedy="put a quantizer in front"
            )
        return stream

    def wire(self, stream: Stream) -> IntType:
        """The type of the integers on a stream's wire."""
        return self.units[stream.unit].output_type if stream.unit else stream.codes.integer_type

    def only_reader(self, stream: Stream) -> bool:
        """Whether nothing but the stream itself reads the integers it starts from."""
        names = [stream.start.name, *(n.output for n in (*stream.chain, *stream.moves))]
        return all(len(self.network.consumers(n)) == 1 and n not in self.network.outputs for n in names)

    def add(self, unit: Unit) -> str:
        """Add a unit; its name is made unique."""
        name, number = unit.name, 1
        while name in self.units or not name:
            number += 1
            name = f"{unit.name}/{number}"
        self.units[name] = replace(unit, name=name)
        return name
