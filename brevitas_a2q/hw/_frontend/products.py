"""Products of two streams: squeeze and excitation, attention over channels."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np

from brevitas_a2q._ir.datatypes import IntType
from brevitas_a2q._ir.network import Node
from brevitas_a2q._ir.quantizer import Quantizer
from brevitas_a2q._ir.tensor import Codes
from brevitas_a2q.errors import OnnxFileError
from brevitas_a2q.hw._frontend.activation import with_thresholds
from brevitas_a2q.hw._frontend.adds import covering
from brevitas_a2q.hw._frontend.context import Context, read_image
from brevitas_a2q.hw._frontend.integers import integers
from brevitas_a2q.hw._frontend.stream import Stream
from brevitas_a2q.hw._frontend.thresholds import thresholds_of
from brevitas_a2q.hw._ir import MulStreams, Upsample
from brevitas_a2q.hw._units.mul_streams import product_range

__all__ = ["of_one_stream", "product"]

_REAL_FACTOR_BITS: Final = 8


def of_one_stream(context: Context, node: Node) -> bool:
    """Whether both factors are functions of one stream's integers, as in ``x * sigmoid(x)``."""
    first, second = (context.stream(node, name) for name in context.stream_inputs(node))
    return (first.unit, first.start.name) == (second.unit, second.start.name) and bool(first.chain or second.chain)


def product(context: Context, node: Node) -> Stream:
    """A multiplier; a factor of one pixel is repeated for each of the other's, a real one is rounded to eight bits."""
    factors = [_factor(context, node, name) for name in context.stream_inputs(node)]
    large, small = sorted(factors, key=lambda stream: -stream.pixels)
    if large.channel_axis != small.channel_axis or large.channels != small.channels or large.image or small.image:
        shapes = [stream.start.shape for stream in factors]
        raise node.error(f"multiplies streams of shapes {shapes}", expected="as many channels, on one axis")
    if small.pixels not in (1, large.pixels):
        raise node.error(f"multiplies {large.pixels} pixels by {small.pixels}", expected="as many, or one")
    if small.pixels != large.pixels:
        small = _repeated(context, node, small, read_image(node, large))
    types = context.wire(large), context.wire(small)
    values = product_range(types[0].range, types[1].range)
    dtype = IntType.smallest(values)
    unit = context.add(
        MulStreams(
            name=node.name,
            inputs=(large.unit, small.unit),
            input_type=covering(types),
            output_type=dtype,
            pixels=large.pixels,
            channels=large.channels,
            source=(node.name,),
            factors=types,
        )
    )
    output = context.network.tensors[node.output]
    codes = Codes(
        large.codes.scale * small.codes.scale,
        np.asarray(values.lo),
        np.asarray(values.hi),
        dtype,
        np.zeros((), np.int64),
    )
    return Stream(unit, replace(output, codes=codes), large.channel_axis)


def _factor(context: Context, node: Node, name: str) -> Stream:
    """The integers of a factor; of real values what a quantizer of eight bits makes of them, which a warning says."""
    try:
        return integers(context, node, name)
    except OnnxFileError:
        stream, tensor = context.stream(node, name), context.network.tensors[name]
        lo, hi = (float(end) for end in (tensor.lo.min(), tensor.hi.max()))
        if not stream.chain or stream.moves or not max(-lo, hi) < np.inf:
            raise
    dtype = IntType.of(_REAL_FACTOR_BITS, signed=lo < 0)
    scale = np.float32(max(hi / dtype.range.hi, lo / dtype.range.lo if lo < 0 else 0.0))
    quantizer = Quantizer(scale.reshape(()), np.zeros((), np.float32), dtype)
    last = replace(stream.chain[-1], attributes={"quantizer": quantizer}, outputs=(name,))
    ends = np.asarray(dtype.range.lo), np.asarray(dtype.range.hi)
    codes = Codes(np.asarray(float(scale)), *ends, dtype, np.zeros((), np.int64))
    names = tuple(n.name for n in stream.chain)
    table = thresholds_of(context.network, stream, replace(last, inputs=(name,)), codes)
    unit = with_thresholds(context, stream, table, dtype, names)
    context.warnings.append(
        f"{node.name}: multiplies by real values ({names[-1]}), which are costed as rounded to {_REAL_FACTOR_BITS} bits"
    )
    return Stream(unit, replace(tensor, codes=codes), stream.channel_axis)


def _repeated(context: Context, node: Node, stream: Stream, image: tuple[int, int]) -> Stream:
    dtype = context.wire(stream)
    unit = context.add(
        Upsample(
            name=f"{node.name}/repeat",
            inputs=(stream.unit,),
            input_type=dtype,
            output_type=dtype,
            pixels=image[0] * image[1],
            channels=stream.channels,
            source=(node.name,),
            input_dim=(1, 1),
            scale=image,
        )
    )
    return replace(stream, unit=unit)
