"""Rows of integer weights to be solved for: what is given, what is found, and whether it keeps its budgets."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from brevitas_a2q.bounds import SignBudget

__all__ = ["Codes", "RowProblem", "RowSolution", "Rows", "budget_rows", "holds", "in_threads"]

Rows: TypeAlias = NDArray[np.float64]
Codes: TypeAlias = NDArray[np.int64]
_FEW: Final = 1 << 14  # weights that are not worth a thread


@dataclass(frozen=True, eq=False)
class RowProblem:
    """The rows of one layer, or of one group of it.

    Attributes:
        weights: Float weights, for the start.  # shape: (C, K)
        common: ``c``.  # shape: (C, K)
        moments: ``H``, one for all rows or one for each.  # shape: (1 or C, K, K)
        budgets: ``x_hi, |x_lo|, U, L`` of each row.  # shape: (C, 4)
        largest: Largest magnitude of a code, ``2^(M-1) - 1``.
        tile: Weights per accumulation.
        shared_scale: Whether all rows have one scale.
        power_of_two: Whether scales are powers of two.
    """

    weights: Rows
    common: Rows
    moments: Rows
    budgets: Codes
    largest: int
    tile: int
    shared_scale: bool = False
    power_of_two: bool = False

    def part(self, rows: slice | NDArray[np.int64]) -> RowProblem:
        """The problem of some of the rows."""
        moments = self.moments if len(self.moments) == 1 else self.moments[rows]
        return replace(
            self, weights=self.weights[rows], common=self.common[rows], moments=moments, budgets=self.budgets[rows]
        )

    @property
    def binds(self) -> bool:
        """Whether there are codes of the allowed magnitude that no accumulation could hold."""
        widest, least = int(self.budgets[:, :2].max()), int(self.budgets[:, 2:].min())
        return bool(self.largest * min(self.tile, self.weights.shape[1]) * widest > least)

    @property
    def weighting(self) -> Rows:
        """What a projection weighs each input by: the diagonal of ``H``, at most 1.  # shape: (1 or C, K)"""
        diagonals = np.diagonal(self.moments, axis1=1, axis2=2)
        return np.ascontiguousarray(diagonals / np.maximum(diagonals.max(1, keepdims=True), 1e-300))


@dataclass(frozen=True, eq=False)
class RowSolution:
    """Codes and scales of some rows.

    Attributes:
        codes: int64.  # shape: (C, K)
        scales: # shape: (C,)
        errors: ``s^2 q'Hq - 2 s q'c``, what the row adds to ``E[y^2]``; at most 0.  # shape: (C,)
    """

    codes: Codes
    scales: Rows
    errors: Rows

    @classmethod
    def empty(cls, problem: RowProblem, scales: Rows) -> RowSolution:
        """No weights yet, at these scales."""
        return cls(np.zeros(problem.weights.shape, np.int64), scales.copy(), np.full(len(problem.weights), np.inf))

    def part(self, rows: slice) -> RowSolution:
        """Some of the rows, of which a change is one of the whole."""
        return RowSolution(self.codes[rows], self.scales[rows], self.errors[rows])

    def in_float32(self) -> RowSolution:
        """At scales that float32 holds; channels without weights get a usual one, since any is right."""
        empty = ~self.codes.any(1)
        usual = float(np.median(self.scales[~empty])) if not empty.all() else 1.0
        scales = np.where(empty, usual, self.scales)
        return replace(self, scales=np.clip(scales, 1e-30, 1e30).astype(np.float32).astype(np.float64))

    def take_better(self, other: RowSolution, rows: slice | NDArray[np.int64] = slice(None)) -> NDArray[np.bool_]:
        """Take over from another solution of some rows those of lower error, in place; returns which they were."""
        better: NDArray[np.bool_] = other.errors < self.errors[rows]
        where = np.arange(len(self.errors))[rows][better]
        self.codes[where], self.scales[where] = other.codes[better], other.scales[better]
        self.errors[where] = other.errors[better]
        return better


def budget_rows(budget: SignBudget, rows: int) -> Codes:
    """The same budget for every row, as kernels take it; a limit of 2^63 is given as 2^63 - 1.

    Returns:
        # shape: (rows, 4)
    """
    most = (1 << 63) - 1
    limits = (budget.inputs.hi, -budget.inputs.lo, min(budget.upper, most), min(budget.lower, most))
    return np.tile(np.array(limits, np.int64), (rows, 1))


def holds(codes: Codes, budgets: Codes, tile: int) -> bool:
    """Whether every row keeps its budget, in Python integers and without the solver's arithmetic."""
    for row, (up, down, upper, lower) in zip(codes.tolist(), budgets.tolist(), strict=True):
        for start in range(0, len(row), tile):
            plus = sum(code for code in row[start : start + tile] if code > 0)
            minus = -sum(code for code in row[start : start + tile] if code < 0)
            empty = not plus and not minus
            if not empty and (plus * up + minus * down > upper or minus * up + plus * down > lower):
                return False
    return True


def in_threads(work: Callable[[slice], None], count: int, size: int) -> None:
    """Run parts of the rows in as many threads as there are processors; kernels hold no lock.

    Args:
        work: Called with each part.
        count: Rows.
        size: Weights of each.
    """
    workers = min(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1, count)
    if workers <= 1 or count * size <= _FEW:
        work(slice(0, count))
        return
    step = max(1, -(-count // (4 * workers)))
    with ThreadPoolExecutor(workers) as pool:
        for _ in pool.map(work, [slice(first, min(first + step, count)) for first in range(0, count, step)]):
            pass
