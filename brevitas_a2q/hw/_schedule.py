"""When every pixel of several images passes every unit of a folded network: a max-plus recurrence over pixels.

With FIFOs of any depth a unit works as early as its data allow (see :mod:`brevitas_a2q.hw._units.flow`):

    end[p] = max(end[p - 1] + interval[p], arrival[need[p]] + tail)

:func:`postponed` then moves units that write more bits than they read (windows, padding, copies) as late as their
readers allow, so that a stream is held where it is narrowest: pixels rather than windows of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from brevitas_a2q.errors import FoldingError
from brevitas_a2q.hw._ir import DuplicateStreams, Graph
from brevitas_a2q.hw._streams import Edge
from brevitas_a2q.hw._units.flow import Floats, Flow, Ints

__all__ = ["Trace", "earliest", "largest_fill", "postponed"]


@dataclass(frozen=True, eq=False)
class Trace:
    """When a unit finished its output pixels, and up to which pixels it had read; times from the first word in."""

    flow: Flow
    need: Ints  # shape: (images * output pixels,): last input pixel that each output pixel needs
    elapsed: Floats  # the end of each output pixel if the unit never waited
    ends: Floats
    read_from: Floats  # when it began to read for each output pixel
    read_until: Floats
    read_count: Ints  # pixels read by then


def earliest(
    graph: Graph, flows: Mapping[str, Flow], delays: Mapping[Edge, int], images: int, period: float
) -> dict[str, Trace]:
    """Traces of all units; ``period`` spaces the source's pixels evenly, 0 makes them all available at once.

    ``delays`` are the cycles that a pixel takes from one unit to another.

    Raises:
        FoldingError: A unit and its reader count the pixels between them differently.
    """
    traces: dict[str, Trace] = {}
    for unit in graph.units:
        flow = flows[unit.name]
        for name in filter(None, unit.inputs):
            if flows[name].pixels != flow.inputs:
                raise FoldingError(
                    f"reads {flow.inputs} pixels where {name} writes {flows[name].pixels}",
                    where=f"unit {unit.name}",
                    expected="operators that agree on which axis holds the channels",
                    remedy="put a Transpose between a pool or convolution and a MatMul over its last axis",
                )
        source = (np.arange(flow.inputs * images, dtype=np.float64) + 1.0) * (period / flow.inputs)
        arrivals = [
            traces[name].ends + delays[Edge(name, unit.name, port)] if name else source
            for port, name in enumerate(unit.inputs)
        ]
        traces[unit.name] = _earliest(flow, arrivals, images)
    return traces


def _earliest(flow: Flow, arrivals: list[Floats], images: int) -> Trace:
    need = (np.arange(images)[:, None] * flow.inputs + flow.need[None]).reshape(-1)
    elapsed = np.cumsum(np.tile(flow.interval, images))
    ready = np.max([np.where(need < 0, 0.0, arrival[need]) for arrival in arrivals], axis=0) + flow.tail + flow.latency
    ends = elapsed + np.maximum(np.maximum.accumulate(ready - elapsed), flow.latency)
    return _reading(flow, need, elapsed, ends, len(arrivals))


def _reading(flow: Flow, need: Ints, elapsed: Floats, ends: Floats, ports: int) -> Trace:
    """When a unit reads that finishes its output pixels at these times."""
    if ports > 1:  # one input waits for the other
        return Trace(flow, need, elapsed, ends, ends - np.diff(elapsed, prepend=0.0), ends, need + 1)
    images = len(ends) // flow.pixels
    seen = np.full(images, images) if flow.across else np.arange(images) + 1
    last = np.repeat(seen, flow.pixels) * flow.inputs - 1
    read = np.minimum(need + flow.spare, last)
    idle = ends - (flow.tail if flow.reads_ahead else 0.0)
    if not flow.across:
        idle[flow.pixels - 1 :: flow.pixels] = ends[flow.pixels - 1 :: flow.pixels]
    before = np.concatenate([[0.0], idle[:-1]])
    return Trace(flow, need, elapsed, ends, before, before + np.diff(read, prepend=-1) * flow.read, read + 1)


def postponed(
    graph: Graph,
    traces: Mapping[str, Trace],
    delays: Mapping[Edge, int],
    bits: Mapping[str, int],
    until_needed: bool = True,
) -> dict[str, Trace]:
    """The schedule in which units that write more bits than they read finish each pixel just before a reader needs it.

    From the last unit to the first, the latest end of a pixel is its reader's deadline or one interval before the end
    of the next pixel, whichever comes first.

    Args:
        graph: The network.
        traces: Its earliest schedule.
        delays: Cycles that a pixel takes from one unit to another.
        bits: What each unit writes per image, in one copy.
        until_needed: Whether pixels wait until the reader's output needs them; otherwise until it has room for them.
    """
    late = dict(traces)
    deadlines: dict[str, Floats] = {}
    for unit in reversed(graph.units):
        trace, deadline = late[unit.name], deadlines.get(unit.name)
        copies = unit.copies if isinstance(unit, DuplicateStreams) else 1
        if deadline is not None and copies * bits[unit.name] > sum(bits.get(name, 0) for name in unit.inputs):
            latest = trace.elapsed + np.minimum.accumulate((deadline - trace.elapsed)[::-1])[::-1]
            ends = np.where(np.isinf(latest), trace.ends, np.maximum(latest, trace.ends))
            trace = late[unit.name] = _reading(trace.flow, trace.need, trace.elapsed, ends, len(unit.inputs))
        wanted = _deadlines(trace) if until_needed else np.minimum(_deadlines(trace), _reads(trace))
        for port, name in enumerate(unit.inputs):
            due = wanted - delays[Edge(name, unit.name, port)] if name else wanted
            deadlines[name] = np.minimum(deadlines[name], due) if name in deadlines else due
    return late


def _deadlines(trace: Trace) -> Floats:
    """When each input pixel must be there for the unit to finish as it does; infinite for pixels nothing needs."""
    images = len(trace.ends) // trace.flow.pixels
    first = np.searchsorted(trace.need, np.arange(trace.flow.inputs * images))
    return np.append(trace.ends - trace.flow.tail - trace.flow.latency, np.inf)[first]


def _reads(trace: Trace) -> Floats:
    """When the unit reads each input pixel; infinite for pixels that it never reads."""
    pixels = np.arange(len(trace.ends) // trace.flow.pixels * trace.flow.inputs)
    step = np.searchsorted(trace.read_count, pixels + 1)
    known = step < len(trace.read_count)
    before = np.concatenate([[0], trace.read_count[:-1]])
    at = step[known]
    part = (pixels[known] + 1 - before[at]) / (trace.read_count[at] - before[at])
    found = np.full(len(pixels), np.inf)
    found[known] = trace.read_from[at] + part * (trace.read_until[at] - trace.read_from[at])
    return found


def largest_fill(producer: Trace, consumer: Trace) -> float:
    """Largest number of pixels that the producer has written and the consumer has not read."""
    count = np.arange(len(producer.ends) + 1, dtype=np.float64)
    written_at = _knots(producer.ends - producer.flow.span, producer.ends)
    written = np.repeat(count, 2)[1:-1]
    read_at = _knots(consumer.read_from, consumer.read_until)
    read = np.repeat(np.concatenate([[0.0], consumer.read_count]), 2)[1:-1]
    times = np.concatenate([written_at, read_at])
    fill = np.interp(times, written_at, written) - np.interp(times, read_at, read)
    return max(0.0, float(fill.max()))


def _knots(starts: Floats, ends: Floats) -> Floats:
    """Start and end of each step, interleaved and made non-decreasing."""
    return np.maximum.accumulate(np.column_stack([starts, ends]).reshape(-1))
