"""Long dot products: their moments need not fit in memory as a whole.

The start is the projection, which needs the diagonal of ``H`` only; its error is computed from the rows themselves.
Then blocks of inputs are descended in turns, each against what the other blocks leave of the output and of the budget.
This is descent on the same objective, a block of coordinates at a time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from torch import Tensor

from brevitas_a2q.ptq._kernels.rows import descend_rows, project_rows
from brevitas_a2q.ptq._problem import Codes, Rows, RowSolution, in_threads

__all__ = ["LongRows", "solve_in_blocks"]

_BLOCK: Final = 2048
_ROUNDS: Final = 2
_STEPS: Final = 2.0 ** np.arange(-1, 14)


@dataclass(frozen=True, eq=False)
class LongRows:
    """Centred data of a layer with long rows.

    Attributes:
        inputs: Quantized inputs.  # shape: (n, K)
        outputs: What they should give.  # shape: (n, R)
        cross: ``E[x^_i x_i]``.  # shape: (K,)
        weights: # shape: (R, K)
        budgets: # shape: (R, 4)
        largest: Largest magnitude of a code.
        tile: Weights per accumulation.
    """

    inputs: Tensor
    outputs: Tensor
    cross: Rows
    weights: Rows
    budgets: Codes
    largest: int
    tile: int

    def reach(self, codes: Codes, columns: slice = slice(None)) -> Tensor:
        """``x^ q`` of some columns.  # shape: (n, R)"""
        return self.inputs[:, columns] @ torch.from_numpy(codes).to(self.inputs.dtype).T


def solve_in_blocks(
    data: LongRows, shrinkage: float, *, exchange: bool, shared_scale: bool, power_of_two: bool, block: int = _BLOCK
) -> RowSolution:
    """Solve rows too long for their moments.

    Args:
        data: What to solve.
        shrinkage: Share of the covariances that is not trusted.
        exchange: Whether the projection is only the start.
        shared_scale: Whether all rows have one scale.
        power_of_two: Whether scales are powers of two.
        block: Inputs whose moments are held at a time; a multiple of the tile, or less than it.
    """
    power = data.inputs.square().mean(0, dtype=torch.float64).numpy()
    codes, scales, errors = _projected(data, power, shared_scale, power_of_two)
    if exchange:
        width = max(data.tile, block // data.tile * data.tile) if data.tile < data.weights.shape[1] else block
        for _ in range(_ROUNDS):
            _descend(data, power, codes, scales, shrinkage, width)
            scales, errors = _fitted(data, data.reach(codes), scales, shared_scale, power_of_two)
    return RowSolution(codes, scales, errors)


def _fitted(data: LongRows, reached: Tensor, scales: Rows, shared: bool, fixed: bool) -> tuple[Rows, Rows]:
    """The best scales of these codes, and their errors."""
    linear = (reached * data.outputs).mean(0, dtype=torch.float64).numpy()
    square = reached.square().mean(0, dtype=torch.float64).numpy()
    if not fixed:
        above, below = (linear.sum(), square.sum()) if shared else (linear, square)
        good = (above > 0) & (below > 0)
        scales = np.where(good, above / np.where(good, below, 1.0), scales)
    return scales, scales * scales * square - 2 * scales * linear


def _projected(data: LongRows, power: Rows, shared: bool, fixed: bool) -> tuple[Codes, Rows, Rows]:
    count = len(data.weights)
    covering = np.maximum(np.abs(data.weights).max(1), 1e-30) / data.largest
    covering = np.full(count, covering.max()) if shared else covering
    covering = 2.0 ** np.ceil(np.log2(covering)) if fixed else covering
    h = np.maximum(power / max(power.max(), 1e-300), 1e-9)[None]
    codes, scales, errors = np.zeros(data.weights.shape, np.int64), covering.copy(), np.full(count, np.inf)
    for step in _STEPS:
        trial = np.zeros_like(codes)

        def work(rows: slice, trial: Codes = trial, step: float = float(step)) -> None:
            limits = (data.largest, data.tile, data.budgets[rows])
            project_rows(data.weights[rows], covering[rows] * step, h, *limits, trial[rows])

        in_threads(work, *data.weights.shape)
        found, error = _fitted(data, data.reach(trial), covering * step, shared, fixed)
        better = np.full(count, error.sum() < errors.sum()) if shared else error < errors
        codes[better], scales[better], errors[better] = trial[better], found[better], error[better]
    return codes, scales, errors


def _descend(data: LongRows, power: Rows, codes: Codes, scales: Rows, shrinkage: float, width: int) -> None:
    """One round over all blocks, in place."""
    reached = data.reach(codes)
    n = len(data.inputs)
    for first in range(0, codes.shape[1], width):
        columns = slice(first, min(first + width, codes.shape[1]))
        part, own = data.inputs[:, columns], data.reach(codes[:, columns], columns)
        rest = data.outputs - (reached - own) * torch.from_numpy(scales).to(own.dtype)
        moments = (1 - shrinkage) * ((part.T @ part).double() / n).numpy()
        size = columns.stop - columns.start
        moments[np.arange(size), np.arange(size)] = power[columns] + 1e-12
        common = (1 - shrinkage) * ((rest.T @ part).double() / n).numpy()
        common += shrinkage * data.cross[columns] * data.weights[:, columns]
        budgets = data.budgets if data.tile <= width else _left(data.budgets, codes, columns)
        block = np.ascontiguousarray(codes[:, columns])
        _descend_block(data, (np.ascontiguousarray(common), moments[None], budgets), block, scales)
        codes[:, columns] = block
        reached += data.reach(block, columns) - own


def _descend_block(data: LongRows, given: tuple[Rows, Rows, Codes], block: Codes, scales: Rows) -> None:
    common, moments, budgets = given

    def work(rows: slice) -> None:
        found, errors = scales[rows].copy(), np.full(len(block[rows]), np.inf)
        limits = (data.largest, min(data.tile, block.shape[1]), budgets[rows])
        descend_rows(common[rows], moments, 0, True, *limits, block[rows], found, errors)

    in_threads(work, *block.shape)


def _left(budgets: Codes, codes: Codes, columns: slice) -> Codes:
    """What the weights outside of some columns leave of the budget; exact in int64."""
    outside = codes.copy()
    outside[:, columns] = 0
    plus, minus = np.maximum(outside, 0).sum(1), np.maximum(-outside, 0).sum(1)
    left: Codes = budgets.copy()
    left[:, 2] -= plus * budgets[:, 0] + minus * budgets[:, 1]
    left[:, 3] -= minus * budgets[:, 0] + plus * budgets[:, 1]
    return left
