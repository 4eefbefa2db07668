"""The schedule by the row against the same recurrence written out pixel by pixel, for as many images as it takes."""

from __future__ import annotations

from math import inf

import numpy as np
import pytest
from networks import deep_net, depthwise_net, residual_net, small_cnn

from brevitas_a2q.hw import _schedule
from brevitas_a2q.hw._devices import find_part
from brevitas_a2q.hw._ir import Folding, Graph
from brevitas_a2q.hw._perf import _delays, _flows
from brevitas_a2q.hw._postponed import postponed
from brevitas_a2q.hw._schedule import Delay, earliest, largest_fill
from brevitas_a2q.hw._streams import Edge, edges
from brevitas_a2q.hw._units.flow import Flow
from brevitas_a2q.hw._units.runs import Runs

NETWORKS = {"chain": small_cnn, "depthwise": depthwise_net, "fork": residual_net, "strides": lambda: deep_net(4)}
IMAGES = 12
PART = find_part("ZCU104")


def folded(name: str, seed: int) -> tuple[Graph, dict[str, Flow], dict[Edge, Delay], float]:
    graph, rng = NETWORKS[name](), np.random.default_rng(seed)
    foldings: dict[str, Folding] = {}
    for unit in graph.units:
        legal = [f for f in unit.foldings(PART) if not f.parallel_window]
        foldings[unit.name] = legal[int(rng.integers(len(legal)))]
    cycles = {u.name: u.cycles(foldings[u.name]) for u in graph.units}
    flows = _flows(graph, foldings, cycles)
    period = max(*cycles.values(), *(float(f.interval.sums().last[-1]) for f in flows.values()))
    return graph, flows, _delays(graph, foldings, flows), period


def numbers(runs: Runs) -> np.ndarray:
    return runs.at(np.arange(runs.length))


def by_pixel(graph: Graph, flows: dict[str, Flow], delays: dict[Edge, Delay], period: float) -> dict[str, np.ndarray]:
    """End of every pixel of every image, by the recurrence itself."""
    ends: dict[str, np.ndarray] = {}
    starts: dict[str, np.ndarray] = {}
    for unit in graph.units:
        flow = flows[unit.name]
        need, interval = numbers(flow.need), numbers(flow.interval)
        source = (np.arange(IMAGES * flow.inputs) + 1) * (period / flow.inputs)
        streams, firsts = [source], [source - period / flow.inputs]
        if unit.inputs != ("",):
            passing = [(name, delays[Edge(name, unit.name, port)]) for port, name in enumerate(unit.inputs)]
            firsts = [starts[name] + delay.passing for name, delay in passing]
            streams = [
                np.maximum(ends[name] + delay.passing, first + delay.reading)
                for (name, delay), first in zip(passing, firsts, strict=True)
            ]
        latency = flow.latency
        for queued in (flow.queued, 0.0):
            found, now, wait = [], -inf, 0.0
            for image in range(IMAGES):
                for pixel in range(flow.pixels):
                    at = int(need[pixel]) + image * flow.inputs
                    ready = max(stream[at] for stream in streams) if need[pixel] >= 0 else -inf
                    now = max(now + interval[pixel], ready + flow.tail + latency)
                    wait = max(wait, now - ready - flow.tail - latency) if image == IMAGES - 1 else 0.0
                    found.append(now)
            latency += queued if wait > 1e-6 else 0.0
        ends[unit.name] = np.array(found)
        starts[unit.name] = ends[unit.name] - flow.span
        if flow.reach is not None:
            places = [int(at) - flow.reach + i * flow.inputs if at >= 0 else -1 for i in range(IMAGES) for at in need]
            first = np.array([max(f[at] for f in firsts) if at >= 0 else -inf for at in places]) + flow.latency
            before = np.append(-inf, ends[unit.name][:-1])
            starts[unit.name] = np.minimum(starts[unit.name], np.maximum(first, before))
    return ends


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", NETWORKS)
def test_images_settle_in_the_schedule_of_one(name: str, seed: int) -> None:
    graph, flows, delays, period = folded(name, seed)
    exact = by_pixel(graph, flows, delays, period)
    for unit, trace in earliest(graph, flows, delays, period).items():
        last = exact[unit][-flows[unit].pixels :] - (IMAGES - 1) * period
        np.testing.assert_allclose(numbers(trace.ends), last, atol=1e-3, err_msg=unit)


@pytest.mark.parametrize("name", NETWORKS)
def test_no_more_pixels_wait_at_any_time_than_at_the_ends_of_runs(name: str) -> None:
    graph, flows, delays, period = folded(name, 0)
    late = postponed(graph, earliest(graph, flows, delays, period), delays, dict.fromkeys(flows, 1))
    for edge in edges(graph):
        if edge.producer:
            writer, reader = late[edge.producer], late[edge.consumer]
            times = np.linspace(0.0, 3 * period, 40_001)
            waiting, largest = writer.written(times) - reader.read(times), largest_fill(writer, reader)
            assert waiting.max() <= largest + 0.1
            assert waiting.max() >= largest - 0.5 or largest == 0


@pytest.mark.parametrize("name", NETWORKS)
def test_fewer_runs_make_no_time_earlier(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    graph, flows, delays, period = folded(name, 1)
    exact = earliest(graph, flows, delays, period)
    monkeypatch.setattr(_schedule, "_MOST_RUNS", 0)
    monkeypatch.setattr(_schedule, "_ENOUGH_RUNS", 12)
    for unit, rough in earliest(graph, flows, delays, period).items():
        assert len(rough.ends.start) <= 12 * 4
        assert (numbers(rough.ends) >= numbers(exact[unit].ends) - 1.0).all()
