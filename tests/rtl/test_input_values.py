"""The worst case of a layer is over the integers that reach it, not over all that its wires can hold."""

from __future__ import annotations

from dataclasses import replace

import pytest
from networks import Builder

from brevitas_a2q._ir.datatypes import IntType
from brevitas_a2q.bounds import IntRange
from brevitas_a2q.hw._ir import Graph, Mvau
from brevitas_a2q.rtl._input_values import input_values, sums_of
from brevitas_a2q.rtl._witness import worst_inputs


def ranged(unit: Mvau, values: IntRange) -> Mvau:
    least, most = sums_of(unit, values)
    return replace(unit, accumulator_range=(int(least.sum(axis=1).min()), int(most.sum(axis=1).max())))


def two_layers(steps: int, bias: int, pad: bool) -> Graph:
    b = Builder(2, (4, 4)).conv("first", 4)
    first = b.units[-1]
    assert isinstance(first, Mvau)
    b.units[-1] = replace(
        first, thresholds=first.thresholds[:, :steps], activation_bias=bias, output_type=IntType("INT5")
    )
    b.type = IntType("INT5")
    return b.conv("second", 3, pad=int(pad)).graph()


@pytest.mark.parametrize(
    ("steps", "bias", "pad", "expected"),
    [(5, -2, False, (-2, 3)), (9, 3, False, (3, 12)), (9, 3, True, (0, 12))],
)
def test_thresholds_leave_codes_out(steps: int, bias: int, pad: bool, expected: tuple[int, int]) -> None:
    graph = two_layers(steps, bias, pad)
    values = IntRange(*expected)
    second = ranged(graph["second"], values)
    assert input_values(graph, second) == values
    vectors, least, most = worst_inputs(graph, second)
    assert (least, most) == second.accumulator_range
    assert (second.weights @ vectors[0]).min() == least
    assert (second.weights @ vectors[1]).max() == most


def test_a_narrow_type_has_no_lowest_code() -> None:
    graph = Builder(3, (4, 4), IntType("INT4")).conv("only", 4).graph()
    only = ranged(graph["only"], IntRange(-7, 7))
    assert input_values(graph, only) == IntRange(-7, 7)
    assert input_values(graph, ranged(only, IntRange(-8, 7))) == IntRange(-8, 7)
