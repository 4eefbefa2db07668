"""Thresholds: any number of levels, any channels a lane, the same codes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from networks import Builder
from test_simulation import simulated

from brevitas_a2q._ir.datatypes import IntType
from brevitas_a2q.hw._ir import Folding, Thresholding
from brevitas_a2q.rtl._simulators import Simulator


@pytest.mark.parametrize("block", ["distributed", "block"])
@pytest.mark.parametrize(("steps", "pe"), [(1, 1), (2, 2), (3, 1), (4, 4), (6, 2), (7, 1), (7, 8), (9, 2), (20, 4)])
def test_codes_are_those_of_the_reference(
    steps: int, pe: int, block: str, simulator: Simulator, tmp_path: Path
) -> None:
    if simulator.name != "icarus":
        pytest.skip("left to Icarus, which has nothing to compile")
    b = Builder(8, (4, 4), IntType("INT6"))
    rng = np.random.default_rng(steps)
    table = np.sort(rng.integers(-33, 34, (8, steps)), axis=1)  # equal ones, and some out of reach
    written = IntType.of(steps.bit_length() + 1, signed=True)
    unit = {**b.common("codes"), "output_type": written}
    graph = b.add(Thresholding(**unit, thresholds=table, activation_bias=-2)).graph("codes")
    foldings = {"codes": Folding(pe, ram_style_thresholds=block)}
    found = simulated(graph, tmp_path, simulator, foldings)
    assert found.words == 4 * 16 * 8 // pe
