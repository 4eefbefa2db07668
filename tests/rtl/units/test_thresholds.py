"""Thresholds: any number of levels, any channels a lane, the same codes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from networks import Builder
from test_simulation import simulated

from brevitas_a2q._ir.datatypes import IntType
from brevitas_a2q.hw._cost.synthesis.search import SearchTable
from brevitas_a2q.hw._devices import find_part
from brevitas_a2q.hw._ir import Folding, Graph, Thresholding
from brevitas_a2q.rtl._circuit import Context
from brevitas_a2q.rtl._simulators import Simulator
from brevitas_a2q.rtl._units.dispatch import circuit_of


@pytest.mark.parametrize("block", ["distributed", "block"])
@pytest.mark.parametrize(("steps", "pe"), [(1, 1), (2, 2), (3, 1), (4, 4), (6, 2), (7, 1), (7, 8), (9, 2), (20, 4)])
def test_codes_are_those_of_the_reference(
    steps: int, pe: int, block: str, simulator: Simulator, tmp_path: Path
) -> None:
    if simulator.name != "icarus":
        pytest.skip("left to Icarus, which has nothing to compile")
    found = simulated(_codes(steps), tmp_path, simulator, {"codes": Folding(pe, ram_style_thresholds=block)})
    assert found.words == 4 * 16 * 8 // pe


@pytest.mark.parametrize(("steps", "pe"), [(1, 1), (2, 8), (3, 1), (3, 8), (7, 2), (20, 4)])
def test_all_at_once_whatever_their_number(
    steps: int, pe: int, simulator: Simulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if simulator.name != "icarus":
        pytest.skip("left to Icarus, which has nothing to compile")
    monkeypatch.setattr(SearchTable, "parallel", lambda table, *, block: True)
    found = simulated(_codes(steps), tmp_path, simulator, {"codes": Folding(pe)})
    assert found.words == 4 * 16 * 8 // pe
    assert f".PARALLEL({steps})" in (tmp_path / "rtl" / "accelerator.v").read_text()


def test_two_thresholds_are_compared_at_once_unless_block_ram_holds_them() -> None:
    part = find_part("xczu7ev")
    for steps in (1, 2, 3):
        unit = _codes(steps).units[-1]
        assert isinstance(unit, Thresholding)
        for style in ("distributed", "block"):
            folding = Folding(2, ram_style_thresholds=style)
            circuits = {name for name, _, _ in unit.bill(folding, part).circuits}
            assert ("comparison" in circuits) == (steps == 2 and style == "distributed")
            made = circuit_of(unit, Context(_codes(steps), {unit.name: folding}, part, 4))
            assert made.parameters["PARALLEL"] == (2 if "comparison" in circuits else 0)
            assert made.depth_cycles == unit.latency(folding)


def _codes(steps: int) -> Graph:
    """Codes of eight channels, with thresholds that are equal and some out of reach."""
    b = Builder(8, (4, 4), IntType("INT6"))
    rng = np.random.default_rng(steps)
    table = np.sort(rng.integers(-33, 34, (8, steps)), axis=1)
    unit = {**b.common("codes"), "output_type": IntType.of(steps.bit_length() + 1, signed=True)}
    return b.add(Thresholding(**unit, thresholds=table, activation_bias=-2)).graph("codes")
