"""The worst case of a layer is over the integers that reach it, not over all that its wires can hold."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from networks import Builder

from brevitas_a2q._ir.datatypes import IntType
from brevitas_a2q.bounds import IntRange, required_bit_width
from brevitas_a2q.hw._frontend import read_graph
from brevitas_a2q.hw._ir import Graph, Mvau, Padding, PixelPadding, SlidingWindow
from brevitas_a2q.rtl._input_values import input_values, rows_at_once, sums_of
from brevitas_a2q.rtl._witness import worst_inputs

GRAPH = Builder(3, (4, 4), IntType("INT4")).conv("only", 4).graph()
BY_TYPE, BY_ANALYSIS = IntRange(-7, 7), IntRange(0, 3)


def layer(*arriving: IntRange, bits: int) -> Mvau:
    unit = GRAPH["only"]
    assert isinstance(unit, Mvau)
    return replace(unit, arriving=arriving, accumulator_type=IntType.of(bits, signed=True))


def needed(values: IntRange) -> int:
    least, most = (terms.sum(axis=1) for terms in sums_of(layer(values, bits=32).weights, values))
    return required_bit_width(int(least.min()), int(most.max()))


@pytest.mark.parametrize(
    ("bits", "expected"),
    [(needed(BY_TYPE), BY_TYPE), (needed(BY_TYPE) - 1, BY_ANALYSIS), (2, BY_ANALYSIS)],
)
def test_an_accumulator_is_driven_by_all_that_it_is_said_to_hold(bits: int, expected: IntRange) -> None:
    unit = layer(BY_TYPE, BY_ANALYSIS, bits=bits)
    assert input_values(GRAPH, unit) == expected
    vectors, least, most = worst_inputs(GRAPH, unit)
    assert set(vectors.flat) <= {expected.lo, expected.hi}
    assert (unit.weights @ vectors[0]).min() == least
    assert (unit.weights @ vectors[1]).max() == most


def test_a_unit_made_by_hand_has_its_type() -> None:
    assert input_values(GRAPH, layer(bits=32)) == IntRange(-8, 7)


def test_a_file_says_what_arrives(network: Path) -> None:
    _, second, third = (unit for unit in read_graph(network).units if unit.kind in ("MVAU", "VVAU"))
    for unit in (second, third):
        by_type, by_analysis = unit.arriving  # type: ignore[attr-defined]
        assert by_type == IntRange(0, 7)
        assert by_analysis.hi <= 7


def test_behind_zeros_between_pixels_one_phase_of_the_weights_is_met() -> None:
    """Of 3 x 3 taps over pixels two apart, four, two, two or one meet pixels."""
    stream = {"input_type": IntType("INT4"), "output_type": IntType("INT4"), "channels": 2}
    zeros = PixelPadding(name="zeros", inputs=("",), pixels=9, input_dim=(2, 2), stride=(2, 2), **stream)
    pad = Padding(name="pad", inputs=("zeros",), pixels=25, input_dim=(3, 3), pads=(1, 1, 1, 1), **stream)
    sizes = {"input_dim": (5, 5), "output_dim": (3, 3), "kernel": (3, 3), "stride": (1, 1), "dilation": (1, 1)}
    window = SlidingWindow(name="window", inputs=("pad",), pixels=9, depthwise=False, **sizes, **stream)
    layer = Builder(2, (5, 5), IntType("INT4")).conv("layer", 4).units[-1]
    assert isinstance(layer, Mvau)
    layer = replace(layer, inputs=("window",), weights=np.arange(1, 1 + 4 * 18).reshape(4, 18), arriving=(BY_ANALYSIS,))
    graph = Graph("transposed", (zeros, pad, window, layer))

    rows = rows_at_once(graph, layer)
    assert sorted(np.count_nonzero(rows[:, 0], axis=1)) == [2, 4, 4, 8]
    assert (rows.sum(axis=0) == layer.weights).all()
    vectors, least, most = worst_inputs(graph, layer)
    assert np.count_nonzero(vectors[1]) == 8
    corners = layer.weights[3].reshape(3, 3, 2)[::2, ::2]
    assert (least, most) == (0, 3 * corners.sum())
