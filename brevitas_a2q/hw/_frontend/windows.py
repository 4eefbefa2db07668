"""Units in front of a convolution or pool: padding, and the sliding window."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from brevitas_a2q._ir.datatypes import IntType
from brevitas_a2q._ir.network import Node
from brevitas_a2q.hw._frontend.context import Context
from brevitas_a2q.hw._ir import DownSampler, Padding, SlidingWindow

__all__ = ["Geometry", "geometry_of", "padding", "sliding_window"]


@dataclass(frozen=True)
class Geometry:
    """A window over an image in two dimensions; a one-dimensional image has width 1."""

    input_dim: tuple[int, int]
    output_dim: tuple[int, int]
    kernel: tuple[int, int]
    stride: tuple[int, int]
    dilation: tuple[int, int]
    pads: tuple[int, int, int, int]  # top, left, bottom, right

    @property
    def trivial(self) -> bool:
        """Whether the window is one pixel at a time."""
        return self.kernel == (1, 1) and self.stride == (1, 1)

    @property
    def padded_dim(self) -> tuple[int, int]:
        """(height, width) after padding."""
        top, left, bottom, right = self.pads
        return self.input_dim[0] + top + bottom, self.input_dim[1] + left + right


def geometry_of(attributes: Mapping[str, Any], input_dim: tuple[int, int], output_dim: tuple[int, int]) -> Geometry:
    """The window of a normalised Conv or pool; pads beyond the last window's end are those of ``ceil_mode``."""

    def pair(name: str, default: int) -> tuple[int, int]:
        value = attributes[name]
        return (value[0], value[1]) if len(value) == 2 else (value[0], default)

    rank = len(attributes["kernel_shape"])
    pads = tuple(attributes["pads"])
    top, bottom = pads[0], pads[rank]
    left, right = (pads[1], pads[3]) if rank == 2 else (0, 0)
    kernel, stride, dilation = pair("kernel_shape", 1), pair("strides", 1), pair("dilations", 1)
    if attributes.get("ceil_mode"):
        reach = [(output_dim[d] - 1) * stride[d] + dilation[d] * (kernel[d] - 1) + 1 for d in (0, 1)]
        bottom, right = max(bottom, reach[0] - input_dim[0] - top), max(right, reach[1] - input_dim[1] - left)
    return Geometry(input_dim, output_dim, kernel, stride, dilation, (top, left, bottom, right))


def padding(context: Context, node: Node, unit: str, channels: int, dtype: IntType, g: Geometry) -> str:
    """A Padding unit where there is something to pad; the name of the unit to read from."""
    if not any(g.pads):
        return unit
    height, width = g.padded_dim
    return context.add(
        Padding(
            name=f"{node.name}/pad",
            inputs=(unit,),
            input_type=dtype,
            output_type=dtype,
            pixels=height * width,
            channels=channels,
            source=(node.name,),
            input_dim=g.input_dim,
            pads=g.pads,
        )
    )


def sliding_window(
    context: Context,
    node: Node,
    unit: str,
    channels: int,
    dtype: IntType,
    g: Geometry,
    *,
    depthwise: bool,
    groups: int = 1,
) -> str:
    """Padding and sliding window; a strided 1x1 window over a square image is a DownSampler, as in FINN."""
    unit = padding(context, node, unit, channels, dtype, g)
    if g.trivial:
        return unit
    common: dict[str, Any] = {
        "inputs": (unit,),
        "input_type": dtype,
        "output_type": dtype,
        "channels": channels,
        "source": (node.name,),
        "input_dim": g.padded_dim,
        "stride": g.stride,
    }
    square = g.padded_dim[0] == g.padded_dim[1] and g.stride[0] == g.stride[1]
    if g.kernel == (1, 1) and square and not any(g.pads):
        pixels = g.output_dim[0] * g.output_dim[1]
        return context.add(DownSampler(name=f"{node.name}/downsample", pixels=pixels, **common))
    return context.add(
        SlidingWindow(
            name=f"{node.name}/window",
            pixels=g.output_dim[0] * g.output_dim[1],
            output_dim=g.output_dim,
            kernel=g.kernel,
            dilation=g.dilation,
            depthwise=depthwise,
            groups=groups,
            **common,
        )
    )
