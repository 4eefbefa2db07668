"""The analytic schedule against a cycle-accurate simulation with bounded FIFOs."""

from __future__ import annotations

import pytest
from networks import deep_net, depthwise_net, residual_net, small_cnn
from simulator import simulate

from brevitas_a2q.hw import _perf
from brevitas_a2q.hw._cost.model import synthesis_model
from brevitas_a2q.hw._design import Design
from brevitas_a2q.hw._devices import find_part
from brevitas_a2q.hw._folding import cheapest
from brevitas_a2q.hw._ir import Folding, Graph, LabelSelect
from brevitas_a2q.hw._perf import performance, stream_fills
from brevitas_a2q.hw._streams import output_width, words_per_pixel

CASES = {
    "chain": (small_cnn, 2000),
    "chain, slow": (small_cnn, 5000),
    "depthwise": (depthwise_net, 2000),
    "fork and join": (residual_net, 2000),
    "fork and join, slow": (residual_net, 5000),
    "strides": (lambda: deep_net(4), 5000),
}


def designed(name: str) -> tuple[Graph, Design, dict[str, Folding], dict[tuple[str, int], int]]:
    build, max_cycles = CASES[name]
    graph = build()
    graph = Graph(graph.name, tuple(u for u in graph.units if not isinstance(u, LabelSelect)))
    design = cheapest(graph, find_part("ZCU104"), synthesis_model(), max_cycles).design
    foldings = {row.name: row.folding for row in design.rows if row.folding is not None}
    depths = {}
    for row in design.rows:
        if row.depth is not None:
            unit, _, port = row.name.removesuffix("/fifo").partition(":")
            depths[unit, int(port or 0)] = row.depth
    return graph, design, foldings, depths


@pytest.mark.parametrize("name", CASES)
def test_sized_fifos_sustain_the_rate(name: str) -> None:
    graph, design, foldings, depths = designed(name)
    done = simulate(graph, foldings, depths, images=3)
    free = simulate(graph, foldings, dict.fromkeys(depths, 10**6), images=3)
    interval, at_best = done[2] - done[1], free[2] - free[1]
    assert interval <= 1.02 * at_best  # what FIFOs of any depth could give
    # The cycle counts of single units are FINN's; those of strided windows are a few per cent short of the simulation.
    assert design.performance.max_cycles <= interval <= 1.06 * design.performance.max_cycles


@pytest.mark.parametrize("name", CASES)
def test_windows_that_wait_need_smaller_fifos(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    graph, design, foldings, _ = designed(name)
    cycles = {row.name: row.cycles for row in design.rows if row.cycles is not None}

    def bits() -> float:
        fills = stream_fills(graph, foldings, cycles)
        per_pixel = {
            u.name: words_per_pixel(u, foldings[u.name]) * output_width(u, foldings[u.name]) for u in graph.units
        }
        return sum(fill * per_pixel[edge.producer] for edge, fill in fills.items())

    waiting = bits()
    _perf._KNOWN.clear()
    monkeypatch.setattr("brevitas_a2q.hw._perf.postponed", lambda graph, traces, *_: traces)
    # A depthwise unit takes no second vector, so that little waits in front of it either way.
    assert waiting < (1.0 if name == "depthwise" else 0.95) * bits()
    _perf._KNOWN.clear()


@pytest.mark.parametrize("name", CASES)
def test_latency_of_one_image(name: str) -> None:
    graph, design, foldings, depths = designed(name)
    simulated = simulate(graph, foldings, depths, images=1)[0]
    assert design.performance.latency_cycles == pytest.approx(simulated, rel=0.06)
    summed = sum(row.cycles or 0 for row in design.rows)
    assert simulated < 0.7 * summed  # units overlap: the sum of all layers is no latency


def test_shallow_fifos_on_a_short_cut_block_the_network() -> None:
    graph, _, foldings, depths = designed("fork and join")
    with pytest.raises(RuntimeError, match="deadlock"):
        simulate(graph, foldings, dict.fromkeys(depths, 2), images=2)


def test_shallow_fifos_in_a_chain_cost_throughput() -> None:
    graph, design, foldings, depths = designed("chain")
    done = simulate(graph, foldings, dict.fromkeys(depths, 2), images=3)
    assert done[2] - done[1] > 1.2 * design.performance.max_cycles


def test_bottleneck_sets_the_rate() -> None:
    graph = small_cnn()
    foldings = {u.name: Folding(pe=u.pe_limit) if u.kind == "MVAU" else Folding() for u in graph.units}
    cycles = {u.name: 100 for u in graph.units} | {"conv2": 1234}
    timing = performance(graph, foldings, cycles)
    assert (timing.max_cycles, timing.bottleneck) == (1234, "conv2")
    assert timing.fps(clock_mhz=100.0) == pytest.approx(100e6 / 1234)
