"""A folded network as rows of a bill: every unit, every width converter, every FIFO at its depth."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from brevitas_a2q.errors import FoldingError
from brevitas_a2q.hw._choices import groups
from brevitas_a2q.hw._cost.model import CostModel
from brevitas_a2q.hw._cost.result import CostTerm, Resources, UnitCost
from brevitas_a2q.hw._devices.part import Part
from brevitas_a2q.hw._ir import Folding, Graph, MatrixUnit, Pool, SlidingWindow, Unit
from brevitas_a2q.hw._perf import Performance, performance
from brevitas_a2q.hw._streams import LEAST_FIFO_DEPTH, converter, far_fifo, fifo_between, fifo_depth

__all__ = ["Design", "Row", "build_design", "check_foldings"]


@dataclass(frozen=True)
class Row:
    """One line of an estimate; None where a kind has no such property."""

    name: str
    op: str
    pe: int | None
    simd: int | None
    accumulator_bit_width: int | None
    resources: Resources
    cycles: int | None
    folding: Folding | None = None
    terms: tuple[CostTerm, ...] = ()
    depth: int | None = None  # words, of a FIFO
    multipliers: str | None = None  # of a matrix unit: lut, dsp, or unrolled into constants
    ff: int | None = None  # flip-flops, where the model knows them


@dataclass(frozen=True)
class Design:
    """A folded network on a part."""

    rows: tuple[Row, ...]
    performance: Performance

    @property
    def foldings(self) -> dict[str, Folding]:
        """Folding of each unit, with the depths of the FIFOs in front of it."""
        return {row.name: row.folding for row in self.rows if row.folding is not None}

    @property
    def total(self) -> Resources:
        """Sum over all rows."""
        return sum((row.resources for row in self.rows), Resources())


def check_foldings(graph: Graph, foldings: Mapping[str, Folding]) -> None:
    """Raise where a unit has no folding or an illegal one.

    Raises:
        FoldingError: Naming the unit, and the nearest legal value where one does not divide.
    """
    for unit in graph.units:
        if unit.name not in foldings:
            raise FoldingError("found no folding", where=f"{unit.kind} {unit.name}", expected="one for every unit")
        folding = foldings[unit.name]
        unit.check(folding)
        if isinstance(unit, SlidingWindow) and folding.parallel_window and not unit.depthwise:
            _expect(unit, "SIMD", folding.simd, unit.channels, "all channels, for a parallel window")
    for pair in groups(graph):
        if len(pair) == 2:
            window, reader = (foldings[unit.name] for unit in pair)
            _expect(pair[0], "SIMD", window.simd, reader.pe, f"the PE of {pair[1].name}, its depthwise reader")
            parallel = int(reader.simd > 1)
            if isinstance(pair[1], Pool) and window.simd == pair[1].channels:
                continue  # taps of all channels one after another, however many of them are in a word
            _expect(pair[0], "parallel_window", int(window.parallel_window), parallel, f"as {pair[1].name}'s SIMD asks")


def _expect(unit: Unit, what: str, found: int, expected: int, why: str) -> None:
    if found != expected:
        raise FoldingError(
            f"found {what} = {found}", where=f"{unit.kind} {unit.name}", expected=f"{what} = {expected}, {why}"
        )


def build_design(graph: Graph, foldings: Mapping[str, Folding], part: Part, model: CostModel) -> Design:
    """Cost and time a folded graph.

    Args:
        graph: The network, with the accumulator widths in force.
        foldings: Folding of each unit; must be legal.
        part: Part in force.
        model: Cost model, of units, width converters and FIFOs.
    """
    check_foldings(graph, foldings)
    cost = model.cost
    costs = {u.name: cost(u, foldings[u.name], part) for u in graph.units}
    timing = performance(graph, foldings, {name: c.cycles for name, c in costs.items()})
    units = {u.name: u for u in graph.units}
    rows: dict[str, list[Row]] = {u.name: [] for u in graph.units}
    depths = {u.name: [LEAST_FIFO_DEPTH] * len(u.inputs) for u in graph.units}
    for edge, fill in timing.fills.items():
        depth, written, read = fifo_depth(units, foldings, edge, fill)
        given = foldings[edge.consumer].fifo_depths
        depth = given[edge.port] if given else depth
        depths[edge.consumer][edge.port] = depth
        label = edge.consumer if len(units[edge.consumer].inputs) == 1 else f"{edge.consumer}:{edge.port}"
        found = rows[edge.consumer]
        bits = units[edge.producer].output_type.bit_width
        if written != read:
            gearbox = converter(f"{label}/dwc", edge.producer, written * bits, read * bits)
            found.append(_between(gearbox, cost(gearbox, Folding(), part)))
            if model.far_fifos:
                other_depths = foldings[edge.consumer].far_fifo_depths
                far = other_depths[edge.port] if other_depths else LEAST_FIFO_DEPTH
                other = far_fifo(units[edge.producer], units[edge.consumer], label, (written, read), bits, far)
                found.append(_between(other, cost(other, Folding(), part), far))
        buffer = fifo_between(units[edge.producer], units[edge.consumer], label, (written, read), bits, depth)
        found.append(_between(buffer, cost(buffer, Folding(), part), depth))
    for unit in graph.units:
        folding = replace(foldings[unit.name], fifo_depths=tuple(depths[unit.name]))
        rows[unit.name].append(_row(unit, folding, costs[unit.name]))
    return Design(tuple(row for unit in graph.units for row in rows[unit.name]), timing)


def _between(unit: Unit, cost: UnitCost, depth: int | None = None) -> Row:
    return Row(unit.name, unit.kind, None, None, None, cost.resources, None, None, cost.terms, depth, ff=cost.ff)


def _row(unit: Unit, folding: Folding, cost: UnitCost) -> Row:
    accumulator = getattr(unit, "accumulator_type", None)
    return Row(
        name=unit.name,
        op=unit.kind,
        pe=folding.pe if type(unit).pe_limit is not Unit.pe_limit else None,
        simd=folding.simd if type(unit).simd_limit is not Unit.simd_limit else None,
        accumulator_bit_width=accumulator.bit_width if accumulator is not None else None,
        resources=cost.resources,
        cycles=cost.cycles,
        folding=folding,
        terms=cost.terms,
        multipliers=("lut" if folding.compute == "auto" else folding.compute) if isinstance(unit, MatrixUnit) else None,
        ff=cost.ff,
    )
