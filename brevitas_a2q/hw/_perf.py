"""How fast a folded network runs: initiation interval, overlapped latency, and the FIFO depths that sustain it.

All follow from a schedule over pixels (:mod:`brevitas_a2q.hw._schedule`), computed with unbounded FIFOs:

- The initiation interval is that of the slowest unit; one image leaves every ``max_cycles``.
- The latency is that of one image through an idle network whose source never makes it wait, from its first word on:
  zeros in front of an image are written before it comes.
- The FIFO depths are the largest fills of the streams while images arrive at exactly the sustained rate and units
  write as late as holds the fewest bits. That schedule never blocks with FIFOs of these depths, and a network that runs
  as early as data and space allow should not be later. It can be, by a pipeline's length, where pixels queue in a
  pipeline that stops as a whole: the schedule has them pass it that much later, and depths have some words to spare
  (:func:`brevitas_a2q.hw._streams.fifo_depth`). The source waits where the network does not read yet.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from math import ceil, inf
from typing import Any
from weakref import WeakKeyDictionary

from brevitas_a2q.hw._ir import Folding, Graph
from brevitas_a2q.hw._postponed import postponed
from brevitas_a2q.hw._schedule import Delay, earliest, largest_fill
from brevitas_a2q.hw._streams import Edge, delay, edges, held_elements, output_width, reading, words_per_pixel
from brevitas_a2q.hw._units.flow import Flow

__all__ = ["Performance", "performance", "stream_fills"]

# A search sizes the design that it then chooses; what is known of a graph, which may hold gigabytes, goes with it.
_KNOWN: WeakKeyDictionary[Graph, dict[Any, Mapping[Edge, float]]] = WeakKeyDictionary()


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


def performance(graph: Graph, foldings: Mapping[str, Folding], cycles: Mapping[str, int]) -> Performance:
    """Initiation interval, latency and FIFO fills of a folded graph.

    Args:
        graph: The network.
        foldings: Folding of each unit.
        cycles: Cycles per image of each unit, from its cost.
    """
    bottleneck = max(cycles, key=lambda name: cycles[name])
    flows = _flows(graph, foldings, cycles)
    delays = _delays(graph, foldings, flows)
    alone = earliest(graph, flows, delays, inf)
    first = min(trace.before_input for unit in graph.units if "" in unit.inputs for trace in [alone[unit.name]])
    read = {name for unit in graph.units for name in unit.inputs}
    latency = max(float(trace.ends.last[-1]) for name, trace in alone.items() if name not in read) - first
    return Performance(cycles[bottleneck], ceil(latency), bottleneck, stream_fills(graph, foldings, cycles))


def stream_fills(graph: Graph, foldings: Mapping[str, Folding], cycles: Mapping[str, int]) -> dict[Edge, float]:
    """Largest fill of each stream's FIFO at the sustained rate, in pixels of its producer.

    Args:
        graph: The network.
        foldings: Folding of each unit.
        cycles: Cycles per image of each unit.
    """
    known = _KNOWN.setdefault(graph, {})
    key = tuple(foldings.items()), tuple(cycles.items())
    if key not in known:
        known[key] = _fills(graph, foldings, cycles)
    return dict(known[key])


def _fills(graph: Graph, foldings: Mapping[str, Folding], cycles: Mapping[str, int]) -> Mapping[Edge, float]:
    flows = _flows(graph, foldings, cycles)
    delays = _delays(graph, foldings, flows)
    # Sums of rounded terms may exceed a unit's own cycles by a few; images must not arrive faster than that.
    period = max(*cycles.values(), *(float(f.interval.sums().last[-1]) for f in flows.values()))
    bits = {u.name: words_per_pixel(u, foldings[u.name]) * output_width(u, foldings[u.name]) for u in graph.units}
    fill = cache(largest_fill)
    traces = postponed(graph, earliest(graph, flows, delays, period), delays, bits, fill)
    return {e: fill(traces[e.producer], traces[e.consumer]) for e in edges(graph) if e.producer}


def _flows(graph: Graph, foldings: Mapping[str, Folding], cycles: Mapping[str, int]) -> dict[str, Flow]:
    """How every unit works.

    A narrow FIFO slows bursts of wider words at either end of it down to one narrow word a cycle. What writes the wide
    words is a pipeline that stops as a whole: pixels that come faster take that much longer to pass it.
    """
    units = {"": graph.input, **{u.name: u for u in graph.units}}
    flows = {}
    for u in graph.units:
        flow = u.flow(foldings[u.name], cycles[u.name], u.input_pixels(units[u.inputs[0]].pixels))
        flows[u.name] = replace(flow, latency=float(u.latency(foldings[u.name])))
    for edge in filter(lambda edge: edge.producer, edges(graph)):
        writer, reader = units[edge.producer], units[edge.consumer]
        written = writer.output_elements(foldings[edge.producer])
        read = reader.input_elements(foldings[edge.consumer], edge.port)
        held = held_elements(writer, reader, written, read)
        pace = words_per_pixel(writer, foldings[edge.producer]) * written / held
        if held < written:
            flow = flows[edge.producer]
            queued = max(flow.queued, (written / held - 1) * flow.latency)
            flows[edge.producer] = replace(flow, interval=flow.interval.maximum(pace), queued=queued)
        elif held < read:
            flow = flows[edge.consumer]
            even = flow.interval.maximum(pace) if flow.inputs == flow.pixels else flow.interval
            flows[edge.consumer] = replace(flow, interval=even, read=max(flow.read, pace))
    return flows


def _delays(graph: Graph, foldings: Mapping[str, Folding], flows: Mapping[str, Flow]) -> dict[Edge, Delay]:
    units = {u.name: u for u in graph.units}
    return {e: Delay(delay(units, foldings, e), reading(units, foldings, flows, e)) for e in edges(graph) if e.producer}
