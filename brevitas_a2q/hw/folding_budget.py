"""Folding within a budget of LUT, BRAM18, URAM and DSP: an integer programme, solved exactly by HiGHS.

One binary variable per choice, of which each group takes one. Streams couple two groups through the widths at their
ends only: a flow from each width written to each width read, whose margins are the choices of those widths. Where the
choices are whole numbers, so is the flow.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from brevitas_a2q.hw.choices import Choices, Ints
from brevitas_a2q.hw.cost.result import Resources
from brevitas_a2q.hw.folding_problem import FoldingPlan, FoldingProblem, Link, plan_of

__all__ = ["best_within"]

# Directions along which the cheapest choice of a group may rule others out: LUT, BRAM18, URAM, DSP.
_DIRECTIONS = np.array(
    [[1, 1e6, 1e6, 1e6], [1, 100, 1e6, 1e6], [1, 1e6, 1e6, 10], [1, 100, 500, 30], [1, 0.1, 0.1, 0.1]]
)


def best_within(
    problem: FoldingProblem, max_cycles: int | None, budget: Resources, *, exact: bool = True
) -> FoldingPlan | None:
    """The plan of least LUT-equivalent cost that is fast enough and stays within a budget.

    Args:
        problem: A problem with every memory style.
        max_cycles: Most cycles per image of any unit; None for any number.
        budget: Largest sum of each resource.
        exact: Whether the least cost is wanted, or any plan within the budget will do.

    Returns:
        None if nothing stays within the budget.

    Raises:
        FoldingError: If no folding is that fast, whatever the budget.
    """
    from scipy.optimize import Bounds, LinearConstraint, milp
    from scipy.sparse import csr_array

    choices = _reduced(problem, problem.within(max_cycles))
    programme = _Programme(problem, choices)
    have = np.array([budget.lut, budget.bram18, budget.uram, budget.dsp], dtype=np.float64)
    used = np.concatenate(programme.resources)
    rows, columns, signs = (np.concatenate(part) for part in zip(*programme.entries, strict=True))
    sums = np.array(programme.sums)
    equal = csr_array((signs, (rows, columns)), shape=(len(sums), len(used)))
    with _silent_standard_output():
        result = milp(
            used @ np.array(problem.weights.price),
            integrality=np.arange(len(used)) < programme.binaries,
            bounds=Bounds(0, 1),
            constraints=[LinearConstraint(csr_array(used.T), -np.inf, have), LinearConstraint(equal, sums, sums)],
            options={"mip_rel_gap": 0.0 if exact else 1.0},
        )
    if not result.success:
        return None
    taken = np.split(result.x[: programme.binaries], programme.starts[1:])
    return plan_of(problem, choices, [int(part.argmax()) for part in taken])


@contextlib.contextmanager
def _silent_standard_output() -> Iterator[None]:
    """HiGHS prints a line now and then, whatever its options say, which would spoil JSON on standard output."""
    sys.stdout.flush()
    kept = os.dup(1)
    try:
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), 1)
        yield
    finally:
        if os.name == "posix":
            ctypes.CDLL(None).fflush(None)  # a line that C still holds would appear later
        os.dup2(kept, 1)
        os.close(kept)


class _Programme:
    """Columns and rows of the programme: the choices' columns come first, then the flows of the links."""

    def __init__(self, problem: FoldingProblem, choices: Sequence[Choices]) -> None:
        sizes = [len(c) for c in choices]
        self.binaries = sum(sizes)
        self.starts = np.cumsum([0, *sizes[:-1]])
        self.resources = [c.resources.astype(np.float64) for c in choices]
        self.entries: list[tuple[Ints, Ints, npt.NDArray[np.float64]]] = []  # rows, columns, coefficients
        self.sums: list[float] = []  # right-hand side of each row
        for start, size in zip(self.starts, sizes, strict=True):
            self._row(start + np.arange(size), np.arange(0), 1.0)
        columns = self.binaries
        for link in problem.links:
            columns += self._flow(problem, link, choices[link.writer], choices[link.reader], columns)

    def _flow(self, problem: FoldingProblem, link: Link, writer: Choices, reader: Choices, first: int) -> int:
        written, write_class = np.unique(writer.output_widths, return_inverse=True)
        read, read_class = np.unique(reader.input_widths[:, link.port], return_inverse=True)
        flows = first + np.arange(len(written) * len(read)).reshape(len(written), len(read))
        costs = [problem.stream(w, r) for w in written.tolist() for r in read.tolist()]
        self.resources.append(np.array(costs, dtype=np.float64))
        for i, out in enumerate(flows):
            self._row(out, self.starts[link.writer] + np.flatnonzero(write_class == i), 0.0)
        for j, into in enumerate(flows.T):
            self._row(into, self.starts[link.reader] + np.flatnonzero(read_class == j), 0.0)
        return int(flows.size)

    def _row(self, plus: Ints, minus: Ints, equals: float) -> None:
        columns = np.concatenate([plus, minus])
        signs = np.repeat([1.0, -1.0], [len(plus), len(minus)])
        self.entries.append((np.full(len(columns), len(self.sums)), columns, signs))
        self.sums.append(equals)


def _reduced(problem: FoldingProblem, choices: Sequence[Choices]) -> list[Choices]:
    """Without choices that a champion of their group replaces at no more of any resource, streams included.

    The champions are the cheapest choices along a few directions. Replacing a choice changes its own streams only, by
    at most the difference of the dearest and the cheapest of them.
    """
    low = [c.resources.astype(np.float64) for c in choices]
    high = [c.resources.astype(np.float64) for c in choices]
    for link in problem.links:
        table = problem.link_table(link, choices[link.writer], choices[link.reader])
        for group, axis in ((link.writer, 1), (link.reader, 0)):
            low[group] = low[group] + table.min(axis=axis)
            high[group] = high[group] + table.max(axis=axis)
    kept = []
    for group, (best, worst) in enumerate(zip(low, high, strict=True)):
        keep = np.ones(len(best), dtype=np.bool_)
        for champion in np.unique((worst @ _DIRECTIONS.T).argmin(axis=0)):
            beaten = (worst[champion] <= best).all(axis=1)
            beaten[champion] = False
            keep &= ~beaten
        kept.append(choices[group].take(keep))
    return kept
