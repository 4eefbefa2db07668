"""A schedule that holds few bits: units that write more bits than they read work as late as it takes.

Windows, padding and copies swell a stream; where they wait, it is held where it is narrow, as pixels rather than as
windows of them. Behind the slowest unit nothing has to wait, and pixels are best passed on at once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import reduce

from brevitas_a2q.hw._ir import DuplicateStreams, Graph
from brevitas_a2q.hw._schedule import Delay, Trace, largest_fill, most_runs
from brevitas_a2q.hw._streams import Edge, edges
from brevitas_a2q.hw._units.runs import Runs

__all__ = ["postponed"]


def postponed(
    graph: Graph,
    traces: Mapping[str, Trace],
    delays: Mapping[Edge, Delay],
    bits: Mapping[str, float],
    fill: Callable[[Trace, Trace], float] = largest_fill,
) -> dict[str, Trace]:
    """The schedule in which units that write more bits than they read are as late as it takes to hold the fewest bits.

    From the last unit to the first, such a unit works as early as it can, waits until its readers have room, or works
    just before they need its pixels, whichever leaves the fewest bits in the streams around it.

    Args:
        graph: The network.
        traces: Its earliest schedule.
        delays: Cycles that a pixel takes from one unit to another.
        bits: Of a pixel that each unit writes, in one copy.
        fill: :func:`largest_fill`, which may remember.
    """
    late, most = dict(traces), most_runs(graph)
    images = {name: bits[name] * trace.flow.pixels for name, trace in traces.items()}
    readers: dict[str, list[Edge]] = {}
    for edge in edges(graph):
        readers.setdefault(edge.producer, []).append(edge)
    for unit in reversed(graph.units):
        copies = unit.copies if isinstance(unit, DuplicateStreams) else 1
        sources = [name for name in unit.inputs if name]
        reading = {edge: late[edge.consumer] for edge in readers.get(unit.name, ())}
        if not reading or copies * images[unit.name] <= sum(images[name] for name in sources):
            continue
        trace = late[unit.name]
        needed = reduce(Runs.minimum, (r.due(trace.flow.span, delays[e]) for e, r in reading.items()))
        room = reduce(Runs.minimum, (r.readings.plus(-delays[e].passing) for e, r in reading.items()))
        latest = trace.postponed(-((-needed).raised(most)))
        waiting = replace(latest, ends=latest.ends.minimum(trace.held_back(room.raised(most)).ends))
        choices = [trace]
        for choice in (waiting, latest):
            if not any(choice.ends.same(other.ends) for other in choices):
                choices.append(choice)
        if len(choices) > 1:
            held = [
                sum(bits[name] * fill(late[name], choice) for name in sources)
                + sum(bits[unit.name] * fill(choice, reader) for reader in reading.values())
                for choice in choices
            ]
            late[unit.name] = choices[held.index(min(held))]
    return late
