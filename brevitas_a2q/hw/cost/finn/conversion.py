"""FINN's attributes of every kind of unit but the matrix ones, as its conversion writes them.

PE and SIMD are 1, but SIMD of windows and padding all channels. dev lacks some kinds of main: a max pool becomes a
window and a Pool there, a subsampler a window of one pixel, a sum an elementwise addition.

Source: FINN ``transformation/fpgadataflow/convert_to_hw_layers.py``, ``infer_pixel_padding_deconv.py``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from brevitas_a2q.errors import ConfigError
from brevitas_a2q.hw import ir
from brevitas_a2q.hw.cost.finn.unit import Version

__all__ = ["ACCUMULATOR", "REMEDY", "Attributes", "Node", "nodes_of", "output_side", "padded_side", "thresholding"]

ACCUMULATOR = "INT32"  # of sums before minimisation
REMEDY = "estimate it with the synthesis model"
Attributes: TypeAlias = dict[str, Any]
Node: TypeAlias = tuple[str, Attributes]


def output_side(unit: ir.Unit) -> tuple[int, int] | None:
    """Height and width of the output of kinds that change the image's size."""
    if isinstance(unit, ir.PixelPadding):
        return _spread(unit)
    if isinstance(unit, ir.DownSampler):
        height, width = (-(-i // s) for i, s in zip(unit.input_dim, unit.stride, strict=True))
        return height, width
    if isinstance(unit, ir.Upsample):
        return unit.input_dim[0] * unit.scale[0], unit.input_dim[1] * unit.scale[1]
    if isinstance(unit, ir.MaxPool):
        return _pooled(unit)
    return (1, 1) if isinstance(unit, ir.GlobalAccPool) else None


def padded_side(unit: ir.Padding) -> tuple[int, int]:
    top, left, bottom, right = unit.pads
    return unit.input_dim[0] + top + bottom, unit.input_dim[1] + left + right


def _spread(unit: ir.PixelPadding) -> tuple[int, int]:
    height, width = ((i - 1) * s + 1 for i, s in zip(unit.input_dim, unit.stride, strict=True))
    return height, width


def _pooled(unit: ir.MaxPool) -> tuple[int, int]:
    sides = zip(unit.input_dim, unit.kernel, strict=True)
    height, width = (-(-i // k) if unit.ceil_mode else i // k for i, k in sides)
    return height, width


def _window(
    unit: ir.Unit,
    image: list[int],
    output: list[int],
    kernel: tuple[int, int],
    stride: tuple[int, int],
    dilation: tuple[int, int],
    depthwise: bool,
) -> Node:
    kind = unit.input_type.name
    return "ConvolutionInputGenerator", {
        "SIMD": unit.channels,
        "ConvKernelDim": list(kernel),
        "IFMChannels": unit.channels,
        "IFMDim": image,
        "OFMDim": output,
        "Stride": list(stride),
        "Dilation": list(dilation),
        "depthwise": int(depthwise),
        "parallel_window": 0,
        "is1D": int(1 in image),
        "inputDataType": kind,
        "outputDataType": kind,
        "ram_style": "distributed",
    }


def _max_pool_dev(unit: ir.MaxPool) -> list[Node]:
    """A depthwise window and a Pool: dev has no streaming max pool."""
    size = list(_pooled(unit))
    kind = unit.input_type.name
    pool = {
        "PE": 1,
        "Channels": unit.channels,
        "KernelSize": list(unit.kernel),
        "Function": "MaxPool",
        "OutImgDims": size,
        "InputDataType": kind,
        "OutputDataType": kind,
    }
    window = _window(unit, list(unit.input_dim), size, unit.kernel, unit.kernel, (1, 1), True)
    return [window, ("Pool", pool)]


def thresholding(unit: ir.Mvau | ir.Vvau | ir.Thresholding, vectors: list[int], version: Version) -> Node:
    steps = 0 if unit.thresholds is None else int(unit.thresholds.shape[1])
    kind = unit.input_type.name if isinstance(unit, ir.Thresholding) else ACCUMULATOR
    return "Thresholding", {
        "PE": 1,
        "NumChannels": unit.channels,
        "numSteps": steps,
        "inputDataType": kind,
        "weightDataType": kind,
        "outputDataType": unit.output_type.name,
        "ActVal": unit.activation_bias,
        "numInputVectors": vectors,
        "runtime_writeable_weights": 0,
    }


def _sliding_window(unit: ir.SlidingWindow, vectors: list[int], version: Version) -> Node:
    return _window(
        unit, list(unit.input_dim), list(unit.output_dim), unit.kernel, unit.stride, unit.dilation, unit.depthwise
    )


def _streams(unit: ir.Unit, vectors: list[int]) -> Attributes:
    return {
        "PE": 1,
        "NumChannels": unit.channels,
        "inputDataType": unit.input_type.name,
        "numInputVectors": vectors,
    }


def _spatial(unit: ir.Unit) -> Attributes:
    return {"SIMD": unit.channels, "NumChannels": unit.channels, "inputDataType": unit.input_type.name}


def _add_streams(unit: ir.AddStreams, vectors: list[int], version: Version) -> Node:
    if version == "main":
        return "AddStreams", _streams(unit, vectors)
    shape, kind = [*vectors, unit.channels], unit.input_type.name
    types = {"lhs_dtype": kind, "rhs_dtype": kind, "out_dtype": unit.output_type.name}
    return "ElementwiseAdd", {"PE": 1, "lhs_shape": shape, "rhs_shape": shape, "out_shape": shape, **types}


def _concat(unit: ir.Concat, vectors: list[int], version: Version) -> Node:
    channels, vectors = list(unit.input_channels), vectors
    kind = unit.input_type.name
    if version == "main":
        return "StreamingConcat", {"ElemsPerStream": channels, "inputDataType": kind, "numInputVectors": vectors}
    types = [kind] * len(channels)
    return "StreamingConcat", {
        "SIMD": 1, "ChannelsPerStream": channels, "inputDataTypes": types, "numInputVectors": vectors
    }  # fmt: skip


def _upsample(unit: ir.Upsample, vectors: list[int], version: Version) -> Node:
    (height, width), (high, wide) = unit.input_dim, vectors[1:]
    kind = unit.input_type.name
    if version == "dev":
        sizes = {"HI": height, "WI": width, "HO": high, "WO": wide}
        return "UpsampleNearestNeighbour", {
            "SIMD": unit.channels, "NumChannels": unit.channels, "inputDataType": kind, **sizes
        }  # fmt: skip
    is_line = width == wide == 1
    if high != wide and not is_line:
        raise ConfigError(
            f"found an image of {high} x {wide}", where=unit.name, expected="a square one, as FINN main", remedy=REMEDY
        )
    return "UpsampleNearestNeighbour", {
        "OFMDim": high, "IFMDim": height, "NumChannels": unit.channels, "inputDataType": kind, "DimMode": int(is_line)
    }  # fmt: skip


def _down_sampler(unit: ir.DownSampler, vectors: list[int], version: Version) -> Node:
    (height, width), is_line = unit.input_dim, 1 in unit.input_dim
    if not is_line and (height != width or unit.stride[0] != unit.stride[1]):
        raise ConfigError(
            f"found an image of {height} x {width}, stride {unit.stride}",
            where=unit.name,
            expected="a square image and stride, as FINN main",
            remedy=REMEDY,
        )
    sizes = {"ImgDim": max(height, width), "Stride": max(unit.stride), "is1D": int(is_line)}
    return "DownSampler", {**_spatial(unit), **sizes, "is1D_unitx": int(width == 1)}


def _max_pool(unit: ir.MaxPool, vectors: list[int], version: Version) -> Node:
    sizes = {"ImgDim": list(unit.input_dim), "PoolDim": list(unit.kernel), "CeilMode": int(unit.ceil_mode)}
    return "StreamingMaxPool", {"PE": 1, "NumChannels": unit.channels, **sizes, "dataType": unit.input_type.name}


def _pool(unit: ir.Pool, vectors: list[int], version: Version) -> Node:
    return "Pool", {
        "PE": 1,
        "Channels": unit.channels,
        "KernelSize": list(unit.kernel),
        "Function": "MaxPool" if unit.function == "max" else "QuantAvgPool",
        "OutImgDims": list(unit.output_dim),
        "InputDataType": unit.input_type.name,
        "OutputDataType": unit.output_type.name,
        "AccumBits": unit.accumulator_bit_width,
    }


def _channelwise(unit: ir.ChannelwiseOp, vectors: list[int], version: Version) -> Node:
    types = {"paramDataType": unit.parameter_type.name, "outputDataType": unit.output_type.name}
    return "ChannelwiseOp", {**_streams(unit, vectors), "Func": unit.function, "ram_style": "distributed", **types}


def _padding(unit: ir.Padding, vectors: list[int], version: Version) -> Node:
    return "FMPadding", {**_spatial(unit), "ImgDim": list(unit.input_dim), "Padding": list(unit.pads)}


def _pixel_padding(unit: ir.PixelPadding, vectors: list[int], version: Version) -> Node:
    return "FMPadding_Pixel", {**_spatial(unit), "ImgDim": list(unit.input_dim), "Stride": list(unit.stride)}


def _duplicate(unit: ir.DuplicateStreams, vectors: list[int], version: Version) -> Node:
    return "DuplicateStreams", {**_streams(unit, vectors), "NumOutputStreams": unit.copies}


def _global_pool(unit: ir.GlobalAccPool, vectors: list[int], version: Version) -> Node:
    return "GlobalAccPool", {**_streams(unit, vectors), "numInputVectors": [1, *unit.input_dim]}


def _label_select(unit: ir.LabelSelect, vectors: list[int], version: Version) -> Node:
    kind = unit.input_type.name
    return "LabelSelect", {
        "PE": 1, "Labels": unit.labels, "K": unit.k, "inputDataType": kind, "numInputVectors": vectors
    }  # fmt: skip


_KINDS: dict[type[ir.Unit], Callable[[Any, list[int], Version], Node]] = {
    ir.SlidingWindow: _sliding_window,
    ir.Padding: _padding,
    ir.PixelPadding: _pixel_padding,
    ir.Thresholding: thresholding,
    ir.MaxPool: _max_pool,
    ir.Pool: _pool,
    ir.GlobalAccPool: _global_pool,
    ir.AddStreams: _add_streams,
    ir.ChannelwiseOp: _channelwise,
    ir.DuplicateStreams: _duplicate,
    ir.Concat: _concat,
    ir.Upsample: _upsample,
    ir.DownSampler: _down_sampler,
    ir.LabelSelect: _label_select,
}


def nodes_of(unit: ir.Unit, vectors: list[int], version: Version) -> list[Node]:
    """Op types and attributes of the FINN nodes of any unit but a matrix one.

    Args:
        unit: The unit.
        vectors: FINN's ``numInputVectors`` of its output.
        version: FINN branch.

    Raises:
        ConfigError: The branch has no such kind, or not of this shape.
    """
    if version == "dev" and isinstance(unit, ir.MaxPool):
        return _max_pool_dev(unit)
    if version == "dev" and isinstance(unit, ir.DownSampler):
        return [_window(unit, list(unit.input_dim), vectors[1:], (1, 1), unit.stride, (1, 1), False)]
    convert = _KINDS.get(type(unit))
    if convert is None:
        raise ConfigError(
            f"found a {unit.kind}", where=unit.name, expected=f"a kind that FINN {version} has", remedy=REMEDY
        )
    return [convert(unit, vectors, version)]
