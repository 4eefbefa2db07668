"""Projections onto the budgets over a grid of scales: where a search for least output error starts."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from brevitas_a2q.ptq._kernels.rows import project_rows, quadratic_rows
from brevitas_a2q.ptq._problem import Codes, RowProblem, Rows, RowSolution

__all__ = ["FINE", "OCTAVES", "covering_scales", "project", "search", "totals"]

OCTAVES: Final = 2.0 ** np.arange(-1, 15)  # of the scale that covers a row's largest weight
FINE: Final = (0.5, 0.25, 0.125)  # octaves around the best of them
_PATIENCE: Final = 3  # steps of the grid beyond the best
_DENSE: Final = 0.12  # share of codes from which on a matrix product is faster than going by those that are not zero


def covering_scales(problem: RowProblem) -> Rows:
    """Scales at which no weight is clipped.  # shape: (C,)"""
    covering: Rows = np.abs(problem.weights).max(1) / problem.largest
    if problem.shared_scale:
        covering = np.full_like(covering, covering.max())
    covering = np.maximum(covering, 1e-30)
    return np.asarray(2.0 ** np.ceil(np.log2(covering)) if problem.power_of_two else covering, np.float64)


def project(problem: RowProblem, scales: Rows, weighting: Rows) -> Codes:
    """The nearest codes within the budgets at these scales.  # shape: (C, K)"""
    codes = np.zeros(problem.weights.shape, np.int64)
    project_rows(problem.weights, scales, weighting, problem.largest, problem.tile, problem.budgets, codes)
    return codes


def totals(problem: RowProblem, codes: Codes) -> tuple[Rows, Rows]:
    """``q'c`` and ``q'Hq`` of every row."""
    floats = codes.astype(np.float64)
    linear: Rows = np.einsum("rk,rk->r", floats, problem.common)
    square = np.empty(len(codes))
    if len(problem.moments) == 1 and np.count_nonzero(codes) > _DENSE * codes.size:
        np.einsum("rk,rk->r", floats @ problem.moments[0], floats, out=square)
    else:
        quadratic_rows(codes, problem.moments, square)
    return linear, square


def search(problem: RowProblem, start: Rows, fine: tuple[float, ...]) -> RowSolution:
    """The projection of least output error over a grid of scales, each row for itself.

    A row leaves the grid of octaves when some steps have brought it nothing.

    Args:
        problem: Rows with scales of their own.
        start: Scale that covers a row's largest weight.  # shape: (C,)
        fine: Octaves to either side of the best, one after the other.
    """
    best, weighting = RowSolution.empty(problem, start), problem.weighting
    rows, since = np.arange(len(start)), np.zeros(len(start), np.int64)
    for step in OCTAVES:
        better = best.take_better(_projected(problem, start * step, weighting, rows), rows)
        since[rows] = np.where(better, 0, since[rows] + 1)
        rows = rows[(since[rows] < _PATIENCE) | (best.errors[rows] >= 0)]
        if not len(rows):
            break
    everything = np.arange(len(start))
    for octaves in fine:
        around = best.scales.copy()
        for step in (2.0**octaves, 2.0**-octaves):
            best.take_better(_projected(problem, around * step, weighting, everything))
    return best


def _projected(problem: RowProblem, scales: Rows, weighting: Rows, rows: NDArray[np.int64]) -> RowSolution:
    if len(rows) < len(scales):
        problem, scales = problem.part(rows), scales[rows]
        weighting = weighting if len(weighting) == 1 else weighting[rows]
    codes = project(problem, scales, weighting)
    linear, square = totals(problem, codes)
    if not problem.power_of_two:
        good = (linear > 0) & (square > 0)
        scales = np.where(good, linear / np.where(good, square, 1.0), scales)
    return RowSolution(codes, scales, scales * scales * square - 2 * scales * linear)
