"""One or more units of every kind, and what their outputs can be, computed from their values alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from brevitas_a2q._ir.datatypes import IntType
from brevitas_a2q.hw import _ir as ir

Range = tuple[int, int]
U4, I6 = IntType("UINT4"), IntType("INT6")
_RNG = np.random.default_rng(0)


def _common(channels: int = 8, pixels: int = 16, inputs: tuple[str, ...] = ("",), **fields: Any) -> dict[str, Any]:
    return {
        "name": "unit",
        "inputs": inputs,
        "input_type": U4,
        "output_type": U4,
        "pixels": pixels,
        "channels": channels,
        **fields,
    }


def _matrix(outputs: int, products: int, thresholds: bool = True) -> dict[str, Any]:
    weights = _RNG.integers(-7, 8, (outputs, products))
    reach = int(15 * np.abs(weights).sum(axis=1).max())
    table = np.sort(_RNG.integers(-reach, reach, (outputs, 15)), axis=1)
    accumulator = IntType.of(reach.bit_length() + 1, signed=True)
    return {
        "weight_type": IntType("INT4"),
        "weights": weights,
        "accumulator_type": accumulator,
        "accumulator_range": (-reach, reach),
        "trained_accumulator_bit_width": None,
        "thresholds": table if thresholds else None,
        "output_type": U4 if thresholds else accumulator,
    }


def _wires(**fields: Any) -> dict[str, Any]:
    return {**_common(1, 1), "input_type": IntType("BINARY"), "output_type": IntType("BINARY"), **fields}


WINDOW = {"input_dim": (6, 6), "output_dim": (4, 4), "kernel": (3, 3), "stride": (1, 1), "dilation": (1, 1)}
UNITS: list[ir.Unit] = [
    ir.AddStreams(**_common(inputs=("", ""))),
    ir.ChannelwiseOp(**_common(), function="mul", parameter_type=I6, parameters=np.array([3, -2, 1, 5, -7, 0, 2, 4])),
    ir.ChannelwiseOp(**_common(), function="add", parameter_type=I6, parameters=np.arange(-4, 4)),
    ir.ChannelwiseOp(**_common(output_type=IntType("BINARY")), function="cmp_ge", parameter_type=I6),
    ir.Concat(**_common(inputs=("", "")), input_channels=(3, 5)),
    ir.DataWidthConverter(**_wires(), input_width=8, output_width=24),
    ir.DepthToSpace(**_common(channels=2, pixels=64), input_dim=(4, 4), block_size=2),
    ir.DownSampler(**_common(pixels=4), input_dim=(4, 4), stride=(2, 2)),
    ir.DuplicateStreams(**_common(), copies=3),
    ir.Fifo(**_wires(), width=8, depth=100),
    ir.GlobalAccPool(**_common(pixels=1, output_type=IntType("UINT8")), input_dim=(4, 4)),
    ir.Input.of(16, 8, U4),
    ir.Island(**_common()),
    ir.Island(**_common(), stand_in=ir.Thresholding(**_common(), thresholds=np.tile(np.arange(20), (8, 1)))),
    ir.LabelSelect(**_common(channels=1, pixels=1), labels=10),
    ir.MaxPool(**_common(pixels=4), input_dim=(4, 4), kernel=(2, 2)),
    ir.MulStreams(**_common(inputs=("", "")), factors=(U4, I6)),
    ir.Mvau(**{**_common(8, 16), **_matrix(8, 72)}),
    ir.Mvau(**{**_common(8, 1), **_matrix(8, 24, thresholds=False)}),
    ir.Padding(**_common(pixels=36), input_dim=(4, 4), pads=(1, 1, 1, 1)),
    ir.PixelPadding(**_common(pixels=49), input_dim=(4, 4), stride=(2, 2)),
    ir.Pool(**_common(pixels=16), output_dim=(4, 4), kernel=(3, 3), function="max"),
    ir.Pool(
        **_common(pixels=16, output_type=IntType("UINT8")),
        output_dim=(4, 4),
        kernel=(3, 3),
        function="average",
        accumulator_bit_width=8,
    ),
    ir.SelectChannels(**_common(channels=3), selected=(4, 0, 2), input_channels=6),
    ir.SlidingWindow(**_common(), **WINDOW, depthwise=False),
    ir.SlidingWindow(**_common(), **WINDOW, depthwise=True),
    ir.Thresholding(**_common(), thresholds=np.tile(np.arange(15), (8, 1))),
    ir.Upsample(**_common(pixels=64), input_dim=(4, 4), scale=(2, 2)),
    ir.Vvau(**{**_common(8, 16), **_matrix(8, 9)}, kernel=(3, 3), output_dim=(4, 4)),
]


def _hull(ranges: Sequence[Range]) -> Range:
    return min(lo for lo, _ in ranges), max(hi for _, hi in ranges)


def _total(count: int) -> Callable[[ir.Unit, Sequence[Range]], Range]:
    return lambda unit, ranges: (ranges[0][0] * count, ranges[0][1] * count)


def _per_channel(unit: ir.ChannelwiseOp, ranges: Sequence[Range]) -> Range:
    assert unit.parameters is not None
    operate = np.multiply if unit.function == "mul" else np.add
    results = [int(operate(x, k)) for x in ranges[0] for k in unit.parameters.tolist()]
    return min(results), max(results)


def values_of(unit: ir.Unit, ranges: Sequence[Range]) -> Range | None:
    """Lowest and highest output for these inputs; None where outputs are codes, indices or sums of a fixed width."""
    match unit:
        case ir.AddStreams():
            return sum(lo for lo, _ in ranges), sum(hi for _, hi in ranges)
        case ir.MulStreams():
            products = [a * b for a in ranges[0] for b in ranges[1]]
            return min(products), max(products)
        case ir.ChannelwiseOp(function="mul" | "add"):
            return _per_channel(unit, ranges)
        case ir.GlobalAccPool():
            return _total(unit.input_dim[0] * unit.input_dim[1])(unit, ranges)
        case ir.Pool(function="average"):
            return _total(unit.kernel[0] * unit.kernel[1])(unit, ranges)
        case ir.ChannelwiseOp() | ir.Island() | ir.LabelSelect() | ir.Thresholding() | ir.MatrixUnit() | ir.Input():
            return None
    return _hull(ranges)
