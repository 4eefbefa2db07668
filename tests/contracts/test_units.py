"""What every kind of unit promises."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from math import ceil

import pytest
from unit_samples import UNITS, values_of

from brevitas_a2q._ir.datatypes import IntType
from brevitas_a2q.hw import _ir as ir
from brevitas_a2q.hw._devices import find_part
from brevitas_a2q.hw._policies import POLICIES, apply_policy
from brevitas_a2q.hw._units.base import WIDEST_HLS_WORD

PART = find_part("ZCU104")
TYPES = [IntType(name) for name in ("INT32", "UINT8", "INT3", "BINARY")]
ids = lambda unit: f"{unit.kind}{UNITS.index(unit)}"  # noqa: E731
every_kind = pytest.mark.parametrize("unit", UNITS, ids=ids)
built = pytest.mark.parametrize("unit", [u for u in UNITS if not isinstance(u, ir.Input)], ids=ids)


def test_every_kind_has_a_sample() -> None:
    assert {type(unit) for unit in UNITS} == set(ir.KINDS)


@every_kind
@pytest.mark.parametrize("kind", TYPES, ids=lambda t: t.name)
def test_no_output_is_narrower_than_its_values(unit: ir.Unit, kind: IntType) -> None:
    types = [kind] + [IntType("INT5")] * (len(unit.inputs) - 1)
    found = unit.retyped(types[: max(1, len(unit.inputs))])
    if isinstance(unit, ir.Input):
        assert found == unit
        return
    assert all(t.range.lo >= found.input_type.range.lo and t.range.hi <= found.input_type.range.hi for t in types)
    values = values_of(unit, [(t.range.lo, t.range.hi) for t in types])
    if values is None:
        assert found.output_type == unit.output_type  # codes, indices, and sums of the accumulator's width
    else:
        assert found.output_type.range.lo <= values[0]
        assert found.output_type.range.hi >= values[1]
        if not isinstance(unit, ir.ChannelwiseOp | ir.MulStreams):
            assert found.output_type.bit_width <= max(kind.bit_width, 5) + 8


@built
def test_policies_leave_types_that_hold(unit: ir.Unit) -> None:
    """A layer of bare sums in front: under every policy each input is as wide as what is written into it."""
    if not unit.inputs or isinstance(unit, ir.DataWidthConverter | ir.Fifo):
        return
    sums = next(u for u in UNITS if isinstance(u, ir.Mvau) and u.thresholds is None)
    sums = replace(sums, name="sums", pixels=unit.pixels, channels=unit.channels)
    reader = replace(unit, inputs=("sums",) * len(unit.inputs))
    reader = reader.retyped([sums.output_type] * len(unit.inputs))
    graph = ir.Graph("pair", (sums, reader))
    for policy in (*POLICIES, "fixed:24"):
        before, after = apply_policy(graph, policy).graph.units
        assert after.input_type.range.lo <= before.output_type.range.lo
        assert after.input_type.range.hi >= before.output_type.range.hi
        values = values_of(reader, [(before.output_type.range.lo, before.output_type.range.hi)] * len(reader.inputs))
        if values is not None:
            assert after.output_type.range.lo <= values[0] <= values[1] <= after.output_type.range.hi


@built
def test_foldings_are_legal_and_stream_every_element(unit: ir.Unit) -> None:
    foldings = list(unit.foldings(PART))
    assert foldings
    assert len(set(foldings)) == len(foldings)
    assert not any(folding.compute == "unrolled" for folding in foldings)
    for folding in foldings:
        unit.check(folding)
        words = ceil(unit.elements_per_pixel / unit.output_elements(folding))
        assert words * unit.output_elements(folding) >= unit.elements_per_pixel
        assert unit.cycles(folding) >= 1
        if unit.in_hls:
            assert unit.widest_word(folding) <= WIDEST_HLS_WORD


@built
def test_flows_cover_every_pixel_in_order(unit: ir.Unit) -> None:
    for folding in list(unit.foldings(PART))[:6]:
        inputs = unit.input_pixels(unit.input_shape[0])
        flow = unit.flow(folding, unit.cycles(folding), inputs)
        assert flow.pixels == unit.pixels
        need = flow.need.at(range(flow.pixels)).tolist()
        assert all(a <= b for a, b in pairwise(need))
        assert need[-1] <= inputs - 1
        assert flow.interval.sums().last[-1] >= 0.9 * unit.cycles(folding) - 2


@built
def test_costs_are_not_negative_and_styles_are_offered_where_they_are_legal(unit: ir.Unit) -> None:
    versal = find_part("xcvc1902")
    for folding in list(unit.foldings(PART))[:4]:
        assert unit.bill(folding, PART).lut >= 0
        for memory in unit.memories(folding):
            assert ("ultra" in memory.styles(PART)) == (not memory.initialised)
            assert "ultra" in memory.styles(versal)
            assert "ultra" not in memory.styles(find_part("xc7z020"))
            for style in memory.styles(PART):
                unit.bill(replace(folding, **dict.fromkeys(memory.fields, style)), PART)


@pytest.mark.parametrize("unit", [u for u in UNITS if isinstance(u, ir.MatrixUnit)], ids=ids)
@pytest.mark.parametrize("compute", ["lut", "dsp"])
def test_narrower_accumulators_never_cost_more(unit: ir.MatrixUnit, compute: ir.Compute) -> None:
    folding = ir.Folding(unit.pe_limit, 1, compute)
    luts = [unit.with_accumulator(IntType.of(p, signed=True)).bill(folding, PART).lut for p in range(4, 40)]
    assert all(a <= b + 1e-9 for a, b in pairwise(luts))
    assert luts[0] < luts[-1]


@every_kind
def test_an_accelerators_input_has_the_shape_its_reader_needs(unit: ir.Unit) -> None:
    if "" not in unit.inputs or isinstance(unit, ir.DataWidthConverter | ir.Fifo):
        return
    found = ir.Graph("one", (unit,)).input
    assert unit.input_pixels(found.pixels) in (found.pixels, unit.input_pixels(0))
    assert found.channels == unit.input_shape[1]
