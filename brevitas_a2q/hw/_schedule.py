"""When every pixel of an image passes every unit of a folded network: a max-plus recurrence over pixels.

With FIFOs of any depth a unit works as early as its data allow (see :mod:`brevitas_a2q.hw._units.flow`):

    end[p] = max(end[p - 1] + interval[p], arrival[need[p]] + tail)

A pixel has arrived when its last word has been read: words that are written at once are read one after the other.
Images come one a period, and the schedule is the one that the network settles in: every image does what the one before
did, a period later, so that one image stands for all. Times are kept by the row
(:class:`~brevitas_a2q.hw._units.runs.Runs`), in as few runs as they take; those of images too tall for that are rounded
to a later time, which a network can keep as well.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property, reduce

import numpy as np

from brevitas_a2q.errors import FoldingError
from brevitas_a2q.hw._ir import Graph
from brevitas_a2q.hw._streams import Edge
from brevitas_a2q.hw._units.flow import Flow
from brevitas_a2q.hw._units.runs import Floats, Runs, sampled

__all__ = ["Delay", "Trace", "earliest", "largest_fill", "most_runs"]

_MOST_RUNS = 1 << 20  # of all units together
_ENOUGH_RUNS = 1 << 10  # of each
_INSTANT = 1e-9  # cycles
_WHOLE = 1e-6  # what a place may fall short of a whole number


@dataclass(frozen=True)
class Delay:
    """What a stream takes from one unit to another, in cycles."""

    passing: float  # from a pixel's last word written to its last read, if all others have been
    reading: float  # from its first word read to its last, but for those of the last word written


@dataclass(frozen=True, eq=False)
class Trace:
    """When a unit finishes its output pixels, and up to which pixels it has read; times from an image's first word."""

    flow: Flow
    need: Runs  # last input pixel that each output pixel needs
    elapsed: Runs  # the end of each output pixel if the unit never waited
    ends: Runs
    period: float  # after which the next image does the same; infinite: there is none
    begins: Runs | None = None  # of a unit that reads several streams: when the first words of all of them are there

    @cached_property
    def _due(self) -> Runs:
        """When the last input pixel must be there that each output pixel needs."""
        return self.ends.plus(-self.flow.tail - self.flow.latency)

    @cached_property
    def before_input(self) -> float:
        """Cycles for the pixels that need none of an image's."""
        needing = int(self.need.first(np.zeros(1))[0])
        return float(self.elapsed.at(needing - 1)) if needing else 0.0

    def postponed(self, deadline: Runs) -> Trace:
        """The same unit, every pixel as late as one of its image and the next one allows; never earlier than it is.

        The latest end of a pixel is its deadline or one interval before the end of the next one.
        """
        spare = (deadline - self.elapsed).lowest_to_come()
        following = float(spare.value[0]) + self.period - float(self.elapsed.last[-1])
        latest = self.elapsed + spare.minimum(following)
        return replace(self, ends=latest.maximum(self.ends))

    def held_back(self, until: Runs) -> Trace:
        """The same unit, no pixel before these times, each at least one interval after the one before."""
        waited = (self.ends.maximum(until) - self.elapsed).rising()
        before = float(waited.last[-1]) - (self.period - float(self.elapsed.last[-1]))
        return replace(self, ends=self.elapsed + waited.maximum(before))

    @cached_property
    def reads(self) -> tuple[Runs, Runs, Runs]:
        """For each output pixel: when its inputs are read from and until, and how many are read by then."""
        flow = self.flow
        if self.begins is not None:  # one input waits for the other, and words are taken as they come
            return self.begins, self.ends, self.need.plus(1)
        if flow.taking:
            until = self.ends.plus(-flow.latency - flow.ahead)
            return until - flow.interval, until, self.need.plus(1)
        read = self.need.plus(flow.spare)
        idle = self.ends.plus(-flow.latency - flow.ahead)
        before = idle.delayed(float(idle.last[-1]) - self.period)
        fresh = read - read.delayed(float(read.last[-1]) - flow.inputs)
        return before, before + fresh.scaled(flow.read), read.plus(1)

    @cached_property
    def deadlines(self) -> Runs:
        """When each input pixel must be there for the unit to finish as it does."""
        return _by_input(self.need, self._due, float(self._due.value[0]) + self.period, self.flow.inputs, 0.0)

    def due(self, span: float, delay: Delay) -> Runs:
        """When each must have been written, which takes such a span: it is read from its first word on."""
        late = self.deadlines.plus(-max(0.0, delay.reading - span))
        return (late if self.begins is None else late.minimum(self.begins.plus(span))).plus(-delay.passing)

    @cached_property
    def readings(self) -> Runs:
        """When the unit reads each input pixel."""
        _, until, count = self.reads
        following = float(until.value[0]) + self.period
        return _by_input(count.plus(-1), until, following, self.flow.inputs, self.flow.read)

    def written(self, times: Floats) -> Floats:
        """Pixels written, those of the images before this one included, at any times."""
        begin = self.ends.plus(-self.flow.span)
        return _passed(begin, self.ends, Runs.ramp(1, 1, self.flow.pixels), self.flow.pixels, self.period, times)

    @cached_property
    def _read_by(self) -> Runs:
        """When it has read for each output pixel and all before it."""
        _, until, _ = self.reads
        highest = float(np.maximum(until.value, until.last).max())
        return until.maximum(highest - self.period).rising()

    def read(self, times: Floats) -> Floats:
        """Pixels read, likewise."""
        (begin, _, count), until = self.reads, self._read_by
        return _passed(begin, until, count, self.flow.inputs, self.period, times)


def most_runs(graph: Graph) -> int:
    """Runs in which the times of one unit are kept."""
    return max(_ENOUGH_RUNS, _MOST_RUNS // max(len(graph.units), 1))


def earliest(graph: Graph, flows: Mapping[str, Flow], delays: Mapping[Edge, Delay], period: float) -> dict[str, Trace]:
    """Traces of all units; ``period`` spaces the source's pixels evenly.

    If it is infinite the traces are of one image alone, which is available at once.
    ``delays`` are the cycles that a pixel takes from one unit to another.

    Raises:
        FoldingError: A unit and its reader count the pixels between them differently.
    """
    traces: dict[str, Trace] = {}
    starts: dict[str, Runs] = {}
    most = most_runs(graph)
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
        pace = period / flow.inputs if np.isfinite(period) else 0.0
        source = Runs.ramp(pace, pace, flow.inputs)
        arrivals = [
            _arrival(traces[name], starts[name], flow, delays[Edge(name, unit.name, port)])
            if name
            else _Arrival(source, source, source.plus(-pace), pace)
            for port, name in enumerate(unit.inputs)
        ]
        traces[unit.name] = _earliest(flow, arrivals, period, most)
        starts[unit.name] = _starts(traces[unit.name], arrivals).raised(most)
    return traces


@dataclass(frozen=True)
class _Arrival:
    """When each pixel is there, and has been read; when its first word is there; cycles in which it is written."""

    there: Runs
    read: Runs
    begun: Runs
    span: float


def _arrival(writer: Trace, starts: Runs, reader: Flow, delay: Delay) -> _Arrival:
    """What takes a pixel part by part does so when the first part is there, which comes with the last input."""
    there, begun = writer.ends.plus(delay.passing), starts.plus(delay.passing)
    first = there.plus(-writer.flow.span) if reader.taking else begun
    return _Arrival(there, there.maximum(first.plus(delay.reading)), begun, writer.flow.span)


def _starts(trace: Trace, arrivals: list[_Arrival]) -> Runs:
    """When the first word of each output pixel is written."""
    flow = trace.flow
    last = trace.ends.plus(-flow.span)
    if flow.reach is None:
        return last
    needed = trace.need.plus(-flow.reach)
    first = reduce(Runs.maximum, (arrival.begun.through(needed) for arrival in arrivals)).plus(flow.latency)
    return last.minimum(first.maximum(trace.ends.delayed(float(trace.ends.last[-1]) - trace.period)))


def _earliest(flow: Flow, arrivals: list[_Arrival], period: float, most: int) -> Trace:
    need = flow.need if len(flow.need.start) <= most else flow.need.raised(most).rising().minimum(flow.inputs - 1)
    elapsed = flow.interval.sums()
    if len(elapsed.start) > most:
        whole = float(elapsed.last[-1]) / flow.pixels
        elapsed = Runs.ramp(whole, whole, flow.pixels)
    ready = reduce(Runs.maximum, (arrival.read.through(need) for arrival in arrivals))
    waited = (ready.plus(flow.tail + flow.latency).raised(most) - elapsed).rising()
    alone = not np.isfinite(period)
    before = flow.latency - flow.rest if alone else float(waited.last[-1]) - (period - float(elapsed.last[-1]))
    ends = elapsed + waited.maximum(before)
    if flow.queued and not alone:
        behind = ends - ready
        if float(np.maximum(behind.value, behind.last).max()) > flow.tail + flow.latency + _WHOLE:
            slower = replace(flow, latency=flow.latency + flow.queued, queued=0.0)
            return _earliest(slower, arrivals, period, most)
    if len(arrivals) == 1:
        return Trace(flow, need, elapsed, ends, period)
    first = reduce(Runs.maximum, (a.there.through(need).plus(-a.span) for a in arrivals))
    free = ends.delayed(float(ends.last[-1]) - period)
    return Trace(flow, need, elapsed, ends, period, first.maximum(free).minimum(ends - flow.interval))


def largest_fill(producer: Trace, consumer: Trace) -> float:
    """Largest number of pixels that the producer has written and the consumer has not read."""
    begin, until, count = consumer.reads
    steps = sampled(begin, until, count)
    times = np.concatenate([producer.ends.at(sampled(producer.ends)), begin.at(steps)])
    fill = float((producer.written(times) - consumer.read(times)).max())
    return fill if fill > _WHOLE else 0.0


def _by_input(reached: Runs, times: Runs, following: float, inputs: int, pace: float) -> Runs:
    """The time of the first output pixel that reaches each input pixel; between those of two, never a later one.

    Args:
        reached: The last input pixel of each output pixel, never decreasing.
        times: Of the output pixels.
        following: That of the next image's first one, which takes what is left.
        inputs: Input pixels.
        pace: Cycles by which each of the pixels that come at once for one output is earlier than the next of them.
    """
    if reached.counts_up_to(inputs):
        return times
    before = np.floor(np.append(-1.0, reached.last[:-1]) + _WHOLE).clip(-1, inputs - 1)
    at, last = (np.floor(ends + _WHOLE).clip(-1, inputs - 1) for ends in (reached.value, reached.last))
    with np.errstate(divide="ignore", invalid="ignore"):
        inner = reached.start + (at + 1 - reached.value) / reached.step
        step = 1 / reached.step
    some, onward = at > before, (last > at) & (reached.step > 0)
    start = np.concatenate([before[some] + 1, at[onward] + 1])
    order = np.argsort(start, kind="stable")
    start = start[order].astype(np.int64)
    place = np.concatenate([reached.start[some], inner[onward]])[order]
    places = Runs.joined(start, place, np.concatenate([np.zeros(some.sum()), step[onward]])[order], int(last[-1]) + 1)
    found = times.through(places, early=True)
    if pace:
        counts = np.concatenate([(at - before)[some] - 1, np.zeros(onward.sum())])[order] * pace
        slope = np.concatenate([np.full(some.sum(), pace), np.zeros(onward.sum())])[order]
        found = found + Runs.joined(start, -counts, slope, found.length)
    return found.extended(following, inputs)


def _passed(begin: Runs, end: Runs, count: Runs, pixels: int, period: float, times: Floats) -> Floats:
    """How many pixels have passed at these times.

    Args:
        begin: When each step begins, if the one before has ended.
        end: When it ends; never decreasing.
        count: Pixels that have passed by then, of this image.
        pixels: Of an image.
        period: Cycles from an image to the next.
        times: At which to count.
    """
    image = np.floor((times - end.value[0]) / period)
    now = times - image * period
    step = end.first(now + 3 * _WHOLE)  # the first that has not ended
    into, after = step % end.length, (step == end.length) * 1
    behind, earlier = (step - 1) % end.length, (step == 0) * 1
    ended, gone = end.at(behind) - earlier * period, count.at(behind) - earlier * pixels
    begun = np.maximum(begin.at(into) + after * period, ended)
    part = (now - begun) / np.maximum(end.at(into) + after * period - begun, _INSTANT)
    return np.asarray(image * pixels + gone + part.clip(0, 1) * (count.at(into) + after * pixels - gone))
