"""How near the post-training solver is to the integer optimum: rows short enough to try every integer vector.

    python benchmarks/ptq_optimality.py        # writes results/ptq_optimality.md

Six correlated, quantized inputs, weights of a Laplace distribution, codes from -2 to 2, each vector at its best scale.
A row's share is what it explains of the output, relative to what the best vector within the budget explains.
"""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from brevitas_a2q.bounds import IntRange, two_sided_budget
from brevitas_a2q.ptq._problem import RowProblem, budget_rows
from brevitas_a2q.ptq._solver import solve

RESULT = Path(__file__).parent / "results" / "ptq_optimality.md"
INPUTS = {"unsigned": (0, 7), "signed": (-3, 3), "zero-point": (-1, 6)}
ROWS, SIZE, LARGEST = 200, 6, 2


def problem(bits: int, inputs: tuple[int, int], seed: int) -> RowProblem:
    rng = np.random.default_rng(seed)
    mixing = np.eye(SIZE) + rng.normal(size=(SIZE, SIZE)) / SIZE**0.5
    x = np.maximum(rng.normal(size=(2000, SIZE)) @ mixing, 0)
    step = 3 * x.std() / inputs[1]
    x_hat = np.clip(np.round(x / step), *inputs) * step
    x, x_hat = x - x.mean(0), x_hat - x_hat.mean(0)
    weights = rng.laplace(size=(ROWS, SIZE))
    common = np.ascontiguousarray((x_hat.T @ (x @ weights.T)).T / len(x))
    budgets = budget_rows(two_sided_budget(bits, IntRange(*inputs)), ROWS)
    return RowProblem(weights, common, (x_hat.T @ x_hat / len(x))[None], budgets, LARGEST, SIZE)


def optimum(given: RowProblem) -> NDArray[np.float64]:
    """The least error of every row over all integer vectors within the budget."""
    points = np.array(list(itertools.product(range(-LARGEST, LARGEST + 1), repeat=SIZE)))
    up, down, upper, lower = given.budgets[0]
    plus, minus = np.maximum(points, 0).sum(1), np.maximum(-points, 0).sum(1)
    points = points[(plus * up + minus * down <= upper) & (minus * up + plus * down <= lower)]
    square = np.einsum("pi,ij,pj->p", points, given.moments[0], points)
    linear = np.maximum(points @ given.common.T, 0)
    best: NDArray[np.float64] = -(linear**2 / np.maximum(square, 1e-300)[:, None]).max(0)
    return best


def main() -> None:
    lines = ["| inputs | P | method | rows at the optimum | mean share | least share |", "|---|---|---|---|---|---|"]
    for (name, inputs), bits in itertools.product(INPUTS.items(), (5, 6, 7)):
        given = problem(bits, inputs, seed=bits)
        best = optimum(given)
        for method in ("projection", "exchange"):
            share = solve(given, method).errors / best
            exact = 100 * (share > 1 - 1e-9).mean()
            lines.append(f"| {name} | {bits} | {method} | {exact:.1f} % | {share.mean():.4f} | {share.min():.4f} |")
    RESULT.write_text("\n".join(lines) + "\n")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
