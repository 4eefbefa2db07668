"""Every legal folding of a unit with what it costs: the alternatives that a folding search picks from.

A depthwise sliding window and its reader are one choice: the window emits the channels in the reader's groups, so its
SIMD is the reader's PE and its window is parallel where the reader's SIMD is above 1 (FINN, ``set_folding.py``).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from brevitas_a2q.hw._cost.model import CostModel
from brevitas_a2q.hw._devices.part import Part
from brevitas_a2q.hw._ir import Folding, Graph, Pool, SlidingWindow, Unit, Vvau
from brevitas_a2q.hw._prices import Price, Prices

__all__ = ["Choices", "choices_of", "groups"]

Ints: TypeAlias = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Choices:
    """The alternatives of one unit, or of a depthwise pair; row i of every array belongs to ``foldings[i]``."""

    units: tuple[Unit, ...]  # in stream order
    foldings: tuple[tuple[Folding, ...], ...]  # one per unit
    resources: Ints  # shape: (choices, 4): LUT, BRAM18, URAM, DSP
    cycles: Ints  # shape: (choices,), of the slowest unit
    input_words: Ints  # shape: (choices, ports), elements in a word
    output_words: Ints  # shape: (choices,), elements in a word

    def __len__(self) -> int:
        return len(self.foldings)

    @cached_property
    def by_words(self) -> tuple[Ints, Ints]:
        """Rows in classes of equal words, each by rising cycles, and where each class begins."""
        words = np.column_stack([self.input_words, self.output_words])
        order = np.lexsort((self.cycles, *words.T[::-1]))
        changes = (np.diff(words[order], axis=0) != 0).any(axis=1)
        return order, np.concatenate([[0], np.flatnonzero(changes) + 1]).astype(np.int64)

    def take(self, rows: npt.NDArray[np.bool_] | Ints) -> Choices:
        """The alternatives of these rows only."""
        index = np.flatnonzero(rows) if rows.dtype == np.bool_ else rows
        return Choices(
            self.units,
            tuple(self.foldings[i] for i in index),
            self.resources[index],
            self.cycles[index],
            self.input_words[index],
            self.output_words[index],
        )

    def named(self, row: int) -> Mapping[str, Folding]:
        """The folding of each unit in this row, by the unit's name."""
        return {unit.name: folding for unit, folding in zip(self.units, self.foldings[row], strict=True)}


def groups(graph: Graph) -> list[tuple[Unit, ...]]:
    """Units that are folded together: depthwise pairs, and every other unit alone, in graph order."""
    windows = {u.name for u in graph.units if isinstance(u, SlidingWindow) and u.depthwise}
    paired = {u.inputs[0]: u for u in graph.units if isinstance(u, Vvau | Pool) and u.inputs[0] in windows}
    readers = {u.name for u in paired.values()}
    return [(u, paired[u.name]) if u.name in paired else (u,) for u in graph.units if u.name not in readers]


def choices_of(
    units: tuple[Unit, ...],
    part: Part,
    model: CostModel,
    max_cycles: int | None = None,
    weights: Price | None = None,
) -> Choices:
    """Every legal folding of one group of :func:`groups`, costed.

    Args:
        units: One unit, or a depthwise window and its reader.
        part: Part in force; UltraRAM is offered only where it has some.
        model: Cost model, and which units it may choose.
        max_cycles: Leave out foldings slower than this, unless there is no faster one.
        weights: Keep only the cheapest memory styles by these weights; see :class:`Prices`.
    """
    plain = list(_foldings(units, part, model.unrolled))
    cycles = np.array([max(model.cycles(u, f) for u, f in zip(units, row, strict=True)) for row in plain])
    if max_cycles is not None and cycles.min() <= max_cycles:
        plain = [row for row, needed in zip(plain, cycles, strict=True) if needed <= max_cycles]
        cycles = cycles[cycles <= max_cycles]
    prices = [Prices(unit, part, model, weights) for unit in units]
    foldings, resources, origin = [], [], []
    for index, row in enumerate(plain):
        for combination in product(*(p.variants(f) for p, f in zip(prices, row, strict=True))):
            foldings.append(tuple(f for f, _ in combination))
            resources.append([sum(column) for column in zip(*(p for _, p in combination), strict=True)])
            origin.append(index)
    ports = range(len(units[0].inputs))
    words = [[units[0].input_elements(row[0], port) for port in ports] for row in plain]
    return Choices(
        units,
        tuple(foldings),
        np.array(resources).astype(np.int64),
        cycles[origin].astype(np.int64),
        np.array(words, dtype=np.int64).reshape(len(plain), len(ports))[origin],
        np.array([units[-1].output_elements(row[-1]) for row in plain], dtype=np.int64)[origin],
    )


def _foldings(units: tuple[Unit, ...], part: Part, unrolled: bool) -> Iterator[tuple[Folding, ...]]:
    """Legal foldings that differ in parallelism or multipliers, not in memory styles."""
    for folding in units[-1].foldings(part, unrolled):
        if len(units) == 1:
            yield (folding,)
        else:
            yield Folding(simd=folding.pe, parallel_window=folding.simd > 1), folding
