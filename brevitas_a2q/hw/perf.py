"""How fast a folded network runs: initiation interval, overlapped latency, and the FIFO depths that sustain it.

The schedule is a max-plus recurrence over pixels (see :mod:`brevitas_a2q.hw.flow`), computed with unbounded FIFOs:

    end[p] = max(end[p - 1] + interval[p], arrival[need[p]] + tail)

- The initiation interval is that of the slowest unit; one image leaves every ``max_cycles``.
- The latency is that of one image through an idle network whose source never makes it wait.
- The FIFO depths are the largest fills of the streams while images arrive at exactly the sustained rate. That schedule
  never blocks with FIFOs of these depths; a network that runs as early as data and space allow is never later than any
  schedule that is possible, so it sustains the rate too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil

import numpy as np

from brevitas_a2q.hw.flow import Floats, Flow, Ints, flow_of, input_pixels
from brevitas_a2q.hw.ir import Folding, Graph, Unit
from brevitas_a2q.hw.streams import Edge, edges

__all__ = ["Performance", "performance"]

_IMAGES = 2  # the second one meets the state that the first one left, and so do all later ones


@dataclass(frozen=True)
class Performance:
    """Timing of a folded network, in clock cycles."""

    max_cycles: int  # initiation interval: cycles from one image to the next
    latency_cycles: int  # from the first word in to the last word out of one image
    bottleneck: str  # name of the slowest unit
    fills: Mapping[Edge, float]  # largest fill of each stream's FIFO, in pixels

    def fps(self, clock_mhz: float) -> float:
        """Frames per second at this clock."""
        return clock_mhz * 1e6 / self.max_cycles


@dataclass(frozen=True, eq=False)
class _Trace:
    """When a unit finished its output pixels, and up to which pixels it had read; times from the first word in."""

    ends: Floats  # shape: (images * output pixels,)
    span: float
    read_from: Floats  # when it began to read for each output pixel
    read_until: Floats
    read_count: Ints  # pixels read by then


def performance(graph: Graph, foldings: Mapping[str, Folding], cycles: Mapping[str, int]) -> Performance:
    """Initiation interval, latency and FIFO fills of a folded graph.

    Args:
        graph: The network.
        foldings: Folding of each unit.
        cycles: Cycles per image of each unit, from its cost.
    """
    bottleneck = max(cycles, key=lambda name: cycles[name])
    units = {u.name: u for u in graph.units}
    flows = {
        u.name: flow_of(u, foldings[u.name], cycles[u.name], input_pixels(u, units.get(u.inputs[0])))
        for u in graph.units
    }
    # Sums of rounded terms may exceed a unit's own cycles by a few; images must not arrive faster than that.
    period = max(cycles[bottleneck], *(float(f.interval.sum()) for f in flows.values()))
    alone = _schedule(graph, flows, images=1, period=0.0)
    steady = _schedule(graph, flows, images=_IMAGES, period=period)
    latency = max(float(trace.ends[-1]) for trace in alone.values())
    fills = {e: _fill(e, units, flows, steady, period) for e in edges(graph) if e.producer}
    return Performance(cycles[bottleneck], ceil(latency), bottleneck, fills)


def _schedule(graph: Graph, flows: Mapping[str, Flow], images: int, period: float) -> dict[str, _Trace]:
    """Traces of all units; ``period`` spaces the source's pixels evenly, 0 makes them all available at once."""
    traces: dict[str, _Trace] = {}
    for unit in graph.units:
        flow = flows[unit.name]
        arrivals = [
            traces[name].ends if name else _source(flow.inputs * images, period / flow.inputs) for name in unit.inputs
        ]
        traces[unit.name] = _trace(flow, arrivals, images)
    return traces


def _source(pixels: int, spacing: float) -> Floats:
    return (np.arange(pixels, dtype=np.float64) + 1.0) * spacing


def _trace(flow: Flow, arrivals: list[Floats], images: int) -> _Trace:
    need = (np.arange(images)[:, None] * flow.inputs + flow.need[None]).reshape(-1)
    interval = np.tile(flow.interval, images)
    elapsed = np.cumsum(interval)
    ready = np.max([np.where(need < 0, 0.0, arrival[need]) for arrival in arrivals], axis=0) + flow.tail + 1.0
    ends = elapsed + np.maximum(np.maximum.accumulate(ready - elapsed), flow.tail)
    if len(arrivals) > 1:  # one input waits for the other
        return _Trace(ends, flow.span, ends - interval, ends, need + 1)
    last = np.repeat(np.arange(images) + 1, flow.pixels) * flow.inputs - 1
    read = np.minimum(need + flow.spare, last)
    idle = ends - (flow.tail if flow.reads_ahead else 0.0)
    idle[flow.pixels - 1 :: flow.pixels] = ends[flow.pixels - 1 :: flow.pixels]
    before = np.concatenate([[0.0], idle[:-1]])
    return _Trace(ends, flow.span, before, before + np.diff(read, prepend=-1) * flow.read, read + 1)


def _fill(
    edge: Edge, units: Mapping[str, Unit], flows: Mapping[str, Flow], traces: Mapping[str, _Trace], period: float
) -> float:
    """Largest number of pixels that the producer has written and the consumer has not read."""
    producer, consumer = traces[edge.producer], traces[edge.consumer]
    count = np.arange(len(producer.ends) + 1, dtype=np.float64)
    written_at = _knots(producer.ends - producer.span, producer.ends)
    written = np.repeat(count, 2)[1:-1]
    read_at = _knots(consumer.read_from, consumer.read_until)
    read = np.repeat(np.concatenate([[0.0], consumer.read_count]), 2)[1:-1]
    times = np.concatenate([written_at, read_at])
    fill = np.interp(times, written_at, written) - np.interp(times, read_at, read)
    return max(0.0, float(fill.max()))


def _knots(starts: Floats, ends: Floats) -> Floats:
    """Start and end of each step, interleaved and made non-decreasing."""
    return np.maximum.accumulate(np.column_stack([starts, ends]).reshape(-1))
