"""The solver: budgets kept exactly, near the integer optimum, and what its options promise."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from brevitas_a2q.bounds import IntRange, two_sided_budget
from brevitas_a2q.ptq._blocks import LongRows, solve_in_blocks
from brevitas_a2q.ptq._problem import RowProblem, budget_rows, holds
from brevitas_a2q.ptq._solver import solve

INPUTS = {"unsigned": (0, 7), "signed": (-3, 3), "zero-point": (-1, 6), "negative": (-7, 0)}


def _problem(
    rows: int, size: int, bits: int, inputs: tuple[int, int], largest: int, seed: int = 0, tile: int | None = None
) -> tuple[RowProblem, NDArray[np.float64]]:
    """A problem with correlated inputs, and the power of its outputs."""
    rng = np.random.default_rng(seed)
    x = np.maximum(rng.normal(size=(2000, size)) @ (np.eye(size) + rng.normal(size=(size, size)) / size**0.5), 0)
    step = 3 * x.std() / max(inputs[1], -inputs[0])
    x_hat = np.clip(np.round(x / step), *inputs) * step
    x, x_hat = x - x.mean(0), x_hat - x_hat.mean(0)
    weights = rng.laplace(size=(rows, size))
    y = x @ weights.T
    budgets = budget_rows(two_sided_budget(bits, IntRange(*inputs)), rows)
    common = np.ascontiguousarray((x_hat.T @ y).T / len(x))
    moments = (x_hat.T @ x_hat / len(x))[None]
    return RowProblem(weights, common, moments, budgets, largest, tile or size), (y**2).mean(0)


def _best(problem: RowProblem) -> NDArray[np.float64]:
    """The least error of every row over all integer vectors within the budget, each at its best scale."""
    size, largest = problem.weights.shape[1], problem.largest
    points = np.array(list(itertools.product(range(-largest, largest + 1), repeat=size)))
    up, down, upper, lower = problem.budgets[0]
    plus, minus = np.maximum(points, 0).sum(1), np.maximum(-points, 0).sum(1)
    points = points[(plus * up + minus * down <= upper) & (minus * up + plus * down <= lower)]
    square = np.einsum("pi,ij,pj->p", points, problem.moments[0], points)
    linear = np.maximum(points @ problem.common.T, 0)
    return -(linear**2 / np.maximum(square, 1e-300)[:, None]).max(0)


@pytest.mark.parametrize("inputs", INPUTS.values(), ids=INPUTS.keys())
def test_near_the_integer_optimum(inputs: tuple[int, int]) -> None:
    if inputs[1] == 0:
        pytest.skip("inputs of these data are positive")
    problem, _ = _problem(60, 6, 6, inputs, largest=2)
    optimum = _best(problem)
    found = solve(problem, "exchange")
    assert holds(found.codes, problem.budgets, problem.tile)
    assert (found.errors >= optimum - 1e-9).all()
    reached = found.errors / optimum  # share of what can be explained at all
    assert reached.min() > 0.9
    assert (reached > 1 - 1e-9).mean() > 0.5
    projected = solve(problem, "projection")
    assert (found.errors <= projected.errors + 1e-12).all()


@pytest.mark.parametrize("inputs", INPUTS.values(), ids=INPUTS.keys())
@pytest.mark.parametrize("method", ["projection", "exchange"])
@pytest.mark.parametrize("tile", [None, 7])
def test_keeps_its_budget(inputs: tuple[int, int], method: str, tile: int | None) -> None:
    for bits in (4, 7, 12, 64):
        problem, _ = _problem(8, 40, bits, inputs, largest=127, tile=tile)
        found = solve(problem, method)
        assert holds(found.codes, problem.budgets, problem.tile)
        assert np.abs(found.codes).max() <= 127
        linear = (found.codes * problem.common).sum(1)
        square = np.einsum("ci,ij,cj->c", found.codes, problem.moments[0], found.codes)
        assert np.allclose(found.errors, found.scales**2 * square - 2 * found.scales * linear)


def test_errors_fall_with_the_width() -> None:
    errors = []
    for bits in (6, 8, 10, 12, 14):
        problem, power = _problem(16, 64, bits, (0, 7), largest=127)
        errors.append(float(((power + solve(problem, "exchange").errors) / power).mean()))
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 0.05 < errors[0]


def test_scales_of_a_tensor_and_powers_of_two() -> None:
    problem, _ = _problem(12, 30, 9, (0, 7), largest=127)
    for method in ("projection", "exchange"):
        free = solve(problem, method).errors.sum()
        for shared, power in itertools.product((False, True), repeat=2):
            options = replace(problem, shared_scale=shared, power_of_two=power)
            found = solve(options, method)
            assert holds(found.codes, problem.budgets, problem.tile)
            assert not shared or len(set(found.scales)) == 1
            assert not power or np.equal(np.log2(found.scales) % 1, 0).all()
            assert free <= 0.98 * found.errors.sum() or not (shared or power)


def test_rows_of_their_own_moments() -> None:
    parts = [_problem(1, 9, 8, (0, 7), largest=127, seed=seed)[0] for seed in range(6)]
    together = RowProblem(
        *(
            np.concatenate([getattr(part, name) for part in parts])
            for name in ("weights", "common", "moments", "budgets")
        ),
        largest=127,
        tile=9,
    )
    found = solve(together, "exchange")
    for row, part in enumerate(parts):
        assert np.array_equal(found.codes[row], solve(part, "exchange").codes[0])


def test_dead_inputs_and_channels() -> None:
    problem, _ = _problem(4, 20, 8, (0, 7), largest=127)
    problem.moments[0, 3], problem.moments[0, :, 3], problem.common[:, 3] = 0, 0, 0
    problem.weights[1], problem.common[1] = 0, 0
    found = solve(problem, "exchange")
    assert holds(found.codes, problem.budgets, problem.tile)
    assert not found.codes[1].any()
    assert np.isfinite(found.scales).all()


def test_the_check_sees_one_unit_too_much() -> None:
    budgets = budget_rows(two_sided_budget(8, IntRange(0, 15)), 1)  # 127 // 15 = 8 above, 128 // 15 = 8 below
    assert holds(np.array([[8, -8]]), budgets, 2)
    assert not holds(np.array([[9, -8]]), budgets, 2)
    assert not holds(np.array([[8, -9]]), budgets, 2)
    assert holds(np.array([[8, 0, 8, 0]]), budgets, 2)
    assert not holds(np.array([[8, 0, 8, 0]]), budgets, 4)


@pytest.mark.parametrize("tile", [None, 10])
def test_blocks_of_long_rows(tile: int | None) -> None:
    rng = np.random.default_rng(0)
    n, size, rows = 1500, 60, 6
    x = torch.from_numpy(np.maximum(rng.normal(size=(n, size)) @ (np.eye(size) + rng.normal(size=(size, size)) / 8), 0))
    x_hat = (x / x.std() * 2).round().clamp(0, 7) * x.std() / 2
    weights = rng.laplace(size=(rows, size))
    x, x_hat = x - x.mean(0), x_hat - x_hat.mean(0)
    y = x @ torch.from_numpy(weights).T
    budgets = budget_rows(two_sided_budget(8, IntRange(0, 7)), rows)
    data = LongRows(x_hat, y, (x_hat * x).mean(0).numpy(), weights, budgets, 127, tile or size)
    options = {"shared_scale": False, "power_of_two": False}
    start = solve_in_blocks(data, 0.0, exchange=False, **options)
    found = solve_in_blocks(data, 0.0, exchange=True, block=20, **options)
    assert holds(found.codes, budgets, data.tile)
    assert found.errors.sum() < start.errors.sum()
    common, moments = np.ascontiguousarray((x_hat.T @ y).T.numpy()) / n, (x_hat.T @ x_hat).numpy()[None] / n
    whole = solve(RowProblem(weights, common, moments, budgets, 127, data.tile), "exchange")
    assert found.errors.sum() == pytest.approx(whole.errors.sum(), rel=0.05)
