"""Rates, latencies and FIFOs of the estimate against the RTL, cycle by cycle."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from networks import depthwise_net, residual_net, small_cnn
from test_simulation import accelerator_of, estimated, random_images

from brevitas_a2q import hw
from brevitas_a2q.hw._cost.model import synthesis_model
from brevitas_a2q.hw._devices import find_part
from brevitas_a2q.hw._folding import cheapest
from brevitas_a2q.hw._ir import Folding, Graph, LabelSelect
from brevitas_a2q.rtl._simulation import Simulation, prepare, run
from brevitas_a2q.rtl._simulators import Simulator

CASES: dict[str, tuple[Callable[[], Graph], int]] = {
    "chain": (small_cnn, 1000),
    "depthwise": (depthwise_net, 1200),
    "fork and join": (residual_net, 1600),
}


def folded(name: str) -> tuple[Graph, dict[str, Folding]]:
    build, max_cycles = CASES[name]
    graph = build()
    graph = Graph(graph.name, tuple(u for u in graph.units if not isinstance(u, LabelSelect)))
    design = cheapest(graph, find_part("xczu7ev"), synthesis_model(), max_cycles).design
    return graph, {r.name: replace(r.folding, fifo_depths=None) for r in design.rows if r.folding is not None}


def built(
    graph: Graph, foldings: dict[str, Folding], simulator: Simulator, folder: Path, images: int
) -> tuple[Simulation, hw.Estimate]:
    accelerator = accelerator_of(graph, folder, foldings)
    found = run(prepare(accelerator, simulator, random_images(graph, images)), simulator)
    return found, estimated(graph, foldings)


def shallow(graph: Graph, foldings: dict[str, Folding]) -> dict[str, Folding]:
    return {u.name: replace(foldings[u.name], fifo_depths=(2,) * len(u.inputs)) for u in graph.units}


@pytest.mark.parametrize("name", CASES)
def test_sized_fifos_sustain_the_rate(name: str, simulator: Simulator, tmp_path: Path) -> None:
    found, estimate = built(*folded(name), simulator, tmp_path, 6)
    assert found.equal
    assert found.interval_cycles == estimate.max_cycles
    assert estimate.latency_cycles == pytest.approx(found.latency_cycles, rel=0.05)


def test_shallow_fifos_on_a_short_cut_block_the_network(simulator: Simulator, tmp_path: Path) -> None:
    graph, foldings = folded("fork and join")
    found, _ = built(graph, shallow(graph, foldings), simulator, tmp_path, 2)
    assert found.missing > 0


def test_shallow_fifos_in_a_chain_cost_throughput(simulator: Simulator, tmp_path: Path) -> None:
    graph, foldings = folded("chain")
    found, estimate = built(graph, shallow(graph, foldings), simulator, tmp_path, 3)
    assert found.equal
    assert found.interval_cycles > 1.05 * estimate.max_cycles
