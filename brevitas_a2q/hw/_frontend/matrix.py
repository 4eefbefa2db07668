"""Dense layers, convolutions and transposed convolutions as matrix units.

Weights of a unit are in the order in which a sliding window streams its inputs: kernel rows, kernel columns, then
input channels (FINN's ``InferConvInpGen`` after lowering).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from brevitas_a2q._ir.datatypes import IntType
from brevitas_a2q._ir.dot_product import IntArray
from brevitas_a2q._ir.layers import rows_of, sum_ranges, trained_width
from brevitas_a2q._ir.network import Node
from brevitas_a2q.bounds import IntRange, required_bit_width
from brevitas_a2q.hw._frontend.context import ChannelRanges, Context, image_of, read_image
from brevitas_a2q.hw._frontend.integers import integers
from brevitas_a2q.hw._frontend.stream import Stream
from brevitas_a2q.hw._frontend.windows import Geometry, geometry_of, sliding_window
from brevitas_a2q.hw._ir import Mvau, PixelPadding, Vvau

__all__ = ["dot_product"]


def dot_product(context: Context, node: Node) -> Stream:
    """Conv, ConvTranspose or MatMul."""
    stream = integers(context, node, node.inputs[0])
    if node.op == "MatMul":
        return _dense(context, node, stream)
    weights = context.network.tensors[node.inputs[1]].integers
    assert weights is not None
    weights = weights if weights.ndim == 4 else weights[..., None]
    if node.op == "ConvTranspose":
        return _transposed(context, node, stream, weights)
    output = context.network.tensors[node.output]
    g = geometry_of(node.attributes, read_image(node, stream), image_of(node, output.shape))
    return _convolution(context, node, stream, stream.unit, weights, g)


def _dense(context: Context, node: Node, stream: Stream) -> Stream:
    shape = stream.start.shape
    if stream.channel_axis != len(shape) - 1:
        raise node.error(f"multiplies along the last axis of {shape}", expected="channels on the last axis")
    weights = context.network.tensors[node.inputs[1]].integers
    assert weights is not None
    rows = rows_of(node, weights)
    if stream.image is not None:
        # The flattened image arrives pixel by pixel, each with all its channels.
        rows = rows.reshape(rows.shape[0], *stream.image).transpose(0, 2, 3, 1).reshape(rows.shape[0], -1)
    pixels = int(np.prod(shape[1:-1], dtype=np.int64))
    return _matrix_unit(context, node, stream, Mvau, rows, inputs=(stream.unit,), pixels=pixels)


def _convolution(context: Context, node: Node, stream: Stream, unit: str, weights: IntArray, g: Geometry) -> Stream:
    """The window and the matrix unit; weights of shape (out, in / groups, kernel height, kernel width)."""
    groups, out = node.attributes["group"], weights.shape[0]
    depthwise = groups == stream.channels == out and groups > 1
    apart = depthwise and g.kernel != (1, 1)
    whole = 1 if depthwise else groups
    unit = sliding_window(context, node, unit, stream.channels, context.wire(stream), g, depthwise=apart, groups=whole)
    rows = np.ascontiguousarray(weights.transpose(0, 2, 3, 1).reshape(out, -1))
    extra: dict[str, Any] = {"groups": groups}
    if depthwise:
        extra = {"kernel": g.kernel, "output_dim": g.output_dim}
    elif groups > 1:
        context.notes.append(f"{node.name}: {groups} groups, which FINN's MVAU does not have")
    pixels = g.output_dim[0] * g.output_dim[1]
    kind = Vvau if depthwise else Mvau
    return _matrix_unit(context, node, stream, kind, rows, inputs=(unit,), pixels=pixels, **extra)


def _transposed(context: Context, node: Node, stream: Stream, weights: IntArray) -> Stream:
    """Zeros between the pixels, then a convolution at stride 1 with the kernel turned around.

    As FINN's ``InferPixelPaddingDeconv`` does it.
    """
    output = context.network.tensors[node.output]
    a, groups = node.attributes, node.attributes["group"]
    given = geometry_of(a, read_image(node, stream), image_of(node, output.shape))
    between = (
        (given.input_dim[0] - 1) * given.stride[0] + 1,
        (given.input_dim[1] - 1) * given.stride[1] + 1,
    )
    full = [given.dilation[d] * (given.kernel[d] - 1) for d in (0, 1)]
    extra = (*a["output_padding"], 0)[:2]
    top, left, bottom, right = given.pads
    pads = (full[0] - top, full[1] - left, full[0] - bottom + extra[0], full[1] - right + extra[1])
    if min(pads) < 0:
        raise node.error(f"found pads {a['pads']}", expected=f"at most {full}", remedy="crop behind the layer instead")
    unit = stream.unit
    if given.stride != (1, 1):
        unit = context.add(
            PixelPadding(
                name=f"{node.name}/pixels",
                inputs=(unit,),
                input_type=context.wire(stream),
                output_type=context.wire(stream),
                pixels=between[0] * between[1],
                channels=stream.channels,
                source=(node.name,),
                input_dim=given.input_dim,
                stride=given.stride,
            )
        )
    channels_in, out_per_group, *kernel = weights.shape
    turned = weights.reshape(groups, channels_in // groups, out_per_group, *kernel)[..., ::-1, ::-1]
    turned = turned.swapaxes(1, 2).reshape(groups * out_per_group, channels_in // groups, *kernel)
    g = Geometry(between, given.output_dim, given.kernel, (1, 1), given.dilation, pads)
    return _convolution(context, node, stream, unit, turned, g)


def _matrix_unit(context: Context, node: Node, stream: Stream, kind: Any, rows: IntArray, **fields: Any) -> Stream:
    network = context.network
    output, weights = network.tensors[node.output], network.tensors[node.inputs[1]]
    assert output.codes is not None
    assert weights.codes is not None
    axis = len(output.shape) - 1 if node.op == "MatMul" else 1
    channels = output.shape[axis]
    exact = _type_ranges(context, node, channels)
    analysed = ChannelRanges(
        *(np.array(np.broadcast_to(b.reshape(-1), (channels,))) for b in (output.codes.lo, output.codes.hi))
    )
    lo, hi = exact.ends
    accumulator = IntType.of(max(2, required_bit_width(lo, hi)), signed=True)
    name = context.add(
        kind(
            name=node.name,
            input_type=context.wire(stream),
            output_type=accumulator,
            channels=channels,
            source=(node.name,),
            weight_type=weights.codes.integer_type,
            weights=rows,
            accumulator_type=accumulator,
            accumulator_range=(lo, hi),
            analysed_range=analysed.ends,
            arriving=_arriving(context, node),
            trained_accumulator_bit_width=trained_width(network, node),
            **fields,
        )
    )
    context.exact_ranges[name], context.analysed_ranges[name] = exact, analysed
    codes = replace(output.codes, dtype=accumulator)
    return Stream(name, replace(output, codes=codes), axis)


def _arriving(context: Context, node: Node) -> tuple[IntRange, IntRange]:
    """The inputs of a layer by their data type and by range analysis, 0 included."""
    codes = context.network.tensors[node.inputs[0]].codes
    assert codes is not None
    by_type, by_analysis = (
        IntRange(int(lo.min()), int(hi.max())).with_zero() for lo, hi in (codes.type_range(), (codes.lo, codes.hi))
    )
    return by_type, by_analysis


def _type_ranges(context: Context, node: Node, channels: int) -> ChannelRanges:
    """Sums over every input that the input's data type allows, 0 included."""
    weights = context.network.tensors[node.inputs[1]].integers
    assert weights is not None
    inputs, _ = _arriving(context, node)
    lo, hi = sum_ranges(rows_of(node, weights), np.array([[inputs.lo]]), np.array([[inputs.hi]]))
    # A transposed convolution has a row for each phase of a channel.
    return ChannelRanges(lo.reshape(channels, -1).min(axis=1), hi.reshape(channels, -1).max(axis=1))
