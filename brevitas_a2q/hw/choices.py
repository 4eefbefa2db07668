"""Every legal folding of a unit with what it costs: the alternatives that a folding search picks from.

A depthwise sliding window and its reader are one choice: the window emits the channels in the reader's groups, so its
SIMD is the reader's PE and its window is parallel where the reader's SIMD is above 1 (FINN, ``set_folding.py``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from brevitas_a2q.hw.cost.result import UnitCost
from brevitas_a2q.hw.devices.part import Part
from brevitas_a2q.hw.ir import Compute, Folding, Graph, MemoryStyle, Mvau, Pool, SlidingWindow, Thresholding, Unit, Vvau
from brevitas_a2q.hw.streams import input_width, output_width

__all__ = ["Choices", "CostModel", "choices_of", "divisors", "groups"]

CostModel: TypeAlias = Callable[[Unit, Folding, Part], UnitCost]
Ints: TypeAlias = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Choices:
    """The alternatives of one unit, or of a depthwise pair; row i of every array belongs to ``foldings[i]``."""

    units: tuple[Unit, ...]  # in stream order
    foldings: tuple[tuple[Folding, ...], ...]  # one per unit
    resources: Ints  # shape: (choices, 4): LUT, BRAM18, URAM, DSP
    cycles: Ints  # shape: (choices,), of the slowest unit
    input_widths: Ints  # shape: (choices, ports), bits
    output_widths: Ints  # shape: (choices,), bits

    def __len__(self) -> int:
        return len(self.foldings)

    def take(self, rows: npt.NDArray[np.bool_] | Ints) -> Choices:
        """The alternatives of these rows only."""
        index = np.flatnonzero(rows) if rows.dtype == np.bool_ else rows
        return Choices(
            self.units,
            tuple(self.foldings[i] for i in index),
            self.resources[index],
            self.cycles[index],
            self.input_widths[index],
            self.output_widths[index],
        )

    def named(self, row: int) -> Mapping[str, Folding]:
        """The folding of each unit in this row, by the unit's name."""
        return {unit.name: folding for unit, folding in zip(self.units, self.foldings[row], strict=True)}


@cache
def divisors(number: int) -> tuple[int, ...]:
    """Divisors in ascending order.

    Example:
        >>> divisors(12)
        (1, 2, 3, 4, 6, 12)
    """
    return tuple(d for d in range(1, number + 1) if number % d == 0)


def groups(graph: Graph) -> list[tuple[Unit, ...]]:
    """Units that are folded together: depthwise pairs, and every other unit alone, in graph order."""
    window = {u.name: u for u in graph.units if isinstance(u, SlidingWindow) and u.depthwise}
    paired = {u.inputs[0]: u for u in graph.units if isinstance(u, Vvau | Pool) and u.inputs[0] in window}
    readers = {u.name for u in paired.values()}
    return [(u, paired[u.name]) if u.name in paired else (u,) for u in graph.units if u.name not in readers]


def choices_of(units: tuple[Unit, ...], part: Part, cost: CostModel) -> Choices:
    """Every legal folding of one group of :func:`groups`, costed.

    Args:
        units: One unit, or a depthwise window and its reader.
        part: Part in force; UltraRAM is offered only where it has some.
        cost: Cost model.
    """
    rows = list(_foldings(units, part))
    costs = [[cost(u, f, part) for u, f in zip(units, row, strict=True)] for row in rows]
    ports = range(len(units[0].inputs))
    return Choices(
        units,
        tuple(rows),
        _integers([_sum(row) for row in costs], 4),
        _integers([max(c.cycles for c in row) for row in costs]),
        _integers([[input_width(units[0], row[0], port) for port in ports] for row in rows], len(ports)),
        _integers([output_width(units[-1], row[-1]) for row in rows]),
    )


def _integers(values: Sequence[object], columns: int | None = None) -> Ints:
    array = np.array(values, dtype=np.int64)
    return array if columns is None else array.reshape(len(values), columns)


def _sum(costs: Sequence[UnitCost]) -> tuple[int, int, int, int]:
    r = [c.resources for c in costs]
    return sum(c.lut for c in r), sum(c.bram18 for c in r), sum(c.uram for c in r), sum(c.dsp for c in r)


def _foldings(units: tuple[Unit, ...], part: Part) -> Iterator[tuple[Folding, ...]]:
    if len(units) == 1:
        for folding in _single(units[0], part):
            yield (folding,)
        return
    for reader in _single(units[1], part):
        for style in _styles(part):
            yield Folding(simd=reader.pe, parallel_window=reader.simd > 1, ram_style=style), reader


def _single(unit: Unit, part: Part) -> Iterator[Folding]:
    if isinstance(unit, Mvau | Vvau):
        yield from _matrix(unit, part)
    elif isinstance(unit, SlidingWindow):
        for simd in divisors(unit.simd_limit):
            for parallel in (False, True) if simd == unit.channels or unit.depthwise else (False,):
                for style in _styles(part):
                    yield Folding(simd=simd, parallel_window=parallel, ram_style=style)
    elif isinstance(unit, Thresholding):
        for pe in divisors(unit.pe_limit):
            for style in _styles(part):
                yield Folding(pe=pe, ram_style=style, ram_style_thresholds=style)
    else:
        for pe in divisors(unit.pe_limit):
            for simd in divisors(unit.simd_limit):
                yield Folding(pe=pe, simd=simd)


def _matrix(unit: Mvau | Vvau, part: Part) -> Iterator[Folding]:
    computes: tuple[Compute, ...] = ("lut", "dsp") if part.dsp else ("lut",)
    for pe in divisors(unit.pe_limit):
        for simd in divisors(unit.simd_limit):
            if isinstance(unit, Vvau) and simd > 1 and pe != unit.channels:
                continue
            for compute in computes:
                for weights in _styles(part):
                    for thresholds in _styles(part) if unit.thresholds is not None else ("auto",):
                        yield Folding(pe, simd, compute, weights, thresholds)
    yield Folding(unit.pe_limit, unit.simd_limit, "unrolled")


def _styles(part: Part) -> tuple[MemoryStyle, ...]:
    return ("distributed", "block", "ultra") if part.uram else ("distributed", "block")
