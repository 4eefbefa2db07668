"""The folding of a whole network as an optimisation problem: choices per unit, and what lies between two units.

Between two units lie a FIFO and, where their words differ, a width converter. With a FIFO of the least depth both
depend on the widths at the two ends only, which is what couples one unit's folding to the next one's. How deep a FIFO
must be depends on the folding of the whole network; :meth:`FoldingProblem.sized` says what a plan costs with that.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from brevitas_a2q.errors import FoldingError
from brevitas_a2q.hw._choices import Choices, choices_of, groups
from brevitas_a2q.hw._cost.model import CostModel
from brevitas_a2q.hw._cost.result import Resources
from brevitas_a2q.hw._devices.part import Part
from brevitas_a2q.hw._ir import Folding, Graph, Unit
from brevitas_a2q.hw._lut_equivalent import LutEquivalent
from brevitas_a2q.hw._perf import stream_fills
from brevitas_a2q.hw._streams import (
    LEAST_FIFO_DEPTH,
    converter,
    edges,
    far_fifo,
    fifo_between,
    fifo_depth,
    held_elements,
)
from brevitas_a2q.hw._target import DEFAULT_CLOCK_MHZ

__all__ = ["FoldingPlan", "FoldingProblem", "Link", "plan_of", "rounded_down"]


_LARGEST_KEPT = 1 << 16  # entries of a table of streams that is kept for the next search


@dataclass(frozen=True)
class Link:
    """A stream from group ``writer`` to input ``port`` of group ``reader``, by their places in the problem."""

    writer: int
    reader: int
    port: int
    bits: int  # of one element


@dataclass(frozen=True)
class FoldingPlan:
    """A folding of every unit, with FIFOs of the least depth between them."""

    foldings: Mapping[str, Folding]
    resources: Resources
    max_cycles: int  # cycles per image of the slowest unit
    lut_equivalent: float


class FoldingProblem:
    """Choices of every unit of a graph on a part, under one cost model.

    Args:
        graph: What to fold, with the accumulator widths in force.
        part: Part in force.
        model: Cost model.
        max_cycles: Leave out foldings slower than this.
        all_styles: Keep every memory style worth having, as a budget needs them; otherwise only the cheapest one.
        clock_mhz: Clock, to say in frames per second what is out of reach.
        weights: What a block counts as; the part's own ratios by default.
    """

    def __init__(
        self,
        graph: Graph,
        part: Part,
        model: CostModel,
        *,
        max_cycles: int | None = None,
        all_styles: bool = False,
        clock_mhz: float = DEFAULT_CLOCK_MHZ,
        weights: LutEquivalent | None = None,
    ) -> None:
        self.graph, self.part, self.model, self.clock_mhz = graph, part, model, clock_mhz
        self._streams: dict[tuple[int, int, int, int, int], tuple[int, int, int, int]] = {}
        self._tables: dict[tuple[Link, bytes, bytes], npt.NDArray[np.int64]] = {}
        self.weights = weights or LutEquivalent.of(part)
        members = groups(graph)
        self.choices: list[Choices] = [
            _efficient(
                self._joined(choices_of(units, part, model, max_cycles, None if all_styles else self.weights.price))
            )
            for units in members
        ]
        place = {unit.name: index for index, units in enumerate(members) for unit in units}
        graph_bits = {unit.name: unit.output_type.bit_width for unit in graph.units}
        self.links = [
            Link(place[e.producer], place[e.consumer], e.port, graph_bits[e.producer])
            for e in edges(graph)
            if e.producer and place[e.producer] != place[e.consumer]
        ]

    def within(self, max_cycles: int | None) -> list[Choices]:
        """The choices that need at most this many cycles per image (None: all).

        Raises:
            FoldingError: If a unit has none; the slowest such unit binds.
        """
        if max_cycles is None:
            return self.choices
        slowest = max(self.choices, key=lambda c: int(c.cycles.min()))
        if slowest.cycles.min() > max_cycles:
            unit, least = slowest.units[-1], int(slowest.cycles.min())
            raise FoldingError(
                f"needs {least:,} cycles per image at its widest folding, which is more than {max_cycles:,}",
                where=f"{unit.kind} {unit.name}",
                expected=f"a target of at most {rounded_down(self.clock_mhz * 1e6 / least):.10g} frames per second",
                remedy="this layer binds",
            )
        return [c.take(c.cycles <= max_cycles) for c in self.choices]

    def _joined(self, choices: Choices) -> Choices:
        """With the stream between the two units of a depthwise pair."""
        if len(choices.units) == 1:
            return choices
        writer, reader = choices.units
        bits = writer.output_type.bit_width
        inner = [
            self.stream(writer, reader, writer.output_elements(w), reader.input_elements(r), bits)
            for w, r in choices.foldings
        ]
        return replace(choices, resources=choices.resources + np.array(inner, dtype=np.int64))

    def stream(
        self, writer: Unit, reader: Unit, written: int, read: int, bits: int, depth: int = LEAST_FIFO_DEPTH
    ) -> tuple[int, int, int, int]:
        """LUT, BRAM18, URAM and DSP between a word of ``written`` elements and one of ``read``, of ``bits`` bits each.

        ``depth`` is in words of the narrower side of the converter.
        """
        key = (held_elements(writer, reader, written, read), written, read, bits, depth)
        if key not in self._streams:
            cost, part = self.model.cost, self.part
            buffer = fifo_between(writer, reader, "", (written, read), bits, depth)
            used = cost(buffer, Folding(), part).resources
            if written != read:
                used += cost(converter("", "", written * bits, read * bits), Folding(), part).resources
                if self.model.far_fifos:
                    other = far_fifo(writer, reader, "", (written, read), bits, LEAST_FIFO_DEPTH)
                    used += cost(other, Folding(), part).resources
            self._streams[key] = (used.lut, used.bram18, used.uram, used.dsp)
        return self._streams[key]

    def sized(self, plan: FoldingPlan) -> Resources:
        """What a plan costs with every FIFO as deep as it must be."""
        units = {u.name: u for u in self.graph.units}
        cycles = {name: self.model.cycles(unit, plan.foldings[name]) for name, unit in units.items()}
        used = plan.resources
        for edge, fill in stream_fills(self.graph, plan.foldings, cycles).items():
            depth, written, read = fifo_depth(units, plan.foldings, edge, fill)
            ends = units[edge.producer], units[edge.consumer]
            least = *ends, written, read, ends[0].output_type.bit_width
            used += Resources(
                *(deep - flat for deep, flat in zip(self.stream(*least, depth), self.stream(*least), strict=True))
            )
        return used

    def word_table(
        self, link: Link, writer: Choices, reader: Choices
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.intp], npt.NDArray[np.intp]]:
        """Resources of a stream for every pair of words, and each choice's row and column.

        Shapes: (distinct words written, distinct words read, 4), (writer's choices,), (reader's choices,).
        """
        written, write_row = np.unique(writer.output_words, return_inverse=True)
        read, read_row = np.unique(reader.input_words[:, link.port], return_inverse=True)
        ends = writer.units[-1], reader.units[0]
        pairs = [[self.stream(*ends, w, r, link.bits) for r in read.tolist()] for w in written.tolist()]
        return np.array(pairs, dtype=np.int64), write_row.reshape(-1), read_row.reshape(-1)

    def link_table(self, link: Link, writer: Choices, reader: Choices) -> npt.NDArray[np.int64]:
        """Resources of a stream for every pair of choices; shape: (writer's, reader's, 4)."""
        out, into = writer.output_words, reader.input_words[:, link.port]
        key = (link, out.tobytes(), into.tobytes())
        if key not in self._tables:
            table, write_row, read_row = self.word_table(link, writer, reader)
            if len(out) * len(into) > _LARGEST_KEPT:
                return table[write_row][:, read_row]
            self._tables[key] = table[write_row][:, read_row]
        return self._tables[key]

    def total(self, rows: Sequence[int], choices: Sequence[Choices]) -> Resources:
        """Resources of one row per group, with the streams between them."""
        used = sum((c.resources[row] for c, row in zip(choices, rows, strict=True)), np.zeros(4, np.int64))
        for link in self.links:
            written = int(choices[link.writer].output_words[rows[link.writer]])
            read = int(choices[link.reader].input_words[rows[link.reader], link.port])
            ends = choices[link.writer].units[-1], choices[link.reader].units[0]
            used = used + self.stream(*ends, written, read, link.bits)
        return Resources(*used.tolist())


def plan_of(problem: FoldingProblem, choices: Sequence[Choices], rows: Sequence[int]) -> FoldingPlan:
    """The plan that takes one row of each group's choices."""
    foldings = {name: f for c, row in zip(choices, rows, strict=True) for name, f in c.named(row).items()}
    used = problem.total(rows, choices)
    cycles = max(int(c.cycles[row]) for c, row in zip(choices, rows, strict=True))
    return FoldingPlan(foldings, used, cycles, problem.weights(used))


def _efficient(choices: Choices) -> Choices:
    """Without choices that another one of the same words beats or equals in every resource and in cycles."""
    values = np.column_stack([choices.resources, choices.cycles])
    order, starts = choices.by_words
    keep = np.ones(len(choices), dtype=np.bool_)
    for rows in np.split(order, starts[1:]):
        if len(rows) == 1:
            continue
        rows = np.sort(rows)
        no_worse = (values[rows][:, None] <= values[rows][None]).all(axis=2)  # i is no worse than j
        equal = no_worse & no_worse.T
        earlier = np.triu(np.ones_like(equal), 1)
        keep[rows] = ~((no_worse & ~equal) | (equal & earlier)).any(axis=0)
    return choices.take(keep)


def rounded_down(value: float) -> float:
    """To six digits, so that the printed target is one that can be met."""
    step: float = 10.0 ** (math.floor(math.log10(value)) - 5)
    return math.floor(value / step) * step
