"""Averages, pixel shuffles and explicit padding: they work on integers, so they settle what was waiting."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from brevitas_a2q._ir.network import Node
from brevitas_a2q.hw._frontend.context import Context, image_of, read_image
from brevitas_a2q.hw._frontend.integers import integers
from brevitas_a2q.hw._frontend.moves import unit_fields
from brevitas_a2q.hw._frontend.stream import Stream
from brevitas_a2q.hw._frontend.windows import geometry_of, sliding_window
from brevitas_a2q.hw._ir import DepthToSpace, GlobalAccPool, Padding, Pool

__all__ = ["average_pool", "depth_to_space", "global_average_pool", "pad"]


def average_pool(context: Context, node: Node) -> Stream:
    """The sum of each window; the division is part of the scale."""
    stream = integers(context, node, node.inputs[0])
    output = context.network.tensors[node.output]
    if output.codes is None:
        raise node.error("averages integers of different scales", expected="one scale")
    g = geometry_of(node.attributes, read_image(node, stream), image_of(node, output.shape))
    common = unit_fields(context, stream, node)
    window = sliding_window(context, node, stream.unit, stream.channels, common["input_type"], g, depthwise=True)
    unit = context.add(
        Pool(
            pixels=g.output_dim[0] * g.output_dim[1],
            output_dim=g.output_dim,
            kernel=g.kernel,
            function="average",
            accumulator_bit_width=output.codes.dtype.bit_width,
            **{**common, "inputs": (window,), "output_type": output.codes.dtype},
        )
    )
    return Stream(unit, output, stream.channel_axis)


def global_average_pool(context: Context, node: Node) -> Stream:
    """The sum over the image; the division is part of the scale."""
    stream = integers(context, node, node.inputs[0])
    output = context.network.tensors[node.output]
    if output.codes is None:
        raise node.error("averages integers of different scales", expected="one scale")
    unit = context.add(
        GlobalAccPool(
            pixels=1,
            input_dim=read_image(node, stream),
            **{**unit_fields(context, stream, node), "output_type": output.codes.dtype},
        )
    )
    return Stream(unit, output, 1)


def depth_to_space(context: Context, node: Node) -> Stream:
    """Pixel shuffle."""
    stream = integers(context, node, node.inputs[0])
    output = context.network.tensors[node.output]
    if output.codes is None:
        raise node.error("mixes channels of different scales", expected="one scale", remedy="quantize in front of it")
    common = {**unit_fields(context, stream, node), "channels": output.shape[1]}
    unit = context.add(
        DepthToSpace(
            pixels=output.shape[2] * output.shape[3],
            input_dim=read_image(node, stream),
            block_size=node.attributes["blocksize"],
            **common,
        )
    )
    return Stream(unit, replace(output, codes=replace(output.codes, dtype=common["output_type"])), 1)


def pad(context: Context, node: Node) -> Stream:
    """Padding that is a node of its own."""
    stream = integers(context, node, node.inputs[0])
    output = context.network.tensors[node.output]
    pads, rank = node.attributes["pads"], len(output.shape)
    if any(pads[:2]) or any(pads[rank : rank + 2]) or output.codes is None:
        raise node.error(f"found pads {pads}", expected="padding of the image")
    begins, ends = (*pads[2:rank], 0)[:2], (*pads[rank + 2 :], 0)[:2]
    common = unit_fields(context, stream, node)
    unit = context.add(
        Padding(
            pixels=int(np.prod(output.shape[2:])),
            input_dim=read_image(node, stream),
            pads=(begins[0], begins[1], ends[0], ends[1]),
            **common,
        )
    )
    return Stream(unit, replace(output, codes=replace(output.codes, dtype=common["output_type"])), 1)
