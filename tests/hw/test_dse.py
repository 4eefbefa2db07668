"""Vectorised design points against designs built one by one."""

from __future__ import annotations

import numpy as np
import pytest
from networks import deep_net, residual_net

from brevitas_a2q.errors import FoldingError
from brevitas_a2q.hw._cost.model import synthesis_model
from brevitas_a2q.hw._devices import find_part
from brevitas_a2q.hw._dse import DesignSpace, pareto_front
from brevitas_a2q.hw._folding_problem import FoldingProblem
from brevitas_a2q.hw._folding_search import least_cost

PART, MODEL = find_part("ZCU104"), synthesis_model()


def random_points(space: DesignSpace, count: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    return np.stack([rng.integers(0, size, count) for size in space.sizes], axis=1)


def test_points_cost_what_the_problem_says() -> None:
    problem = FoldingProblem(residual_net(), PART, MODEL)
    space = DesignSpace(problem)
    points = random_points(space, 50)
    found = space.evaluate(points)
    for point, resources, cycles in zip(points, found.resources, found.max_cycles, strict=True):
        used = problem.total(point.tolist(), problem.choices)
        assert resources.tolist() == [used.lut, used.bram18, used.uram, used.dsp]
        assert cycles == max(c.cycles[i] for c, i in zip(problem.choices, point, strict=True))
    foldings = space.foldings(points[0])
    assert set(foldings) == {u.name for u in residual_net().units}


def test_no_random_point_beats_the_optimum() -> None:
    problem = FoldingProblem(residual_net(), PART, MODEL)
    space = DesignSpace(problem)
    found = space.evaluate(random_points(space, 20_000))
    costs = found.resources @ np.array(problem.weights.price)
    for limit in np.quantile(found.max_cycles, [0.1, 0.5, 0.9]).astype(int).tolist():
        assert least_cost(problem, limit).lut_equivalent <= costs[found.max_cycles <= limit].min()


def test_one_point_costs_what_it_costs_among_many() -> None:
    space = DesignSpace(FoldingProblem(deep_net(7), PART, MODEL, max_cycles=200_000))
    assert len(space.sizes) == 21
    points = random_points(space, 20)
    together = space.evaluate(points)
    for i, point in enumerate(points):
        alone = space.evaluate(point)
        assert alone.max_cycles.tolist() == [together.max_cycles[i]]
        assert alone.resources.tolist() == [together.resources[i].tolist()]


def test_wrong_number_of_columns() -> None:
    with pytest.raises(FoldingError, match="found 2 columns; expected 14"):
        DesignSpace(FoldingProblem(residual_net(), PART, MODEL)).evaluate([[0, 0]])


def test_pareto_front_matches_definition() -> None:
    costs = np.random.default_rng(1).integers(0, 6, (60, 3))
    beaten = [any((o <= p).all() and (o < p).any() for o in costs) for p in costs]
    assert pareto_front(costs).tolist() == [not b for b in beaten]
