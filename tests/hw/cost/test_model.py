"""Every kind of unit has a price, made of named terms."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from brevitas_a2q._ir.datatypes import IntType
from brevitas_a2q.hw import _ir as ir
from brevitas_a2q.hw._cost.model import cost
from brevitas_a2q.hw._devices.part import Part

PART = Part("example", "UltraScale+", lut=230400, ff=460800, bram18=624, uram=96, dsp=1728, dsp_block="DSP48E2")
UINT4, INT4, INT16 = IntType("UINT4"), IntType("INT4"), IntType("INT16")
RNG = np.random.default_rng(0)


def _base(channels: int = 16, pixels: int = 64, kind: IntType = UINT4, out: IntType = UINT4) -> dict:
    return {
        "name": "unit",
        "inputs": ("",),
        "input_type": kind,
        "output_type": out,
        "pixels": pixels,
        "channels": channels,
    }


def _weights(outputs: int, products: int) -> dict:
    return {
        "weight_type": INT4,
        "weights": RNG.integers(-7, 8, (outputs, products)),
        "accumulator_type": INT16,
        "accumulator_range": (-30000, 30000),
        "trained_accumulator_bit_width": 16,
        "thresholds": np.sort(RNG.integers(-30000, 30000, (outputs, 15)), axis=1),
    }


UNITS: list[tuple[ir.Unit, ir.Folding]] = [
    (ir.Mvau(**_base(), **_weights(16, 72)), ir.Folding(pe=4, simd=8)),
    (ir.Mvau(**_base(), **_weights(16, 72)), ir.Folding(pe=4, simd=8, compute="dsp")),
    (ir.Mvau(**_base(), **_weights(16, 72)), ir.Folding(compute="unrolled")),
    (ir.Vvau(**_base(), **_weights(16, 9), kernel=(3, 3), output_dim=(8, 8)), ir.Folding(pe=4)),
    (
        ir.SlidingWindow(
            **_base(),
            input_dim=(10, 10),
            output_dim=(8, 8),
            kernel=(3, 3),
            stride=(1, 1),
            dilation=(1, 1),
            depthwise=False,
        ),
        ir.Folding(simd=4),
    ),
    (
        ir.SlidingWindow(
            **_base(),
            input_dim=(10, 10),
            output_dim=(8, 8),
            kernel=(3, 3),
            stride=(1, 1),
            dilation=(1, 1),
            depthwise=True,
        ),
        ir.Folding(simd=16, parallel_window=True),
    ),
    (ir.Padding(**_base(), input_dim=(8, 8), pads=(1, 1, 1, 1)), ir.Folding(simd=4)),
    (ir.PixelPadding(**_base(), input_dim=(8, 8), stride=(2, 2)), ir.Folding(simd=4)),
    (
        ir.Thresholding(**_base(kind=INT16), thresholds=np.sort(RNG.integers(-9999, 9999, (16, 15)), axis=1)),
        ir.Folding(pe=2),
    ),
    (ir.MaxPool(**_base(), input_dim=(16, 16), kernel=(2, 2)), ir.Folding()),
    (ir.Pool(**_base(), output_dim=(8, 8), kernel=(2, 2), function="max"), ir.Folding(pe=4)),
    (ir.Pool(**_base(), output_dim=(8, 8), kernel=(3, 3), function="average"), ir.Folding(pe=4)),
    (ir.GlobalAccPool(**_base(out=IntType("UINT10")), input_dim=(8, 8)), ir.Folding(pe=4)),
    (ir.AddStreams(**_base(out=IntType("UINT5"))), ir.Folding(pe=4)),
    (
        ir.MulStreams(**_base(out=IntType("UINT8")) | {"inputs": ("", "")}, factors=(UINT4, UINT4)),
        ir.Folding(pe=4),
    ),
    (ir.SelectChannels(**_base(), selected=tuple(range(16)), input_channels=32), ir.Folding()),
    (ir.ChannelwiseOp(**_base(out=IntType("INT9")), function="add", parameter_type=INT4), ir.Folding(pe=4)),
    (ir.ChannelwiseOp(**_base(out=IntType("INT9")), function="mul", parameter_type=INT4), ir.Folding(pe=4)),
    (ir.ChannelwiseOp(**_base(out=IntType("BINARY")), function="cmp_le", parameter_type=INT4), ir.Folding(pe=4)),
    (ir.DuplicateStreams(**_base(), copies=2), ir.Folding(pe=4)),
    (ir.Concat(**_base(), input_channels=(8, 8)), ir.Folding()),
    (ir.Upsample(**_base(), input_dim=(4, 4), scale=(2, 2)), ir.Folding()),
    (ir.DepthToSpace(**_base(), input_dim=(4, 4), block_size=2), ir.Folding()),
    (ir.DownSampler(**_base(), input_dim=(8, 8), stride=(2, 2)), ir.Folding(simd=4)),
    (ir.LabelSelect(**_base(kind=INT16), labels=10), ir.Folding(pe=2)),
    (ir.DataWidthConverter(**_base(), input_width=8, output_width=24), ir.Folding()),
    (ir.DataWidthConverter(**_base(), input_width=24, output_width=16), ir.Folding()),
    (ir.Fifo(**_base(), width=16, depth=2), ir.Folding()),
    (ir.Fifo(**_base(), width=16, depth=200), ir.Folding()),
]


def _label(case: object) -> str:
    return case.kind if isinstance(case, ir.Unit) else ""


def test_every_kind_is_covered() -> None:
    kinds = {kind.kind for kind in ir.KINDS if kind not in (ir.Input, ir.Island)}
    assert {unit.kind for unit, _ in UNITS} == kinds


@pytest.mark.parametrize(("unit", "folding"), UNITS, ids=_label)
def test_no_unit_is_free_and_terms_sum_to_the_total(unit: ir.Unit, folding: ir.Folding) -> None:
    unit.check(folding)
    priced = cost(unit, folding, PART)
    assert priced.resources.lut > 0
    assert priced.cycles > 0
    assert all(term.lut >= 0 for term in priced.terms)
    assert all((term.basis == "exact") == (term.error_band is None) for term in priced.terms)
    assert {term.basis for term in priced.terms} <= {"exact", "fitted"}
    assert sum(term.lut for term in priced.terms) == pytest.approx(priced.resources.lut, abs=0.5)


def test_fifos_in_blocks_do_not_pay_for_luts_that_select() -> None:
    fifo = ir.Fifo(**_base(), width=8, depth=1024)
    deep = replace(fifo, depth=32 * 1024)
    luts = [cost(unit, ir.Folding(ram_style="block"), PART).resources.lut for unit in (fifo, deep)]
    assert luts[0] < luts[1] < luts[0] + 20 < 70  # five more bits of both pointers and the level


def test_thresholds_in_blocks_leave_only_their_comparators_in_luts() -> None:
    table = np.sort(RNG.integers(-9999, 9999, (64, 255)), axis=1)
    unit = ir.Thresholding(**_base(channels=64, kind=IntType("INT22")), thresholds=table)
    blocks, luts = (
        cost(unit, ir.Folding(ram_style_thresholds=style), PART).resources for style in ("block", "distributed")
    )
    assert 0.3 * 8 * 22 < blocks.lut < 8 * 22 < luts.lut
    assert blocks.bram18 > 0


def test_one_factor_for_all_channels_is_shifts_and_adders() -> None:
    def lut(factor: int) -> int:
        unit = ir.ChannelwiseOp(
            **_base(out=IntType("UINT12")),
            function="mul",
            parameter_type=IntType("UINT8"),
            parameters=np.full(16, factor),
        )
        return cost(unit, ir.Folding(pe=4), PART).resources.lut

    assert 0 < lut(64) == lut(1) < lut(5) < lut(77)


@pytest.mark.parametrize("compute", ["lut", "dsp"])
def test_luts_grow_with_every_accumulator_bit(compute: str) -> None:
    unit = ir.Mvau(**_base(), **_weights(16, 72))
    folding = ir.Folding(pe=4, simd=8, compute=compute)  # type: ignore[arg-type]
    luts = [
        cost(replace(unit, accumulator_type=IntType.of(p, signed=True)), folding, PART).resources.lut
        for p in range(2, 33)
    ]
    assert all(a < b for a, b in pairwise(luts))


def test_dsp_multipliers_leave_luts_for_dsp_blocks() -> None:
    unit = replace(ir.Mvau(**_base(), **_weights(16, 72)), thresholds=None)
    lut, dsp = (cost(unit, ir.Folding(pe=4, simd=8, compute=c), PART).resources for c in ("lut", "dsp"))
    assert dsp.dsp == 8 * 2  # rows in twos
    assert lut.dsp == 0
    assert dsp.lut < lut.lut


@pytest.mark.parametrize("bits", [(2, 8), (3, 5), (4, 8)])
def test_weights_and_activations_are_interchangeable(bits: tuple[int, int]) -> None:
    unit = replace(ir.Mvau(**_base(), **_weights(16, 72)), thresholds=None, output_type=INT16)
    folding = ir.Folding(pe=4, simd=8, ram_style="block")
    luts = []
    for weight, activation in (bits, bits[::-1]):
        types = {"weight_type": IntType.of(weight, signed=True), "input_type": IntType.of(activation, signed=True)}
        few = np.clip(unit.weights, types["weight_type"].range.lo, types["weight_type"].range.hi)
        luts.append(cost(replace(unit, **types, weights=few), folding, PART).resources.lut)
    assert luts[0] == pytest.approx(luts[1], rel=0.04)  # an unsigned factor gets a sign bit


def test_weights_that_hold_little_take_little_memory() -> None:
    unit = replace(ir.Mvau(**_base(), **_weights(16, 72)), thresholds=None, output_type=INT16)
    folding = ir.Folding(pe=4, simd=8, ram_style="distributed")

    def lut(weights: np.ndarray) -> int:
        return cost(replace(unit, weights=weights), folding, PART).resources.lut

    columns = np.tile(unit.weights[:1], (16, 1))
    zero = lut(np.zeros_like(unit.weights))
    assert zero < lut(columns) < lut(unit.weights)
    assert zero == cost(unit, replace(folding, ram_style="block"), PART).resources.lut
