"""Weights beside an integer bias, which is one more term of the sum and takes its part of the budget.

The bias that makes up for the mean error depends on the weights and on their scale, and what is left to the weights on
the bias. So rows are solved without it first, then within what the bias has turned out to take, until both fit. A bias
that no half of the accumulator holds at the scale that was found gets a larger scale, at which the weights are rounded
anew.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from brevitas_a2q.bounds import IntRange, two_sided_budget
from brevitas_a2q.ptq._kernels.rows import project_rows
from brevitas_a2q.ptq._problem import Codes, Rows, RowSolution, budget_rows
from brevitas_a2q.quant._bias import room_for_bias

__all__ = ["BiasRoom", "less", "solve_beside_bias"]

_ROUNDS: Final = 4
_FAR: Final = 2.0**62


def less(budgets: Codes, bias: Codes | None) -> Codes:
    """What a bias leaves of the budgets of rows.  # shape: (C, 4)"""
    if bias is None:
        return budgets
    left: Codes = budgets.copy()
    left[:, 2] -= np.maximum(bias, 0)
    left[:, 3] -= np.maximum(-bias, 0)
    return left


@dataclass(frozen=True)
class BiasRoom:
    """The accumulator that bias and weights of every row share.

    Attributes:
        accumulator_bit_width: P.
        inputs: Range of the inputs.
        input_scale: ``s_x``; a code of the bias stands for ``s_w s_x``.
        bias_bit_width: Of the bias' own type.
        largest: Largest magnitude of a weight's code.
        shared_scale: Whether all rows have one scale.
        power_of_two: Whether scales are powers of two.
    """

    accumulator_bit_width: int
    inputs: IntRange
    input_scale: float
    bias_bit_width: int
    largest: int
    shared_scale: bool
    power_of_two: bool

    @property
    def most(self) -> int:
        """Largest magnitude of a bias' code."""
        return min(room_for_bias(self.accumulator_bit_width), (1 << (self.bias_bit_width - 1)) - 1)

    def codes(self, bias: Rows, scales: Rows) -> Codes:
        """The nearest codes of a bias in real units."""
        codes: Codes = np.rint((bias / (scales * self.input_scale)).clip(-_FAR, _FAR)).astype(np.int64)
        return codes

    def fitting(self, bias: Codes, weights: Codes) -> Codes:
        """The bias, clipped to what the weights leave of the accumulator, and to the most that it may be."""
        up, down, upper, lower = self.budgets(len(weights)).T
        plus, minus = np.maximum(weights, 0).sum(1), np.maximum(-weights, 0).sum(1)
        above, below = upper - up * plus - down * minus, lower - up * minus - down * plus
        clipped: Codes = bias.clip(-np.minimum(below, self.most), np.minimum(above, self.most))
        return clipped

    def budgets(self, rows: int) -> Codes:
        """Of rows without a bias.  # shape: (rows, 4)"""
        return budget_rows(two_sided_budget(self.accumulator_bit_width, self.inputs), rows)

    def raised(self, found: RowSolution, bias: Rows) -> RowSolution:
        """Rows at scales at which half of the accumulator holds the bias, their weights rounded and projected anew."""
        least = np.abs(bias) / (self.input_scale * self.most)
        least = np.full_like(least, least.max()) if self.shared_scale else least
        rows = least > found.scales
        if not rows.any():
            return found
        scales = np.where(rows, least * (1 + 1e-6), found.scales)
        scales = 2.0 ** np.ceil(np.log2(scales)) if self.power_of_two else scales
        scales = np.where(rows, scales.astype(np.float32).astype(np.float64), found.scales)
        taken, codes = self.codes(bias, scales), np.zeros_like(found.codes)
        weights, size = found.codes * found.scales[:, None], found.codes.shape[1]
        budgets = less(self.budgets(len(codes)), taken)
        project_rows(weights, scales, np.ones((1, size)), self.largest, size, budgets, codes)
        return replace(found, codes=np.where(rows[:, None], codes, found.codes), scales=scales)


def solve_beside_bias(
    solve: Callable[[Codes], RowSolution], wanted: Callable[[RowSolution], Rows], room: BiasRoom
) -> tuple[RowSolution, Codes]:
    """Weights, and the integer bias beside them.

    Args:
        solve: Solves rows within what a bias of these codes leaves.
        wanted: The bias in real units that goes with a solution.
        room: What they share.

    Returns:
        The solution, and codes of the bias; together they fit every accumulator.
    """
    solution = solve(np.zeros(1, np.int64))
    taken = np.zeros(len(solution.codes), np.int64)
    for _ in range(_ROUNDS):
        codes = room.codes(wanted(solution), solution.scales)
        if np.array_equal(room.fitting(codes, solution.codes), codes):
            return solution, codes
        taken = np.where(room.fitting(codes, solution.codes) != codes, codes.clip(-room.most, room.most), taken)
        solution = solve(taken)
    solution = room.raised(solution, wanted(solution))
    return solution, room.fitting(room.codes(wanted(solution), solution.scales), solution.codes)
