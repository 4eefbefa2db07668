"""Channels that are sliced, split, picked or shuffled: which of the input's channel stands where."""

from __future__ import annotations

from dataclasses import replace
from math import prod
from typing import Any, Final

import numpy as np

from brevitas_a2q._ir.dot_product import IntArray
from brevitas_a2q._ir.network import OPAQUE, Node
from brevitas_a2q.hw._frontend.context import Context
from brevitas_a2q.hw._frontend.evaluation import computed
from brevitas_a2q.hw._frontend.stream import Stream
from brevitas_a2q.hw._ir import SelectChannels

__all__ = ["SELECTING", "is_selection", "places_of", "rearranged", "selected"]

SELECTING: Final = ("Gather", "Slice", "Split")


def is_selection(node: Node) -> bool:
    """Whether a node takes some of a tensor's elements, and computes nothing."""
    return node.op == OPAQUE and node.attributes["op"] in SELECTING


def places_of(stream: Stream) -> IntArray:
    """Number of every element of a stream's tensor.  # shape: (1, *sizes of the tensor)"""
    return stream.places if stream.places is not None else _numbered(stream.start.shape)


def _numbered(shape: tuple[int, ...]) -> IntArray:
    return np.arange(prod(shape[1:]), dtype=np.int64).reshape(1, *shape[1:])


def selected(context: Context, stream: Stream, node: Node, output: int = 0) -> Stream:
    """The stream behind one output of a slice, a split or a gather."""
    results = computed(context.network, node, {node.inputs[0]: places_of(stream)})
    return rearranged(context, stream, node, results[output], node.outputs[output])


def rearranged(context: Context, stream: Stream, node: Node, places: Any, output: str) -> Stream:
    """A unit that selects channels where that is what elements were moved for, else a stream that waits for more.

    A channel shuffle splits channels in two axes, swaps these, and joins them again: only then does each element lie at
    the pixel where it was.
    """
    before = stream.start.shape
    after = places.shape
    if stream.channel_axis != 1 or stream.image is not None:
        raise node.error("moves elements of a matrix or a flattened image", expected="channels on axis 1")
    if len(after) != len(before) or after[2:] != before[2:]:
        return replace(stream, places=places)
    pixels = prod(before[2:])
    flat = places.reshape(after[1], pixels)
    channels = flat[:, 0] // pixels
    if (flat != channels[:, None] * pixels + np.arange(pixels)).any():
        return replace(stream, places=places)
    start = replace(context.network.tensors[output], codes=_codes(stream, node))
    if np.array_equal(channels, np.arange(before[1])):
        return replace(stream, start=start, places=None)
    dtype = context.wire(stream)
    unit = context.add(
        SelectChannels(
            name=node.name if len(node.outputs) == 1 else f"{node.name}/{node.outputs.index(output)}",
            inputs=(stream.unit,),
            input_type=dtype,
            output_type=dtype,
            pixels=pixels,
            channels=after[1],
            source=(node.name,),
            selected=tuple(channels.tolist()),
            input_channels=before[1],
        )
    )
    return replace(stream, unit=unit, start=start, places=None)


def _codes(stream: Stream, node: Node) -> Any:
    """Annotations that hold for any selection of the channels."""
    codes = stream.codes
    if codes.scale.size > 1:
        raise node.error("moves channels of different scales", expected="one scale", remedy="quantize per tensor")
    return replace(codes, lo=np.asarray(codes.range.lo), hi=np.asarray(codes.range.hi), scale=codes.scale.reshape(()))
