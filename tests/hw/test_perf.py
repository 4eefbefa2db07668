"""What the schedule says of rates and FIFOs; `tests/rtl/test_rates.py` holds it against the RTL."""

from __future__ import annotations

import pytest
from networks import deep_net, depthwise_net, residual_net, small_cnn

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


def designed(name: str) -> tuple[Graph, Design]:
    build, max_cycles = CASES[name]
    graph = build()
    graph = Graph(graph.name, tuple(u for u in graph.units if not isinstance(u, LabelSelect)))
    return graph, cheapest(graph, find_part("ZCU104"), synthesis_model(), max_cycles).design


@pytest.mark.parametrize("name", CASES)
def test_windows_that_wait_need_smaller_fifos(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    graph, design = designed(name)
    foldings = {row.name: row.folding for row in design.rows if row.folding is not None}
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
def test_units_overlap(name: str) -> None:
    _, design = designed(name)
    assert design.performance.latency_cycles < 0.7 * sum(row.cycles or 0 for row in design.rows)


def test_bottleneck_sets_the_rate() -> None:
    graph = small_cnn()
    foldings = {u.name: Folding(pe=u.pe_limit) if u.kind == "MVAU" else Folding() for u in graph.units}
    cycles = {u.name: 100 for u in graph.units} | {"conv2": 1234}
    timing = performance(graph, foldings, cycles)
    assert (timing.max_cycles, timing.bottleneck) == (1234, "conv2")
    assert timing.fps(clock_mhz=100.0) == pytest.approx(100e6 / 1234)
