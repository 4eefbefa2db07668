"""Signed projection where many weights tie: equal to the optimum of an integer program, and to that of all sums."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch
from scipy.optimize import Bounds, LinearConstraint, milp
from torch import Tensor

from brevitas_a2q.quant._functional import Budget, budget_from_range, projected_codes, sign_sums

Q_MIN, Q_MAX = -8, 7
INPUTS = ((-8, 7), (-7, 7), (-5, 10), (-128, 127), (-100, 155), (-1, 254), (-2048, 2047))
KINDS = ("integers", "halves", "eighths", "ternary", "equal", "one side equal", "every other integer")


def _rows(kind: str, count: int, length: int, seed: int) -> Tensor:
    """Ratios ``w/s`` of which many are equal; float64, shape ``(count, length)``."""
    generator = torch.Generator().manual_seed(seed)
    normal = 3 * torch.randn(count, length, generator=generator, dtype=torch.float64)
    integers = torch.randint(Q_MIN, Q_MAX + 1, normal.shape, generator=generator).double()
    return {
        "integers": integers,
        "halves": integers / 2 + 0.5,
        "eighths": (normal * 8).round() / 8,
        "ternary": 3.25 * integers.sign(),
        "equal": torch.where(normal < 1, -2.75, 2.75).double(),
        "one side equal": torch.where(normal > 0, 2.25, normal),
        "every other integer": torch.where(torch.arange(length) % 2 == 0, integers, normal),
    }[kind]


def _gains(part: Tensor, limit: int) -> np.ndarray:
    """What each unit of this sign takes off ``||q - u||^2``, best first; only those that take something off."""
    units = 2 * part.clamp_min(0).unsqueeze(1) - 2 * torch.arange(limit) - 1
    return units[units > 0].sort(descending=True).values.numpy()


def _least_of_all_sums(u: Tensor, budget: Budget) -> float:
    """Smallest ``||q - u||^2``: for every ``S+`` the largest ``S-`` beside it, each at the gain of its best units."""
    plus, minus = (np.concatenate([[0.0], _gains(*part).cumsum()]) for part in ((u, Q_MAX), (-u, -Q_MIN)))
    x_lo, x_hi, upper, lower = (int(limit) for limit in budget)
    first = np.arange(len(plus))
    second = np.minimum((upper - x_hi * first) // -x_lo, (lower + x_lo * first) // x_hi)
    gain = plus + minus[second.clip(0, len(minus) - 1)]
    return float(u.square().sum()) - float(gain[second >= 0].max())


def _least_by_program(u: Tensor, budget: Budget) -> float:
    """Smallest ``||q - u||^2`` by branch and bound: how many units of each sign and gain to take."""
    groups = [
        (gain, count, side)
        for side, part in enumerate(((u, Q_MAX), (-u, -Q_MIN)))
        for gain, count in Counter(_gains(*part).tolist()).items()
    ]
    gain, count, side = (np.array(column, dtype=np.float64) for column in zip(*groups, strict=True))
    x_lo, x_hi, upper, lower = (int(limit) for limit in budget)
    sums = np.stack([np.where(side == 0, x_hi, -x_lo), np.where(side == 0, -x_lo, x_hi)])
    found = milp(
        -gain,
        integrality=np.ones_like(gain),
        bounds=Bounds(0, count),
        constraints=LinearConstraint(sums, ub=[upper, lower]),
        options={"mip_rel_gap": 0},
    )
    assert found.success
    return float(u.square().sum() + found.fun)


def _distance(u: Tensor, budget: Budget) -> Tensor:
    codes = projected_codes(u, torch.ones((), dtype=u.dtype), budget, Q_MIN, Q_MAX)
    assert budget.holds(*sign_sums(codes)).all()
    return (codes.double() - u.double()).square().sum(1)


@pytest.mark.parametrize("inputs", INPUTS)
@pytest.mark.parametrize("kind", KINDS)
def test_equals_the_best_of_all_sums(kind: str, inputs: tuple[int, int]) -> None:
    for length in (7, 60, 1000):
        u = _rows(kind, 2, length, length)
        for bits in (10, 12, 14, 18, 22):
            budget = budget_from_range(bits, *inputs)
            want = torch.tensor([_least_of_all_sums(row, budget) for row in u], dtype=torch.float64)
            torch.testing.assert_close(_distance(u, budget), want, rtol=1e-12, atol=1e-9)


@pytest.mark.parametrize("inputs", INPUTS)
@pytest.mark.parametrize("kind", ["integers", "halves", "ternary", "equal"])
def test_equals_an_integer_program(kind: str, inputs: tuple[int, int]) -> None:
    for length in (40, 400, 4000):
        u = _rows(kind, 3, length, length + 1)
        for bits in (10, 14, 17):
            budget = budget_from_range(bits, *inputs)
            want = torch.tensor([_least_by_program(row, budget) for row in u], dtype=torch.float64)
            # The solver is content with integers to within 1e-6.
            torch.testing.assert_close(_distance(u, budget), want, rtol=1e-9, atol=1e-4)


@pytest.mark.parametrize("inputs", [(-8, 7), (-7, 7), (-5, 10)])
def test_rows_with_budgets_of_their_own(inputs: tuple[int, int]) -> None:
    u = _rows("integers", 8, 500, 0)
    bias = torch.tensor([0, 1, -1, 500, -700, 2000, -2047, 8191])
    budget = budget_from_range(14, *inputs, bias)
    rows = [Budget(budget.x_lo, budget.x_hi, budget.upper[row], budget.lower[row]) for row in range(len(u))]
    want = torch.tensor([_least_of_all_sums(row, of) for row, of in zip(u, rows, strict=True)], dtype=torch.float64)
    torch.testing.assert_close(_distance(u, budget), want, rtol=1e-12, atol=1e-9)


@pytest.mark.parametrize("seed", range(4))
def test_budgets_of_any_coefficients(seed: int) -> None:
    """Also such as no integer type has: two ends of the range up to a thousand times apart, unequal limits."""
    generator = np.random.default_rng(seed)
    for kind in KINDS:
        length = int(generator.choice([1, 5, 50, 500]))
        u = _rows(kind, 4, length, seed)
        up, down = (int(2 ** generator.uniform(0, 10)) for _ in range(2))
        most = 3 * length * max(up, down)
        values = (-down, up, int(most * generator.random()), int(most * generator.random()))
        budget = Budget(*(torch.tensor(value) for value in values))
        want = torch.tensor([_least_of_all_sums(row, budget) for row in u], dtype=torch.float64)
        torch.testing.assert_close(_distance(u, budget), want, rtol=1e-12, atol=1e-9)


def test_a_row_that_a_fixed_window_misses() -> None:
    """1,000 integers of 4 bits beside signed inputs of 4 bits at P = 14, in float32 as layers compute."""
    u = _rows("integers", 4, 1000, 1014)
    budget = budget_from_range(14, -8, 7)
    want = torch.tensor([_least_of_all_sums(row, budget) for row in u], dtype=torch.float64)
    assert torch.equal(_distance(u.float(), budget), want)
