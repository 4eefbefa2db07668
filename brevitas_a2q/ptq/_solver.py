"""Integer weights of least output error within the exact budget of every accumulation.

For one output channel with float weights ``w``, codes ``q`` and scale ``s``, quantized inputs ``x^`` and the output
``y`` of the float network, both centred, the error is ``E[(y - s q'x^)^2] = E[y^2] - 2 s q'c + s^2 q'Hq`` with ``H =
E[x^ x^']`` and ``c = E[x^ y]``; its best scale is ``s = q'c / q'Hq``. The search starts from the projection of ``w /
s`` onto the budget, weighted by the diagonal of ``H``, over a grid of ``s``; ``"exchange"`` then descends from there.
All sums are in float64; budgets are int64, and every result is checked against them.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from brevitas_a2q.ptq._kernels.rows import descend_rows
from brevitas_a2q.ptq._problem import Codes, RowProblem, Rows, RowSolution, in_threads
from brevitas_a2q.ptq._scales import FINE, OCTAVES, covering_scales, project, search, totals

__all__ = ["SOLVERS", "solve"]

SOLVERS: Final = ("projection", "exchange")
_REFITS: Final = 3
_POWERS: Final = (1.0, 0.5, 2.0)  # of the projection's best scale, where it must stay a power of two
_SMALLER: Final = (1.0, 0.84, 0.6)  # of it: exchanges want a smaller one
_SHORT: Final = 64  # products, of which a descent from several scales costs next to nothing


def solve(problem: RowProblem, method: str, *, quick: bool = False) -> RowSolution:
    """Codes and scales of least output error.

    Args:
        problem: What to solve.
        method: ``"projection"`` or ``"exchange"``.
        quick: A coarser search, to compare settings by.
    """
    start = covering_scales(problem)
    if problem.shared_scale:
        return _solve_shared(problem, method, start, quick)
    found = RowSolution.empty(problem, start)

    def work(rows: slice) -> None:
        part = _solve_rows(problem.part(rows), method, start[rows], quick)
        found.part(rows).take_better(part)

    in_threads(work, *problem.weights.shape)
    return found


def _solve_rows(problem: RowProblem, method: str, start: Rows, quick: bool) -> RowSolution:
    """Rows with a scale of their own."""
    fine = () if problem.power_of_two else FINE[:1] if quick else FINE
    best = search(problem, start, fine)
    if method != "exchange":
        return best
    first, refits = best.scales.copy(), 0 if problem.power_of_two else _REFITS
    for factor in _factors(problem, quick):
        codes = best.codes.copy() if factor == 1 else project(problem, first * factor, problem.weighting)
        trial = RowSolution(codes, first * factor, np.full_like(first, np.inf))
        _descend(problem, trial, refits)
        best.take_better(trial)
    return best


def _factors(problem: RowProblem, quick: bool) -> tuple[float, ...]:
    """Scales to descend from, relative to the projection's best."""
    if quick:
        return (1.0,)
    if problem.power_of_two:
        return _POWERS
    return _SMALLER if problem.weights.shape[1] <= _SHORT else (1.0,)


def _descend(problem: RowProblem, found: RowSolution, refits: int) -> None:
    """Lower errors, in place; where no budget can bind there is nothing to exchange."""
    limits = problem.largest, problem.tile, problem.budgets
    descend_rows(
        problem.common, problem.moments, refits, problem.binds, *limits, found.codes, found.scales, found.errors
    )


def _solve_shared(problem: RowProblem, method: str, start: Rows, quick: bool) -> RowSolution:
    """Rows that share one scale."""
    count, size = problem.weights.shape
    weighting = problem.weighting
    best: tuple[float, float, Codes] = (np.inf, float(start[0]), np.zeros(problem.weights.shape, np.int64))

    def judge(codes: Codes, scale: float) -> None:
        nonlocal best
        linear, square = totals(problem, codes)
        if not problem.power_of_two and linear.sum() > 0 and square.sum() > 0:
            scale = float(linear.sum() / square.sum())
        error = float(scale * scale * square.sum() - 2 * scale * linear.sum())
        if error < best[0]:
            best = (error, scale, codes)

    def projected(scale: float) -> Codes:
        codes = np.zeros(problem.weights.shape, np.int64)

        def work(rows: slice) -> None:
            part = problem.part(rows)
            own = weighting if len(weighting) == 1 else weighting[rows]
            codes[rows] = project(part, np.full(len(part.weights), scale), own)

        in_threads(work, count, size)
        return codes

    def descended(codes: Codes, scale: float) -> Codes:
        found = RowSolution(codes, np.full(count, scale), np.full(count, np.inf))
        in_threads(lambda rows: _descend(problem.part(rows), found.part(rows), 0), count, size)
        return codes

    for step in OCTAVES:
        judge(projected(float(start[0] * step)), float(start[0] * step))
    for octaves in () if problem.power_of_two else FINE:
        around = best[1]
        for step in (2.0**octaves, 2.0**-octaves):
            judge(projected(around * step), around * step)
    if method == "exchange":
        first = best[1]
        for factor in (1.0,) if quick else _POWERS if problem.power_of_two else _SMALLER:
            scale, codes = first * factor, best[2].copy() if factor == 1 else projected(first * factor)
            for _ in range(1 if problem.power_of_two else _REFITS):
                codes = descended(codes.copy(), scale)
                judge(codes, scale)
                scale = best[1]
    linear, square = totals(problem, best[2])
    scales = np.full(count, best[1])
    return RowSolution(best[2], scales, scales**2 * square - 2 * scales * linear)
