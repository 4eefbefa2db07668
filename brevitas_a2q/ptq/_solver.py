"""Integer weights of least output error within the exact budget of every accumulation.

For one output channel with float weights ``w``, codes ``q`` and scale ``s``, quantized inputs ``x^`` and the output
``y`` of the float network, both centred, the error is ``E[(y - s q'x^)^2] = E[y^2] - 2 s q'c + s^2 q'Hq`` with ``H =
E[x^ x^']`` and ``c = E[x^ y]``; its best scale is ``s = q'c / q'Hq``. The search starts from the projection of ``w /
s`` onto the budget, weighted by the diagonal of ``H``, over a grid of ``s``; ``"exchange"`` then descends from there.
All sums are in float64; budgets are int64, and every result is checked against them.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from brevitas_a2q.bounds import SignBudget
from brevitas_a2q.ptq._kernels.descent import quadratic
from brevitas_a2q.ptq._kernels.rows import descend_rows, project_rows, search_rows

__all__ = ["SOLVERS", "Codes", "RowProblem", "RowSolution", "Rows", "budget_rows", "holds", "in_threads", "solve"]

Rows: TypeAlias = NDArray[np.float64]
Codes: TypeAlias = NDArray[np.int64]

SOLVERS: Final = ("projection", "exchange")
_OCTAVES: Final = 2.0 ** np.arange(-1, 15)  # of the scale that covers a row's largest weight
_FINE: Final = (0.5, 0.25, 0.125)  # octaves around the best of them
_AROUND: Final = np.array([1.0, 0.84, 0.6])  # of the projection's best scale: exchanges want a smaller one
_REFITS: Final = 3


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

    def part(self, rows: slice) -> RowProblem:
        """The problem of some of the rows."""
        moments = self.moments if len(self.moments) == 1 else self.moments[rows]
        return replace(
            self, weights=self.weights[rows], common=self.common[rows], moments=moments, budgets=self.budgets[rows]
        )


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


def solve(problem: RowProblem, method: str, *, quick: bool = False) -> RowSolution:
    """Codes and scales of least output error.

    Args:
        problem: What to solve.
        method: ``"projection"`` or ``"exchange"``.
        quick: A coarser search, to compare settings by.
    """
    start = _first_scales(problem)
    if problem.shared_scale:
        return _solve_shared(problem, method, start, quick)
    count = len(problem.weights)
    codes = np.zeros(problem.weights.shape, np.int64)
    scales, errors = start.copy(), np.full(count, np.inf)

    def work(rows: slice) -> None:
        _solve_rows(problem.part(rows), method, start[rows], quick, codes[rows], scales[rows], errors[rows])

    in_threads(work, count)
    return RowSolution(codes, scales, errors)


def _first_scales(problem: RowProblem) -> Rows:
    covering: Rows = np.abs(problem.weights).max(1) / problem.largest
    if problem.shared_scale:
        covering = np.full_like(covering, covering.max())
    covering = np.maximum(covering, 1e-30)
    return np.asarray(2.0 ** np.ceil(np.log2(covering)) if problem.power_of_two else covering, np.float64)


def _weighting(problem: RowProblem) -> Rows:
    diagonals = np.diagonal(problem.moments, axis1=1, axis2=2)
    return np.ascontiguousarray(diagonals / np.maximum(diagonals.max(1, keepdims=True), 1e-300))


def _solve_rows(
    problem: RowProblem, method: str, start: Rows, quick: bool, codes: Codes, scales: Rows, errors: Rows
) -> None:
    """Rows with a scale of their own; codes, scales and errors are set in place."""
    refit = not problem.power_of_two
    h = _weighting(problem)
    given = (problem.weights, problem.common, problem.moments, h)
    limits = (problem.largest, problem.tile, problem.budgets)
    search_rows(*given, start, _OCTAVES, refit, *limits, codes, scales, errors)
    for octaves in _FINE[: 1 if quick else None] if refit else ():
        _refine(problem, h, octaves, codes, scales, errors)
    if method == "exchange":
        around = np.array([1.0, 0.5, 2.0]) if problem.power_of_two else _AROUND[:1] if quick else _AROUND
        refits = _REFITS if refit else 0
        descend_rows(*given, around, refits, *limits, codes, scales, errors)


def _refine(problem: RowProblem, h: Rows, octaves: float, codes: Codes, scales: Rows, errors: Rows) -> None:
    """Scales to either side of the best so far."""
    trial_codes, trial_scales, around = np.zeros_like(codes), np.empty_like(scales), scales.copy()
    limits = (problem.largest, problem.tile, problem.budgets)
    for step in (2.0**octaves, 2.0**-octaves):
        trial_errors = np.full_like(errors, np.inf)
        given = (problem.weights, problem.common, problem.moments, h, around * step, np.ones(1), True)
        search_rows(*given, *limits, trial_codes, trial_scales, trial_errors)
        better = trial_errors < errors
        codes[better], scales[better] = trial_codes[better], trial_scales[better]
        errors[better] = trial_errors[better]


def _solve_shared(problem: RowProblem, method: str, start: Rows, quick: bool) -> RowSolution:
    """Rows that share one scale."""
    count, h = len(problem.weights), _weighting(problem)
    best: tuple[float, float, Codes] = (np.inf, float(start[0]), np.zeros(problem.weights.shape, np.int64))

    def judge(codes: Codes, scale: float) -> None:
        nonlocal best
        linear, square = _totals(problem, codes)
        if not problem.power_of_two and linear.sum() > 0 and square.sum() > 0:
            scale = float(linear.sum() / square.sum())
        error = float(scale * scale * square.sum() - 2 * scale * linear.sum())
        if error < best[0]:
            best = (error, scale, codes)

    def projected(scale: float) -> Codes:
        codes = np.zeros(problem.weights.shape, np.int64)

        def work(rows: slice) -> None:
            part = problem.part(rows)
            own = h if len(h) == 1 else h[rows]
            scales = np.full(len(part.weights), scale)
            project_rows(part.weights, scales, own, part.largest, part.tile, part.budgets, codes[rows])

        in_threads(work, count)
        return codes

    for step in _OCTAVES:
        judge(projected(float(start[0] * step)), float(start[0] * step))
    for octaves in () if problem.power_of_two else _FINE:
        around = best[1]
        for step in (2.0**octaves, 2.0**-octaves):
            judge(projected(around * step), around * step)
    if method == "exchange":
        first = best[1]
        for factor in (1.0, 0.5, 2.0) if problem.power_of_two else (1.0,) if quick else (1.0, 0.84, 0.6):
            scale, codes = first * factor, best[2].copy() if factor == 1 else projected(first * factor)
            for _ in range(1 if problem.power_of_two else _REFITS):
                _descend_shared(problem, h, codes, scale)
                judge(codes.copy(), scale)
                scale = best[1]
    linear, square = _totals(problem, best[2])
    scales = np.full(count, best[1])
    return RowSolution(best[2], scales, scales**2 * square - 2 * scales * linear)


def _descend_shared(problem: RowProblem, h: Rows, codes: Codes, scale: float) -> None:
    def work(rows: slice) -> None:
        part = problem.part(rows)
        own = h if len(h) == 1 else h[rows]
        scales, errors = np.full(len(part.weights), scale), np.full(len(part.weights), np.inf)
        descend_rows(
            part.weights, part.common, part.moments, own, np.ones(1), 0,
            part.largest, part.tile, part.budgets, codes[rows], scales, errors,
        )  # fmt: skip

    in_threads(work, len(codes))


def _totals(problem: RowProblem, codes: Codes) -> tuple[Rows, Rows]:
    """``q'c`` and ``q'Hq`` of every row."""
    moments = problem.moments
    pairs = [quadratic(q, problem.common[i], moments[i % len(moments)]) for i, q in enumerate(codes)]
    found = np.array(pairs, np.float64)
    return found[:, 0], found[:, 1]


def in_threads(work: Callable[[slice], None], count: int) -> None:
    """Run parts of the rows in as many threads as there are processors; kernels hold no lock."""
    workers = min(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1, count)
    size = max(1, -(-count // (4 * max(workers, 1))))
    parts = [slice(first, min(first + size, count)) for first in range(0, count, size)]
    if workers <= 1:
        for part in parts:
            work(part)
        return
    with ThreadPoolExecutor(workers) as pool:
        for _ in pool.map(work, parts):
            pass
