"""Exact optima of a folding problem: least cost for a rate, highest rate within a budget, and the curve between.

Without a budget that binds, the problem is a sum over units and streams and is solved exactly by elimination
(:mod:`brevitas_a2q.hw._min_sum`); where a budget binds, an integer programme (:mod:`brevitas_a2q.hw._folding_budget`).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from brevitas_a2q.hw._choices import Choices
from brevitas_a2q.hw._folding_problem import FoldingPlan, FoldingProblem, plan_of
from brevitas_a2q.hw._min_sum import Factor, Floats, minimise
from brevitas_a2q.hw._prices import Price

__all__ = ["cheapest_rows", "least_cost", "pareto"]


def least_cost(problem: FoldingProblem, max_cycles: int | None = None, price: Price | None = None) -> FoldingPlan:
    """The folding of least LUT-equivalent cost whose units need at most ``max_cycles`` per image (None: any number).

    Raises:
        FoldingError: If no folding is that fast; the message names the unit that binds.
    """
    return plan_of(problem, *cheapest_rows(problem, problem.within(max_cycles), price))


def cheapest_rows(
    problem: FoldingProblem, choices: list[Choices], price: Price | None = None
) -> tuple[list[Choices], list[int]]:
    """The optimum over these choices, as choices and the row to take of each.

    Args:
        problem: Whose streams couple the choices.
        choices: What each group of units may be.
        price: Cost of a LUT, BRAM18, URAM and DSP; the problem's weights by default.
    """
    weights = np.array(problem.weights.price if price is None else price)
    choices = [_cheapest_by_width(c, weights) for c in choices]
    tables = [problem.link_table(link, choices[link.writer], choices[link.reader]) @ weights for link in problem.links]
    kept = _prune(problem, choices, tables, weights)
    choices = [c.take(k) for c, k in zip(choices, kept, strict=True)]
    factors = [Factor((i,), c.resources @ weights) for i, c in enumerate(choices)]
    for link, table in zip(problem.links, tables, strict=True):
        reduced = table[np.ix_(kept[link.writer], kept[link.reader])]
        factors.append(Factor((link.writer, link.reader), reduced))
    _, rows = minimise([len(c) for c in choices], factors)
    return choices, rows


def pareto(problem: FoldingProblem, max_cycles: int | None = None) -> Iterator[FoldingPlan]:
    """Every plan that no other one beats in both cost and cycles, from the slowest to the fastest.

    A plan does not depend on where the curve begins: it is :func:`least_cost` at its own cycles.

    Args:
        problem: What to fold.
        max_cycles: Most cycles of the first plan; None for any number.

    Raises:
        FoldingError: If no folding is that fast.
    """
    fastest = max(int(c.cycles.min()) for c in problem.choices)
    limit, plan = max_cycles, least_cost(problem, max_cycles)
    while plan.max_cycles > fastest:
        faster = least_cost(problem, plan.max_cycles - 1)
        if faster.lut_equivalent > plan.lut_equivalent:
            yield plan if plan.max_cycles == limit else least_cost(problem, plan.max_cycles)
        limit, plan = plan.max_cycles - 1, faster
    yield plan if plan.max_cycles == limit else least_cost(problem, plan.max_cycles)


def _cheapest_by_width(choices: Choices, weights: Floats) -> Choices:
    """One choice for each combination of widths: nothing else of a choice matters to its neighbours."""
    order, starts = choices.by_words
    costs = (choices.resources @ weights)[order]
    least = np.minimum.reduceat(costs, starts)
    counts = np.diff(np.append(starts, len(order)))
    # Of equal costs the fewest cycles come first: the order within one class is by cycles.
    places = np.where(costs == np.repeat(least, counts), np.arange(len(order)), len(order))
    return choices.take(order[np.minimum.reduceat(places, starts)])


def _prune(
    problem: FoldingProblem, choices: list[Choices], tables: list[Floats], weights: Floats
) -> list[np.ndarray[tuple[int, ...], np.dtype[np.bool_]]]:
    """Which choices may still be part of an optimum: those whose best case is not above another one's worst case."""
    best = [c.resources @ weights for c in choices]
    worst = [b.copy() for b in best]
    for link, table in zip(problem.links, tables, strict=True):
        for group, axis in ((link.writer, 1), (link.reader, 0)):
            best[group] = best[group] + table.min(axis=axis)
            worst[group] = worst[group] + table.max(axis=axis)
    return [low <= high.min() for low, high in zip(best, worst, strict=True)]
