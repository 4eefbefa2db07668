"""Rows of a layer, each for itself."""

from __future__ import annotations

import numpy as np

from brevitas_a2q.ptq._kernels.descent import descend_row, quadratic
from brevitas_a2q.ptq._kernels.projection import project_row
from brevitas_a2q.quant._kernels.compiler import Floats, Integers, compiled

__all__ = ["descend_rows", "project_rows", "quadratic_rows"]


@compiled
def project_rows(w: Floats, scale: Floats, h: Floats, largest: int, tile: int, budgets: Integers, q: Integers) -> None:
    """Weighted projection of every row at its scale.

    Args:
        w: Weights, in units in which codes times scale are.  # shape: (C, K)
        scale: # shape: (C,)
        h: What each input is weighed by.  # shape: (1 or C, K)
        largest: Largest magnitude of a code.
        tile: Weights per accumulation.
        budgets: ``x_hi, |x_lo|, U, L`` of each row.  # shape: (C, 4)
        q: Codes, set here.  # shape: (C, K)
    """
    for row in range(len(w)):
        b = budgets[row]
        limits = (b[0], b[1], b[2], b[3])
        project_row(w[row] / scale[row], h[row % len(h)], largest, tile, limits, q[row])


@compiled
def quadratic_rows(q: Integers, moments: Floats, square: Floats) -> None:
    """``q'Hq`` of every row, set in ``square``, at the cost of the codes that are not zero.

    Args:
        q: Codes.  # shape: (C, K)
        moments: ``H``, one for all rows or one for each.  # shape: (1 or C, K, K)
        square: # shape: (C,)
    """
    for row in range(len(q)):
        square[row] = quadratic(q[row], moments[row % len(moments)])


@compiled
def descend_rows(
    c: Floats,
    moments: Floats,
    refits: int,
    exchange: bool,
    largest: int,
    tile: int,
    budgets: Integers,
    q: Integers,
    scale: Floats,
    error: Floats,
) -> None:
    """Lower the errors of rows from where they stand, in place.

    Args:
        c: ``E[x^ y]`` of each row.  # shape: (C, K)
        moments: ``H``, one for all rows or one for each.  # shape: (1 or C, K, K)
        refits: How often a scale may be set to its optimum; 0 keeps it.
        exchange: Whether units are exchanged; without, codes move one by one only.
        largest: Largest magnitude of a code.
        tile: Weights per accumulation.
        budgets: ``x_hi, |x_lo|, U, L`` of each row.  # shape: (C, 4)
        q: Codes.  # shape: (C, K)
        scale: Scales.  # shape: (C,)
        error: ``s^2 q'Hq - 2 s q'c``; a row changes only if that falls.  # shape: (C,)
    """
    for row in range(len(q)):
        b = budgets[row]
        limits = (b[0], b[1], b[2], b[3])
        matrix = moments[row % len(moments)]
        diagonal = np.diag(matrix).copy()
        if np.max(diagonal) <= 0:
            continue
        trial = q[row].copy()
        s, found = descend_row(trial, c[row], matrix, diagonal, scale[row], refits, exchange, largest, tile, limits)
        if found < error[row]:
            q[row], scale[row], error[row] = trial, s, found
