"""Sums and differences of two streams (residual connections)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from brevitas_a2q._ir.datatypes import IntType
from brevitas_a2q._ir.dot_product import IntArray
from brevitas_a2q._ir.network import Node
from brevitas_a2q._ir.tensor import Codes, FloatArray, integer_sum_fits
from brevitas_a2q.bounds import IntRange
from brevitas_a2q.hw._frontend.alignment import Alignment, align
from brevitas_a2q.hw._frontend.context import Context
from brevitas_a2q.hw._frontend.integers import integers
from brevitas_a2q.hw._frontend.stream import Stream
from brevitas_a2q.hw._ir import AddStreams, ChannelwiseOp

__all__ = ["covering", "two_streams"]


def two_streams(context: Context, node: Node) -> Stream:
    """The sum of two streams; where their scales differ, constant factors in front of the adder align them.

    Where no small factors do, the alignment is in fixed point and a warning of the graph says how far sums are off.
    """
    output = context.network.tensors[node.output]
    streams = [integers(context, node, name) for name in node.inputs]
    shapes = {stream.start.shape for stream in streams}
    if len(shapes) > 1 or streams[0].channel_axis != streams[1].channel_axis:
        raise node.error(f"found streams of shapes {sorted(shapes)}", expected="equal shapes, channels on one axis")
    ranges = [context.wire(stream).range for stream in streams]
    if node.op == "Add" and output.codes is not None:
        unit, total = _adder(context, node, streams, ranges)
        return Stream(unit, replace(output, codes=replace(output.codes, dtype=total)), streams[0].channel_axis)
    found = align(_scales(node, streams), _largest(streams))
    ends = [max(abs(r.lo), abs(r.hi)) * int(np.abs(f).max()) for r, f in zip(ranges, found.factors, strict=True)]
    if not integer_sum_fits(sum(ends)):
        raise node.error(
            "adds streams of scales too far apart for 62 bits",
            expected="narrower integers, or a ratio of small integers between the scales",
            remedy="put a quantizer (QuantIdentity) in front, shared between the streams",
        )
    if found.error:
        context.warnings.append(
            f"{node.name}: the scales of its inputs differ by no simple ratio, so it is costed as an alignment in fixed"
            f" point, whose sums are off by up to {found.error:.2g} steps of the coarser input"
        )
    aligned = [
        _times(context, node, stream, factors, f"{node.name}/align{i}")
        for i, (stream, factors) in enumerate(zip(streams, found.factors, strict=True))
    ]
    scaled = [_scaled(values, factors) for values, factors in zip(ranges, found.factors, strict=True)]
    unit, total = _adder(context, node, aligned, scaled)
    return Stream(unit, replace(output, codes=_sum(streams, found, total)), streams[0].channel_axis)


def _scales(node: Node, streams: list[Stream]) -> tuple[FloatArray, FloatArray]:
    """Scale of each stream per channel, or one for all."""
    found = []
    for stream in streams:
        scale = stream.codes.scale
        if scale.size not in (1, stream.channels):
            raise node.error(f"found scales of shape {scale.shape}", expected="one per channel or one for all")
        found.append(scale.reshape(-1))
    return found[0], -found[1] if node.op == "Sub" else found[1]


def _largest(streams: list[Stream]) -> tuple[int, int]:
    ends = [stream.codes.range for stream in streams]
    first, second = (max(abs(end.lo), abs(end.hi)) for end in ends)
    return first, second


def _times(context: Context, node: Node, stream: Stream, factors: IntArray, name: str) -> Stream:
    """The stream times constant factors: what leaves the unit, the scale being the sum's affair."""
    if (factors == 1).all():
        return stream
    dtype = context.wire(stream)
    unit = context.add(
        ChannelwiseOp(
            name=name,
            inputs=(stream.unit,),
            input_type=dtype,
            output_type=IntType.smallest(_scaled(dtype.range, factors)),
            pixels=stream.pixels,
            channels=stream.channels,
            source=(node.name,),
            function="mul",
            parameter_type=IntType.smallest(IntRange(int(factors.min()), int(factors.max()))),
            parameters=np.array(np.broadcast_to(factors, (stream.channels,))),
        )
    )
    return replace(stream, unit=unit)


def _scaled(values: IntRange, factors: IntArray) -> IntRange:
    ends = np.outer([values.lo, values.hi], factors)
    return IntRange(int(ends.min()), int(ends.max()))


def _adder(context: Context, node: Node, streams: list[Stream], ranges: list[IntRange]) -> tuple[str, IntType]:
    types = [context.wire(stream) for stream in streams]
    total = IntType.smallest(IntRange(sum(r.lo for r in ranges), sum(r.hi for r in ranges)))
    unit = context.add(
        AddStreams(
            name=node.name,
            inputs=tuple(stream.unit for stream in streams),
            input_type=types[0] if types[0] == types[1] else covering(types),
            output_type=total,
            pixels=streams[0].pixels,
            channels=streams[0].channels,
            source=(node.name,),
        )
    )
    return unit, total


def _sum(streams: list[Stream], found: Alignment, dtype: IntType) -> Codes:
    """What leaves the adder: integers of the common step, within what the streams' own ranges leave."""
    rank, axis = len(streams[0].start.shape), streams[0].channel_axis
    shape = [-1 if d == axis else 1 for d in range(rank)]
    lo: IntArray = np.zeros((1,) * rank, np.int64)
    hi = lo
    for stream, factors in zip(streams, found.factors, strict=True):
        ends = [end.reshape((1,) * (rank - end.ndim) + end.shape) * factors.reshape(shape) for end in _ends(stream)]
        lo, hi = lo + np.minimum(*ends), hi + np.maximum(*ends)
    return Codes(found.step.reshape(shape), lo, hi, dtype, np.zeros((), np.int64))


def _ends(stream: Stream) -> tuple[IntArray, IntArray]:
    return stream.codes.lo, stream.codes.hi


def covering(types: Iterable[IntType]) -> IntType:
    """The smallest type that holds all of some types."""
    ranges = [t.range for t in types]
    return IntType.smallest(IntRange(min(r.lo for r in ranges), max(r.hi for r in ranges)))
