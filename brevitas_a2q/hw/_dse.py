"""Many design points at once: resources and rate of any combination of per-layer choices, by table look-up.

A :class:`DesignSpace` prices every choice of every unit once. A design point is then one row of indices, and thousands
of points are sums over arrays. Streams carry FIFOs of the least depth; sizing them for a chosen point is
:func:`brevitas_a2q.hw._design.build_design`'s work.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from brevitas_a2q.errors import FoldingError
from brevitas_a2q.hw._choices import Choices, Ints
from brevitas_a2q.hw._folding_problem import FoldingProblem
from brevitas_a2q.hw._ir import Folding

__all__ = ["DesignSpace", "PointCosts", "pareto_front"]


@dataclass(frozen=True, eq=False)
class PointCosts:
    """Costs of several design points; one row or entry per point."""

    resources: Ints  # shape: (points, 4): LUT, BRAM18, URAM, DSP
    max_cycles: Ints  # shape: (points,)


class DesignSpace:
    """All design points of a folding problem.

    Args:
        problem: The problem; its choices become the columns of every point.
    """

    def __init__(self, problem: FoldingProblem) -> None:
        self.choices: list[Choices] = problem.choices
        self._links = problem.links
        self._tables = [
            problem.word_table(link, self.choices[link.writer], self.choices[link.reader]) for link in problem.links
        ]

    @property
    def sizes(self) -> tuple[int, ...]:
        """Number of choices of each group of units: a point's column i is below ``sizes[i]``."""
        return tuple(len(c) for c in self.choices)

    def evaluate(self, points: npt.ArrayLike) -> PointCosts:
        """Resources and cycles of design points.

        Args:
            points: Indices of choices, shape (points, groups).
        """
        rows = np.atleast_2d(np.asarray(points, dtype=np.int64))
        if rows.shape[1] != len(self.choices):
            raise FoldingError(
                f"found {rows.shape[1]} columns", expected=f"{len(self.choices)}, one per group of units"
            )
        used = np.zeros((len(rows), 4), dtype=np.int64)
        cycles = np.zeros(len(rows), dtype=np.int64)
        for column, choices in zip(rows.T, self.choices, strict=True):
            used += choices.resources[column]
            np.maximum(cycles, choices.cycles[column], out=cycles)
        for link, (table, write_row, read_row) in zip(self._links, self._tables, strict=True):
            used += table[write_row[rows[:, link.writer]], read_row[rows[:, link.reader]]]
        return PointCosts(used, cycles)

    def foldings(self, point: npt.ArrayLike) -> Mapping[str, Folding]:
        """Folding of each unit at one design point."""
        rows = np.asarray(point, dtype=np.int64).tolist()
        return {name: f for c, row in zip(self.choices, rows, strict=True) for name, f in c.named(row).items()}


def pareto_front(costs: npt.ArrayLike) -> npt.NDArray[np.bool_]:
    """Which points no other point beats or equals in every cost while being lower in one.

    Args:
        costs: Lower is better; shape (points, objectives).

    Returns:
        shape (points,). Equal points are all kept.

    Example:
        >>> pareto_front([[1, 5], [2, 2], [3, 3], [5, 1]]).tolist()
        [True, True, False, True]
    """
    values = np.asarray(costs, dtype=np.float64)
    order = np.lexsort(values.T[::-1])
    front = np.zeros(len(values), dtype=np.bool_)
    best = np.empty((0, values.shape[1]))
    for index in order:  # a point is only beaten by points before it in lexicographic order
        point = values[index]
        if not ((best <= point).all(axis=1) & (best < point).any(axis=1)).any():
            front[index] = True
            best = np.vstack([best, point])
    return front
