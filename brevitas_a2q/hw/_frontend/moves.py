"""Operations that pool, copy or reorder pixels and commute with thresholds."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from brevitas_a2q._ir.dot_product import IntArray
from brevitas_a2q._ir.network import Node
from brevitas_a2q._ir.tensor import Tensor
from brevitas_a2q.hw._frontend.context import Context, image_of, read_image
from brevitas_a2q.hw._frontend.rearranged import is_selection, places_of, rearranged, selected
from brevitas_a2q.hw._frontend.stream import Stream
from brevitas_a2q.hw._frontend.thresholds import axis_behind, chain_direction
from brevitas_a2q.hw._frontend.windows import geometry_of, sliding_window
from brevitas_a2q.hw._ir import MaxPool, Pool, Upsample

__all__ = ["build_moves", "move", "select", "unit_fields"]


def move(context: Context, node: Node) -> Stream:
    """MaxPool, Upsample, Reshape or Transpose: built now, or behind the thresholds that are to come."""
    stream = context.stream(node, node.inputs[0], shuffled=True)
    if not stream.chain and not stream.moves:
        return _built(context, stream, node)
    if not stream.moves and (
        (node.op == "Reshape" and _only_drops_ones(context, node))
        or (node.op == "Transpose" and _keeps_pixels_in_order(node, axis_behind(stream.channel_axis, stream.chain)))
    ):
        return stream.then(node)
    return replace(stream, moves=(*stream.moves, node), chain_before_moves=stream.chain_before_moves)


def _keeps_pixels_in_order(node: Node, axis: int) -> bool:
    """Whether a transpose only takes the channels to another axis."""
    order = node.attributes["perm"]
    rest = [d for d in order if d != axis]
    return rest == sorted(rest) and order[0] == 0


def _only_drops_ones(context: Context, node: Node) -> bool:
    """Whether a reshape takes (batch, channels, 1, ...) to (batch, channels, ...) of other ones."""
    before, after = context.network.tensors[node.inputs[0]].shape, context.network.tensors[node.output].shape
    return before[:2] == after[:2] and all(n == 1 for n in (*before[2:], *after[2:]))


def build_moves(context: Context, stream: Stream) -> Stream:
    """The stream with its waiting moves built on the integers as they are.

    Raises:
        OnnxFileError: Where elementwise operations that are still waiting do not commute with a move.
    """
    moves, stream = stream.moves, replace(stream, moves=())
    for node in moves:
        early = stream.chain[: stream.chain_before_moves]
        if node.op == "MaxPool" and early and (chain_direction(context.network, stream, early) < 0).any():
            raise node.error("pools what falls with the sums", expected="a quantizer between layer and pool")
        if node.op in ("Reshape", "Transpose") and stream.chain:
            raise node.error("reorders real values", expected="a quantizer in front")
        stream = replace(
            _built(context, stream, node), chain=stream.chain, chain_before_moves=stream.chain_before_moves
        )
    if moves and stream.places is not None:
        raise moves[-1].error("moves elements between pixels", expected="a reshape back to the image's shape")
    return stream


def select(context: Context, node: Node) -> Stream | tuple[Stream, ...]:
    """Slice, split or gather of channels, of integers as they are or, if it has one output, behind thresholds."""
    stream = context.stream(node, node.inputs[0], shuffled=True)
    if not stream.chain and not stream.moves:
        return tuple(selected(context, stream, node, output) for output in range(len(node.outputs)))
    if len(node.outputs) > 1:
        raise node.error("splits real values", expected="integers", remedy="put a quantizer in front")
    return replace(stream, moves=(*stream.moves, node))


def _built(context: Context, stream: Stream, node: Node) -> Stream:
    if is_selection(node):
        return selected(context, stream, node)
    if stream.places is not None:
        return rearranged(context, stream, node, _moved(stream.places, node), node.output)
    builder = {"MaxPool": _max_pool, "Upsample": _upsample, "Reshape": _reshape, "Transpose": _transpose}[node.op]
    return builder(context, stream, node)


def _after(context: Context, stream: Stream, node: Node) -> Tensor:
    """The node's output with the integers of the stream: its own annotation does not hold while a chain is waiting."""
    output = context.network.tensors[node.output]
    if output.codes is not None and not stream.chain and output.codes.scale.size == stream.codes.scale.size:
        return replace(output, codes=replace(output.codes, dtype=stream.codes.dtype))
    return replace(output, codes=stream.codes)


def unit_fields(context: Context, stream: Stream, node: Node) -> dict[str, Any]:
    """Fields that a unit between two equal types shares with every other."""
    dtype = context.wire(stream)
    return {
        "name": node.name,
        "inputs": (stream.unit,),
        "input_type": dtype,
        "output_type": dtype,
        "channels": stream.channels,
        "source": (node.name,),
    }


def _max_pool(context: Context, stream: Stream, node: Node) -> Stream:
    shape = context.network.tensors[node.output].shape
    g = geometry_of(node.attributes, read_image(node, stream), image_of(node, shape))
    pixels = g.output_dim[0] * g.output_dim[1]
    fits = all(g.input_dim[d] == g.output_dim[d] * g.kernel[d] for d in (0, 1))
    common = unit_fields(context, stream, node)
    if g.kernel == g.stride and fits and not any(g.pads) and g.dilation == (1, 1):
        unit = context.add(MaxPool(pixels=pixels, input_dim=g.input_dim, kernel=g.kernel, **common))
    else:
        if any(g.pads) and int(stream.codes.lo.min()) < 0:
            raise node.error(
                "pads integers that can be negative with zeros",
                expected="unsigned integers",
                remedy="pool before padding",
            )
        window = sliding_window(context, node, stream.unit, stream.channels, common["input_type"], g, depthwise=True)
        common["inputs"] = (window,)
        unit = context.add(Pool(pixels=pixels, output_dim=g.output_dim, kernel=g.kernel, function="max", **common))
    return replace(stream, unit=unit, start=_after(context, stream, node))


def _upsample(context: Context, stream: Stream, node: Node) -> Stream:
    scale = (*node.attributes["scales"][2:], 1)[:2]
    start = _after(context, stream, node)
    unit = context.add(
        Upsample(
            pixels=int(np.prod(start.shape[2:])),
            input_dim=read_image(node, stream),
            scale=(int(scale[0]), int(scale[1])),
            **unit_fields(context, stream, node),
        )
    )
    return replace(stream, unit=unit, start=start)


def _reshape(context: Context, stream: Stream, node: Node) -> Stream:
    before, start = stream.start.shape, _after(context, stream, node)
    after = start.shape
    if before == after:
        return replace(stream, start=start)
    if before[0] != after[0] or stream.channel_axis != 1 or stream.image is not None:
        raise node.error(f"found {before} to {after}", expected="a reshape that flattens an image")
    if len(after) > 2 and after[1] == before[1]:
        return replace(stream, start=start)
    if len(after) != 2:
        return rearranged(context, stream, node, _moved(places_of(stream), node), node.output)
    if stream.codes.scale.size > 1 and after[1] != before[1]:
        raise node.error("flattens integers of different scales", expected="one scale", remedy="quantize per tensor")
    if after[1] == before[1]:
        return replace(stream, start=start)
    height, width = image_of(node, before)
    return replace(stream, start=start, image=(before[1], height, width))


def _moved(places: IntArray, node: Node) -> IntArray:
    """Numbers of elements after a reshape or a transpose."""
    if node.op == "Transpose":
        return np.asarray(places.transpose(node.attributes["perm"]))
    if node.op == "Reshape":
        return places.reshape(1, *node.attributes["shape"][1:])
    raise node.error("reads elements of several pixels at once", expected="a reshape back to the image's shape")


def _transpose(context: Context, stream: Stream, node: Node) -> Stream:
    order, start = node.attributes["perm"], _after(context, stream, node)
    if not _keeps_pixels_in_order(node, stream.channel_axis) or stream.image is not None:
        raise node.error(f"found perm {order}", expected="pixels in their order, the channels first or last")
    return replace(stream, start=start, channel_axis=order.index(stream.channel_axis))
