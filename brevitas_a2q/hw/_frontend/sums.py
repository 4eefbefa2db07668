"""Quantizers as thresholds, concatenation, and the choice of labels."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np

from brevitas_a2q._ir.network import Node
from brevitas_a2q._ir.tensor import Codes
from brevitas_a2q.hw._frontend.activation import with_thresholds
from brevitas_a2q.hw._frontend.adds import covering
from brevitas_a2q.hw._frontend.context import Context, channel_axis_of
from brevitas_a2q.hw._frontend.integers import integers
from brevitas_a2q.hw._frontend.moves import build_moves
from brevitas_a2q.hw._frontend.rearranged import is_selection
from brevitas_a2q.hw._frontend.stream import Stream
from brevitas_a2q.hw._frontend.thresholds import Thresholds, axis_behind, chain_direction, thresholds_of
from brevitas_a2q.hw._ir import Concat, LabelSelect

__all__ = ["concat", "elementwise", "label_select", "quantizer"]


def elementwise(context: Context, node: Node) -> Stream:
    """Held back for the next quantizer."""
    stream = context.stream(node, node.inputs[0])
    if any(is_selection(move) for move in stream.moves):
        raise node.error("computes on selected channels of real values", expected="a quantizer in front")
    return stream.then(node)


def quantizer(context: Context, node: Node) -> Stream:
    """Thresholds, in the matrix unit in front or on their own."""
    output = context.network.tensors[node.output]
    source = context.streams.get(node.inputs[0])
    if source is None:
        return _input_quantizer(context, node)
    stream = context.stream(node, node.inputs[0])
    table = thresholds_of(context.network, stream, node, output.codes)
    _check_moves(context, stream, node, table)
    assert output.codes is not None
    source_nodes = (*(n.name for n in stream.chain), node.name)
    unit = with_thresholds(context, stream, table, output.codes.integer_type, source_nodes)
    start = replace(stream.start, codes=_codes_before_moves(output.codes), shape=stream.start.shape)
    moved = Stream(unit, start, stream.channel_axis, moves=stream.moves, image=stream.image)
    done = build_moves(context, moved)
    return replace(done, start=output, channel_axis=axis_behind(done.channel_axis, _transposes(stream)))


def _transposes(stream: Stream) -> list[Node]:
    return [node for node in stream.chain if node.op == "Transpose"]


def _codes_before_moves(codes: Codes) -> Codes:
    """Annotations that hold before a move too: one range for all channels."""
    return replace(codes, lo=np.asarray(codes.range.lo), hi=np.asarray(codes.range.hi), scale=codes.scale.flat[:1][0])


def _input_quantizer(context: Context, node: Node) -> Stream:
    first = context.input_quantizer
    if first is not None and not _same_quantizer(first, node):
        raise node.error(
            f"quantizes the network's input a second time, otherwise than node {first.name}",
            expected="one quantizer of the input",
            remedy="share the quantizer, or pass the output of the first one on",
        )
    context.input_quantizer = node
    output = context.network.tensors[node.output]
    stream = context.input_stream(output)
    if output.codes is not None and context.image is not None:
        lowest, highest = (int(end.min()) for end in output.codes.type_range())
        context.image = replace(context.image, steps=highest - lowest)
    return stream


def _same_quantizer(one: Node, other: Node) -> bool:
    a, b = one.attributes["quantizer"], other.attributes["quantizer"]
    if type(a) is not type(b):
        return False
    return all(np.array_equal(getattr(a, f.name), getattr(b, f.name)) for f in fields(a))


def _check_moves(context: Context, stream: Stream, node: Node, table: Thresholds) -> None:
    """A maximum commutes with what follows it only if that does not fall."""
    if not any(move.op == "MaxPool" for move in stream.moves):
        return
    early = stream.chain[: stream.chain_before_moves]
    turns = chain_direction(context.network, stream, early) != np.where(table.mirrored, -1, 1)
    if (turns & ~table.flat).any():
        raise node.error("follows a max pool with a factor below zero", expected="factors above zero after the pool")


def concat(context: Context, node: Node) -> Stream:
    """Channels of several streams behind each other."""
    output = context.network.tensors[node.output]
    names = context.stream_inputs(node)
    if len(names) != len(node.inputs):
        raise node.error("found a constant among the streams", expected="streams only")
    streams = [integers(context, node, name) for name in names]
    axis = streams[0].channel_axis
    if node.attributes["axis"] != axis or output.codes is None:
        raise node.error(f"joins axis {node.attributes['axis']}", expected=f"integers along the channels' axis {axis}")
    types = {context.wire(stream) for stream in streams}
    dtype = types.pop() if len(types) == 1 else covering(types)
    unit = context.add(
        Concat(
            name=node.name,
            inputs=tuple(stream.unit for stream in streams),
            input_type=dtype,
            output_type=dtype,
            pixels=streams[0].pixels,
            channels=output.shape[axis],
            source=(node.name,),
            input_channels=tuple(stream.channels for stream in streams),
        )
    )
    return Stream(unit, replace(output, codes=replace(output.codes, dtype=dtype)), axis)


def label_select(context: Context, node: Node) -> Stream:
    """Indices of the highest integers, where all of them have one scale and nothing is added to them."""
    stream = integers(context, node, node.inputs[0])
    if stream.codes.uniform_scale is None or stream.codes.uniform_scale < 0:
        raise node.error("compares integers of different scales", expected="one positive scale for all labels")
    output = context.network.tensors[node.outputs[-1]]
    assert output.codes is not None
    unit = context.add(
        LabelSelect(
            name=node.name,
            inputs=(stream.unit,),
            input_type=context.wire(stream),
            output_type=output.codes.dtype,
            pixels=1,
            channels=node.attributes["k"],
            source=(node.name,),
            labels=stream.channels,
            k=node.attributes["k"],
        )
    )
    return Stream(unit, output, channel_axis_of(output))
