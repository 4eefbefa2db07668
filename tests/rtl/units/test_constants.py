"""Layers of constant weights: balanced trees, whose depth the estimate knows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from networks import Builder
from test_simulation import simulated

from brevitas_a2q._ir.datatypes import IntType
from brevitas_a2q.hw._devices import find_part
from brevitas_a2q.hw._ir import Folding, Graph, Mvau
from brevitas_a2q.rtl._circuit import Context
from brevitas_a2q.rtl._simulators import Simulator
from brevitas_a2q.rtl._units.constants import constant_layer, digits_of
from brevitas_a2q.rtl._units.dispatch import circuit_of


def _layer(products: int, bits: int, read: str, seed: int) -> Graph:
    """Three channels: dense, one weight, none."""
    b, limit = Builder(products, (2, 3), IntType(read)).window("taps", 1), 1 << (bits - 1)
    weights = np.random.default_rng(seed).integers(-limit, limit, (3, products))
    weights[1, 1:], weights[2] = 0, 0
    sums = IntType.of(bits + IntType(read).bit_width + products.bit_length() + 1, signed=True)
    unit = {**b.common("layer"), "channels": 3, "output_type": sums}
    made = Mvau(
        **unit,
        weight_type=IntType.of(bits, signed=True),
        weights=weights,
        accumulator_type=sums,
        accumulator_range=(sums.range.lo, sums.range.hi),
        trained_accumulator_bit_width=None,
    )
    return b.add(made).graph("layer")


@pytest.mark.parametrize(
    ("products", "bits", "read"),
    [(1, 4, "UINT8"), (2, 2, "INT3"), (27, 8, "INT4"), (70, 6, "UINT2"), (33, 3, "UINT1")],
)
def test_sums_are_exact_and_as_late_as_the_estimate_says(
    products: int, bits: int, read: str, simulator: Simulator, tmp_path: Path
) -> None:
    graph = _layer(products, bits, read, seed=products)
    unit, folding = graph.units[-1], Folding(3, products, "unrolled")
    made = circuit_of(unit, Context(graph, {unit.name: folding}, find_part("xczu7ev"), 4))
    assert made.depth_cycles == unit.latency(folding)
    if simulator.name == "icarus":  # the others have nothing to add
        found = simulated(graph, tmp_path, simulator, {"taps": Folding(simd=products), unit.name: folding})
        assert found.words >= 4 * 6


@pytest.mark.parametrize("levels", [1, 2, 3, 4])
def test_no_term_waits_for_a_longer_sum(levels: int) -> None:
    weights = np.array([[7, -3, 100, 1, 0, -128, 85, 43]])
    digits = sum(len(digits_of(int(weight))) for weight in weights[0])
    made = constant_layer(weights, IntType("INT4"), 20, levels, None)
    assert all(word in made.text for word in ("Ports:", "Latency:", "Resources:"))
    assert made.registers == (digits - 1).bit_length() // levels
