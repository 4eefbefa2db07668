"""Rows of a layer, each for itself: a start by projection over a grid of scales, and the descent from there."""

from __future__ import annotations

import numpy as np

from brevitas_a2q.ptq._kernels.descent import descend_row, quadratic
from brevitas_a2q.ptq._kernels.projection import project_row
from brevitas_a2q.quant._kernels.compiler import Floats, Integers, compiled

__all__ = ["descend_rows", "project_rows", "search_rows"]

_PATIENCE = 3  # steps of the grid beyond the best


@compiled
def project_rows(w: Floats, scale: Floats, h: Floats, largest: int, tile: int, budgets: Integers, q: Integers) -> None:
    """Weighted projection of every row at its scale; shapes as in :func:`search_rows`."""
    for row in range(len(w)):
        b = budgets[row]
        limits = (b[0], b[1], b[2], b[3])
        project_row(w[row] / scale[row], h[row % len(h)], largest, tile, limits, q[row])


@compiled
def search_rows(
    w: Floats,
    c: Floats,
    moments: Floats,
    h: Floats,
    start: Floats,
    steps: Floats,
    refit: bool,
    largest: int,
    tile: int,
    budgets: Integers,
    q: Integers,
    scale: Floats,
    error: Floats,
) -> None:
    """The projection of least output error over a grid of scales.

    Args:
        w: Weights, in units in which codes times scale are.  # shape: (C, K)
        c: ``E[x^ y]`` of each row.  # shape: (C, K)
        moments: ``H``, one for all rows or one for each.  # shape: (1 or C, K, K)
        h: What the projection weighs each input by.  # shape: (1 or C, K)
        start: Scale that covers a row's largest weight.  # shape: (C,)
        steps: Factors of it, rising.
        refit: Whether each is followed by its best scale.
        largest: Largest magnitude of a code.
        tile: Weights per accumulation.
        budgets: ``x_hi, |x_lo|, U, L`` of each row.  # shape: (C, 4)
        q: Codes, set here.  # shape: (C, K)
        scale: Scales, set here.  # shape: (C,)
        error: ``s^2 q'Hq - 2 s q'c``, set here.  # shape: (C,)
    """
    for row in range(len(w)):
        b = budgets[row]
        limits = (b[0], b[1], b[2], b[3])
        trial = np.zeros(w.shape[1], np.int64)
        best, since = np.inf, 0
        for k in range(len(steps)):
            s = start[row] * steps[k]
            project_row(w[row] / s, h[row % len(h)], largest, tile, limits, trial)
            linear, square = quadratic(trial, c[row], moments[row % len(moments)])
            if refit and linear > 0 and square > 0:
                s = linear / square
            found = s * s * square - 2 * s * linear
            since += 1
            if found < best:
                best, since = found, 0
                q[row], scale[row], error[row] = trial, s, found
            if since > _PATIENCE and best < 0:
                break


@compiled
def descend_rows(
    w: Floats,
    c: Floats,
    moments: Floats,
    h: Floats,
    around: Floats,
    refits: int,
    largest: int,
    tile: int,
    budgets: Integers,
    q: Integers,
    scale: Floats,
    error: Floats,
) -> None:
    """Descend from the projections at these factors of each row's scale, and keep the best.

    Of several starts, the one from which moving codes one by one gets furthest is descended to its end: that takes a
    fraction of the time that exchanges from all of them take.

    Args as in :func:`search_rows`; ``q``, ``scale`` and ``error`` are what was found so far.
    """
    for row in range(len(w)):
        b = budgets[row]
        limits = (b[0], b[1], b[2], b[3])
        matrix = moments[row % len(moments)]
        diagonal = np.diag(matrix).copy()
        first = scale[row]
        if np.max(diagonal) <= 0:
            continue
        best, best_scale, least = q[row].copy(), first, np.inf
        for k in range(len(around)):
            trial = q[row].copy()
            if around[k] != 1.0:
                project_row(w[row] / (first * around[k]), h[row % len(h)], largest, tile, limits, trial)
            if len(around) == 1:
                best = trial
                break
            start = first * around[k]
            s, found = descend_row(trial, c[row], matrix, diagonal, start, refits, False, largest, tile, limits)
            if found < least:
                best, best_scale, least = trial, s, found
        s, found = descend_row(best, c[row], matrix, diagonal, best_scale, refits, True, largest, tile, limits)
        if found < error[row]:
            q[row], scale[row], error[row] = best, s, found
