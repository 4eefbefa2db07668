"""The projection: the exact optimum, plain rounding where nothing binds, and the gradient of the face."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor

from brevitas_a2q.quant._functional import Budget, budget_from_range, projected_codes, sign_sums

INPUTS = {"unsigned": (0, 15), "signed": (-8, 7), "narrow": (-7, 7), "zero-point": (-5, 10), "negative": (-15, 0)}


def _exhaustive(u: Tensor, budget: Budget, q_min: int, q_max: int) -> Tensor:
    """Smallest ``||q - u||^2`` over every integer vector that holds the budget; shape ``(C,)``."""
    points = torch.tensor(list(itertools.product(range(q_min, q_max + 1), repeat=u.shape[1])))
    inside = points[budget.holds(*sign_sums(points)).squeeze(1)]
    return (u.unsqueeze(1) - inside).square().sum(2).amin(1)


def _all_splits(u: Tensor, budget: Budget, q_max: int) -> float:
    """Smallest ``||q - u||^2`` of one row: the greedy best of each sign for every split of the budget."""
    curves = []
    for part in (u.clamp_min(0), u.neg().clamp_min(0)):
        gains = (part.unsqueeze(1) - torch.arange(q_max) - 0.5).flatten().sort(descending=True).values
        curves.append(torch.cat([gains.new_zeros(1), (2 * gains[gains > 0]).cumsum(0)]))
    x_lo, x_hi, upper, lower = (int(limit) for limit in budget)
    best = 0.0
    for plus, value in enumerate(curves[0].tolist()):
        left = [(upper - x_hi * plus, -x_lo), (lower + x_lo * plus, x_hi)]
        if min(room for room, _ in left) >= 0:
            minus = min([len(curves[1]) - 1, *(room // size for room, size in left if size)])
            best = max(best, value + float(curves[1][minus]))
    return float(u.square().sum()) - best


@pytest.mark.parametrize("inputs", INPUTS.values(), ids=INPUTS.keys())
@pytest.mark.parametrize(("q_min", "q_max"), [(-3, 3), (-4, 3), (-1, 1)])
@pytest.mark.parametrize("bits", [4, 5, 6, 7])
def test_equals_the_exhaustive_optimum(inputs: tuple[int, int], q_min: int, q_max: int, bits: int) -> None:
    generator = torch.Generator().manual_seed(bits)
    u = torch.randn(60, 4, generator=generator, dtype=torch.float64) * 2
    u[:6] = torch.randint(-4, 5, (6, 4), generator=generator) / 2  # ties
    budget = budget_from_range(bits, *inputs)
    codes = projected_codes(u, torch.ones((), dtype=u.dtype), budget, q_min, q_max)
    assert budget.holds(*sign_sums(codes)).all()
    torch.testing.assert_close((codes - u).square().sum(1), _exhaustive(u, budget, q_min, q_max))


@pytest.mark.parametrize("inputs", [*INPUTS.values(), (-128, 127), (-100, 155), (-1, 254)])
@pytest.mark.parametrize("length", [1, 3, 40, 300])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_equals_the_best_of_all_splits(inputs: tuple[int, int], length: int, dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(length)
    sizes = torch.tensor([0.4, 2.0, 6.0, 30.0]).repeat(3)
    u = torch.randn(12, length, generator=generator) + torch.tensor([[0.0], [0.5], [-1.0]]).repeat_interleave(4, 0)
    u = (u * sizes.unsqueeze(1)).to(dtype)
    for bits in (8, 10, 13, 16):
        budget = budget_from_range(bits, *inputs)
        codes = projected_codes(u, torch.ones((), dtype=dtype), budget, -7, 7)
        assert budget.holds(*sign_sums(codes)).all()
        got = (codes.double() - u.double()).square().sum(1)
        want = torch.tensor([_all_splits(row, budget, 7) for row in u.double()], dtype=torch.float64)
        torch.testing.assert_close(got, want, rtol=1e-9, atol=1e-6)
