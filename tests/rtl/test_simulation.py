"""Every unit, folded in many ways, writes the very words of the reference, whatever gaps and stalls there are."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from graphs import binary, folded, gated, grouped, joined, reordered
from networks import residual_net

from brevitas_a2q import hw
from brevitas_a2q.hw._devices import find_part
from brevitas_a2q.hw._estimation import estimate_graph
from brevitas_a2q.hw._ir import Folding, Graph, MatrixUnit
from brevitas_a2q.rtl._circuit import Context
from brevitas_a2q.rtl._generate import Accelerator, generate, write_accelerator
from brevitas_a2q.rtl._simulation import Simulation, prepare, run
from brevitas_a2q.rtl._simulators import SIMULATORS, Simulator, find_simulator
from brevitas_a2q.rtl._witness import witness

GRAPHS = {"joined": joined, "binary": binary, "reordered": reordered, "gated": gated, "grouped": grouped}


def random_images(graph: Graph, count: int) -> np.ndarray:
    unit = graph.units[0]
    values, (h, w) = unit.input_type.range, getattr(unit, "input_dim", (4, 4))
    return np.random.default_rng(0).integers(values.lo, values.hi + 1, (count, h, w, unit.channels))


def estimated(graph: Graph, foldings: dict[str, Folding] | None, part: str = "xczu7ev") -> hw.Estimate:
    return estimate_graph(graph, find_part(part), None, 200.0, foldings=foldings)


def accelerator_of(
    graph: Graph, folder: Path, foldings: dict[str, Folding] | None = None, part: str = "xczu7ev"
) -> Accelerator:
    return write_accelerator(*generate(graph, estimated(graph, foldings, part)), folder)


def simulated(graph: Graph, folder: Path, simulator: Simulator, foldings: dict[str, Folding] | None) -> Simulation:
    accelerator = accelerator_of(graph, folder, foldings)
    prepared = prepare(accelerator, simulator, random_images(graph, 4))
    plain = run(prepared, simulator)
    stalled = run(prepared, simulator, gap=500, stall=500, seed=7)
    for found in (plain, stalled):
        assert found.equal, [str(d) for d in found.differences]
        assert not any(found.overflows.values())
    assert stalled.cycles >= plain.cycles
    assert plain.interval_cycles <= estimated(graph, foldings).max_cycles
    return plain


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("name", GRAPHS)
def test_words_are_those_of_the_reference(name: str, seed: int, simulator: Simulator, tmp_path: Path) -> None:
    if simulator.name != "icarus" and seed:
        pytest.skip("other foldings are left to Icarus, which has nothing to compile")
    graph = GRAPHS[name]()
    found = simulated(graph, tmp_path, simulator, folded(graph, seed))
    assert found.words > 50


def test_a_parallel_window_in_front_of_a_pool_of_all_channels(simulator: Simulator, tmp_path: Path) -> None:
    """A converter parts its word into taps, the order in which the pool reads them (FINN's files have such)."""
    graph = joined()
    foldings = folded(graph, 0)
    foldings["taps"] = replace(foldings["taps"], simd=4, parallel_window=True)
    foldings["sums"] = replace(foldings["sums"], pe=4)
    assert simulated(graph, tmp_path, simulator, foldings).words > 50


def test_memories_in_blocks_hold_the_same(
    simulator: Simulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Context, "in_blocks", lambda self, words, bits, style, **how: 1)
    assert simulated(reordered(), tmp_path, simulator, folded(reordered(), 2)).words > 100


@pytest.mark.parametrize("name", ["reordered", "binary"])
def test_layers_of_constants_hold_the_same(name: str, simulator: Simulator, tmp_path: Path) -> None:
    graph = {"reordered": reordered, "binary": binary}[name]()
    units = {unit.name: unit for unit in graph.units}
    foldings = {
        n: Folding(units[n].pe_limit, units[n].simd_limit, "unrolled") if isinstance(units[n], MatrixUnit) else f
        for n, f in folded(graph, 1).items()
    }
    window = foldings.get("depthwise")
    if window is not None:  # its reader takes a whole window in a word
        foldings["depthwise"] = replace(window, simd=foldings["taps"].pe, parallel_window=True)
    accelerator = accelerator_of(graph, tmp_path / "built", foldings)
    assert any(i.source is not None for i in accelerator.netlist.instances)
    assert simulated(graph, tmp_path, simulator, foldings).words > 50


def test_a_layer_of_constants_shows_its_overflow_one_bit_below_its_need(simulator: Simulator, tmp_path: Path) -> None:
    graph = binary()
    foldings = {
        unit.name: Folding(unit.pe_limit, unit.simd_limit, "unrolled") if isinstance(unit, MatrixUnit) else Folding()
        for unit in graph.units
    }
    found = witness(accelerator_of(graph, tmp_path, foldings), simulator)
    assert len(found) == 2
    assert all(w.holds and w.overflows == 0 and w.overflows_below for w in found)


@pytest.mark.parametrize("name", SIMULATORS)
def test_every_simulator_says_the_same(name: str, tmp_path: Path) -> None:
    missing = SIMULATORS[name].missing()
    if missing is not None:
        pytest.skip(f"{missing[0]} is not installed")
    found = simulated(grouped(), tmp_path, find_simulator(name), None)
    assert found.words == 4 * (9 * 36 + 9 * 6)


def test_branches_meet_without_deadlock_and_at_the_estimated_interval(simulator: Simulator, tmp_path: Path) -> None:
    graph = residual_net()
    estimate = estimate_graph(graph, find_part("xczu7ev"), 200e6 / 1500, 200.0)
    accelerator = write_accelerator(*generate(graph, estimate), tmp_path)
    # Six images: the first ones leave closer to each other than those of the steady state, or less close.
    found = run(prepare(accelerator, simulator, random_images(graph, 6)), simulator)
    assert found.equal
    assert found.interval_cycles <= estimate.max_cycles
    assert found.latency_cycles == pytest.approx(estimate.latency_cycles, rel=0.05)


def test_gaps_and_stalls_take_their_time_by_seed(simulator: Simulator, tmp_path: Path) -> None:
    prepared = prepare(accelerator_of(grouped(), tmp_path), simulator, random_images(grouped(), 2))
    cycles = [run(prepared, simulator, gap=g, stall=s, seed=seed).cycles for g, s, seed in
              ((0, 0, 0), (990, 0, 1), (0, 990, 1), (0, 990, 1), (0, 990, 2))]  # fmt: skip
    assert min(cycles[1:]) > 2 * cycles[0]
    assert cycles[2] == cycles[3] != cycles[4]


def test_a_wrong_memory_is_found_and_its_unit_named(simulator: Simulator, tmp_path: Path) -> None:
    graph = grouped()
    accelerator = accelerator_of(graph, tmp_path)
    (weights,) = accelerator.memories.glob("*product_w.mem")
    lines = weights.read_text().split()
    lines[0] = format(int(lines[0], 16) ^ 7, f"0{len(lines[0])}x")
    weights.write_text("\n".join(lines) + "\n")
    found = run(prepare(accelerator, simulator, random_images(graph, 1)), simulator)
    assert not found.equal
    assert [d.unit for d in found.differences] == ["product"]
    assert "image 0, pixel" in str(found.differences[0])
