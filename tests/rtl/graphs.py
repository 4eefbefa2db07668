"""Small graphs that hold every kind of unit, and legal foldings of them at random."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import numpy as np
from networks import Builder, sum_range, thresholds_of, weights_of

from brevitas_a2q._ir.datatypes import IntType
from brevitas_a2q.hw._choices import _foldings, groups
from brevitas_a2q.hw._devices import find_part
from brevitas_a2q.hw._ir import (
    AddStreams,
    ChannelwiseOp,
    Concat,
    DepthToSpace,
    DownSampler,
    DuplicateStreams,
    Folding,
    GlobalAccPool,
    Graph,
    LabelSelect,
    MulStreams,
    Mvau,
    PixelPadding,
    Pool,
    SelectChannels,
    SlidingWindow,
    Thresholding,
    Upsample,
)

INT4, INT5, INT8, UINT4 = IntType("INT4"), IntType("INT5"), IntType("INT8"), IntType("UINT4")


OPTIONS: dict[str, Any] = {"part": "xczu7ev", "target_fps": 200e6 / 300}  # of a build that takes seconds


def joined() -> Graph:
    """Branches of different types that meet: copies, sums, joins, signed pools, labels."""
    b = Builder(4, (4, 4), INT4)
    b.add(DuplicateStreams(**b.common("fork"), copies=3))
    steps = np.sort(np.random.default_rng(0).integers(-7, 8, (4, 5)), axis=1)
    codes = Thresholding(**{**b.common("codes"), "output_type": INT4}, thresholds=steps, activation_bias=-2)
    b.add(codes)
    left = b.common("left")
    b.add(DownSampler(**{**left, "pixels": 4}, input_dim=(4, 4), stride=(2, 2)))
    b.last, b.type, b.size = "fork", INT4, (4, 4)
    doubled = {**b.common("doubled"), "output_type": IntType("INT7")}
    factors = np.array([3, -2, 1, -4])
    b.add(ChannelwiseOp(**doubled, function="mul", parameter_type=INT4, parameters=factors))
    b.max_pool("largest")
    b.last, b.type, b.size = "fork", INT4, (4, 4)
    b.window("taps", 2, 2, depthwise=True)
    b.add(
        Pool(
            **{**b.common("sums"), "output_type": IntType("INT6")}, output_dim=(2, 2), kernel=(2, 2), function="average"
        )
    )
    types = {**b.common("plus"), "inputs": ("largest", "sums"), "input_type": IntType("INT7")}
    b.add(AddStreams(**{**types, "output_type": INT8}))
    both = {**b.common("both"), "inputs": ("left", "plus"), "channels": 8, "input_type": INT8, "output_type": INT8}
    b.add(Concat(**both, input_channels=(4, 4)))
    b.add(GlobalAccPool(**{**b.common("total"), "output_type": IntType("INT10"), "pixels": 1}, input_dim=(2, 2)))
    b.size = (1, 1)
    b.add(ChannelwiseOp(**b.common("shifted"), function="add", parameter_type=INT4, parameters=np.arange(8) - 4))
    select = {**b.common("best"), "channels": 3, "output_type": UINT4}
    return b.add(LabelSelect(**select, labels=8, k=3)).graph("joined")


def reordered() -> Graph:
    """Pixels moved: zeros between them, copies, blocks of channels, strides, dilation, windows of all sorts."""
    b = Builder(2, (3, 3), INT4)
    b.add(PixelPadding(**{**b.common("zeros"), "pixels": 25}, input_dim=(3, 3), stride=(2, 2)))
    b.size = (5, 5)
    b.pad("border")
    window = {**b.common("window"), "pixels": 9}
    b.add(
        SlidingWindow(
            **window,
            input_dim=(7, 7),
            output_dim=(3, 3),
            kernel=(2, 2),
            stride=(2, 2),
            dilation=(2, 2),
            depthwise=False,
        )
    )
    b.size = (3, 3)
    b.mvau("product", 8, 8)
    b.add(DepthToSpace(**{**b.common("blocks"), "pixels": 36, "channels": 2}, input_dim=(3, 3), block_size=2))
    b.size = (6, 6)
    b.add(Upsample(**{**b.common("copies"), "pixels": 12 * 6}, input_dim=(6, 6), scale=(2, 1)))
    b.size = (12, 6)
    return b.window("depthwise", 3, depthwise=True).vvau("taps", 3).graph("reordered")


def gated() -> Graph:
    """A stream times codes of itself, and some channels of the product."""
    b = Builder(4, (4, 4), INT4)
    b.add(DuplicateStreams(**b.common("fork"), copies=2))
    steps = np.sort(np.random.default_rng(1).integers(-7, 8, (4, 15)), axis=1)
    b.add(Thresholding(**{**b.common("codes"), "output_type": UINT4}, thresholds=steps))
    product = {**b.common("product"), "inputs": ("codes", "fork"), "input_type": INT5, "output_type": INT8}
    b.add(MulStreams(**product, factors=(UINT4, INT4)))
    some = {**b.common("some"), "channels": 3}
    return b.add(SelectChannels(**some, selected=(3, 0, 3), input_channels=4)).graph("gated")


def grouped() -> Graph:
    """A convolution of two groups, whose window is streamed group by group."""
    b = Builder(4, (5, 5), INT4).window("window", 3, groups=2)
    weights = weights_of(6, 18)
    low, high = sum_range(weights, INT4)
    accumulator = IntType.of(max(abs(low), abs(high)).bit_length() + 1, True)
    return b.add(
        Mvau(
            **{**b.common("product"), "channels": 6, "output_type": UINT4},
            weight_type=INT4,
            weights=weights,
            accumulator_type=accumulator,
            accumulator_range=(low, high),
            trained_accumulator_bit_width=None,
            thresholds=thresholds_of(6, low, high),
            groups=2,
        )
    ).graph("grouped")


def binary() -> Graph:
    """Weights of -1 and 1 in front of wide and of bipolar inputs."""
    b = Builder(3, (4, 4), IntType("INT8")).window("window", 3)
    for name, outputs, products, written in (("first", 6, 27, IntType("BIPOLAR")), ("second", 4, 6, None)):
        weights = np.random.default_rng(products).choice(np.array([-1, 1]), (outputs, products))
        low, high = sum_range(weights, b.type)
        accumulator = IntType.of(max(abs(low), abs(high)).bit_length() + 1, True)
        b.add(
            Mvau(
                **{**b.common(name), "channels": outputs, "output_type": written or accumulator},
                weight_type=IntType("BIPOLAR"),
                weights=weights,
                accumulator_type=accumulator,
                accumulator_range=(low, high),
                trained_accumulator_bit_width=None,
                thresholds=np.arange(outputs)[:, None] * 9 - 20 if written else None,
            )
        )
    return b.graph("binary")


def folded(graph: Graph, seed: int) -> dict[str, Folding]:
    """A legal folding of every unit, drawn at random."""
    rng, found = random.Random(seed), {}
    for group in groups(graph):
        row = rng.choice(list(_foldings(group, find_part("xczu7ev"), False)))
        found |= {unit.name: folding for unit, folding in zip(group, row, strict=True)}
    return found


def least(graph: Graph) -> dict[str, Folding]:
    """One element of everything at a time."""
    return {unit.name: replace(Folding()) for unit in graph.units}
