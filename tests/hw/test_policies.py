"""Accumulator policies: widths, warnings, and the streams behind them."""

from __future__ import annotations

from dataclasses import replace

import pytest
from networks import Builder, residual_net, small_cnn

from brevitas_a2q._ir.datatypes import IntType
from brevitas_a2q.bounds import data_type_bound, required_bit_width
from brevitas_a2q.errors import A2QError
from brevitas_a2q.hw._ir import Graph, Mvau, Thresholding
from brevitas_a2q.hw._policies import POLICIES, accumulator_bit_width, apply_policy, parse_policy


def conv(graph: Graph, name: str = "conv2") -> Mvau:
    unit = graph[name]
    assert isinstance(unit, Mvau)
    return unit


def test_widths() -> None:
    unit = conv(small_cnn())
    exact = required_bit_width(*unit.accumulator_range)
    widths = {policy: accumulator_bit_width(unit, policy) for policy in POLICIES}
    assert widths["32"] == 32
    assert widths["data-type"] == data_type_bound(72, 4, 4, False)
    assert widths["exact"] == widths["trained"] == exact
    assert widths["range"] == exact <= widths["data-type"]
    narrowed = replace(unit, analysed_range=(-3, 3))
    assert accumulator_bit_width(narrowed, "range") == 3
    assert accumulator_bit_width(narrowed, "exact") == exact
    assert accumulator_bit_width(replace(unit, trained_accumulator_bit_width=19), "trained") == 19
    assert accumulator_bit_width(unit, "fixed:9") == 9


def test_policies_are_applied_to_every_layer_without_a_cap() -> None:
    for policy in ("32", "fixed:12", "fixed:64"):
        graph = apply_policy(small_cnn(), policy).graph
        found = {u.accumulator_type.bit_width for u in graph.units if isinstance(u, Mvau)}
        assert found == {parse_policy(policy)}


def test_what_would_overflow_is_warned_of() -> None:
    graph = small_cnn()
    need = max(required_bit_width(*u.accumulator_range) for u in graph.units if isinstance(u, Mvau))
    assert not apply_policy(graph, f"fixed:{need}").warnings
    warnings = apply_policy(graph, f"fixed:{need - 1}").warnings
    assert warnings
    assert f"{need - 1} accumulator bits overflow for some input, {need} hold" in warnings[0]
    assert not apply_policy(graph, "32").warnings


def test_bare_sums_are_as_wide_as_their_accumulator() -> None:
    graph = apply_policy(small_cnn(), "32").graph
    assert graph["fc"].output_type == graph["top"].input_type == IntType("INT32")
    assert graph["conv1"].output_type == IntType("UINT4")  # thresholds in between: codes stay what they are


def test_streams_follow_through_to_the_thresholds() -> None:
    b = Builder(4, (4, 4)).conv("conv", 8)
    fused = conv(b.graph(), "conv")
    b.units[-1] = replace(fused, thresholds=None, output_type=fused.accumulator_type)
    b.type = fused.accumulator_type
    assert fused.thresholds is not None
    common = {**b.common("act"), "output_type": IntType("UINT4")}
    b.add(Thresholding(**common, thresholds=fused.thresholds))
    for policy, bits in (("32", 32), ("fixed:20", 20)):
        graph = apply_policy(b.graph(), policy).graph
        assert graph["act"].input_type.bit_width == bits
        assert graph["act"].output_type == IntType("UINT4")


def test_joins_keep_their_types_where_codes_meet() -> None:
    before = residual_net()
    assert apply_policy(before, "32").graph["join"].output_type == before["join"].output_type


@pytest.mark.parametrize("policy", ["33", "exakt", "fixed:", "fixed:1", "fixed:65", "fixed:-3", ""])
def test_bad_policy(policy: str) -> None:
    with pytest.raises(A2QError, match=r"found accumulator policy '.*'; expected"):
        apply_policy(small_cnn(), policy)
