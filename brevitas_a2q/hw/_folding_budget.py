"""Folding within a budget of LUT, BRAM18, URAM and DSP: an integer programme, solved exactly by HiGHS.

Most questions need none. The optimum without a budget may lie within it. And whether anything does is often answered by
prices (Lagrange multipliers): the plan that is cheapest at some prices is within the budget, or dearer than all of the
budget, so that nothing is within. A programme too large to be solved exactly combines the choices that prices favour.

One binary variable per choice, of which each group takes one. Streams couple two groups through the widths at their
ends only: a flow from each width written to each width read, whose margins are the choices of those widths. Where the
choices are whole numbers, so is the flow.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np
import numpy.typing as npt

from brevitas_a2q.hw._choices import Choices, Ints
from brevitas_a2q.hw._cost.result import Resources
from brevitas_a2q.hw._folding_problem import FoldingPlan, FoldingProblem, Link, plan_of
from brevitas_a2q.hw._folding_search import cheapest_rows, least_cost
from brevitas_a2q.hw._ir import Folding
from brevitas_a2q.hw._min_sum import Floats

__all__ = ["any_within", "best_within", "impossible", "solve_programme"]

_TURNS = 32  # of raising prices
_MOST_CHOICES = 700  # of an integer programme over everything
_GAP = 2e-3  # relative, of the optimum within a budget

# Directions along which the cheapest choice of a group may rule others out: LUT, BRAM18, URAM, DSP.
_DIRECTIONS = np.array(
    [[1, 1e6, 1e6, 1e6], [1, 100, 1e6, 1e6], [1, 1e6, 1e6, 10], [1, 100, 500, 30], [1, 0.1, 0.1, 0.1]]
)


def best_within(problem: FoldingProblem, max_cycles: int | None, budget: Resources) -> FoldingPlan | None:
    """The plan of least LUT-equivalent cost that is fast enough and stays within a budget.

    Within ``_GAP`` of the optimum for programmes of up to ``_MOST_CHOICES`` choices; larger ones are solved over the
    choices that some prices favour.

    Args:
        problem: A problem with every memory style.
        max_cycles: Most cycles per image of any unit; None for any number.
        budget: Largest sum of each resource.

    Returns:
        None if nothing was found that stays within the budget.

    Raises:
        FoldingError: If no folding is that fast, whatever the budget.
    """
    choices = problem.within(max_cycles)
    plan = least_cost(problem, max_cycles)
    if _within(plan.resources, budget):
        return plan
    favoured = _Favoured(problem, choices, budget)
    if favoured.nothing_fits():
        return None
    favoured.at_cost()
    return _solved(problem, favoured.choices(), budget, gap=_GAP)


def any_within(problem: FoldingProblem, max_cycles: int | None, budget: Resources) -> FoldingPlan | None:
    """Some plan that is fast enough and stays within a budget; arguments, result and errors as :func:`best_within`."""
    favoured = _Favoured(problem, problem.within(max_cycles), budget)
    if favoured.nothing_fits():
        return None
    return favoured.plan or _solved(problem, favoured.choices(), budget, gap=1.0)


def impossible(problem: FoldingProblem, max_cycles: int | None, budget: Resources) -> bool:
    """Whether it is proven that nothing that fast stays within the budget; arguments as :func:`best_within`."""
    favoured = _Favoured(problem, problem.within(max_cycles), budget)
    if favoured.nothing_fits():
        return True
    undecided = favoured.plan is None and favoured.is_small
    return undecided and _solved(problem, favoured.choices(), budget, gap=1.0) is None


class _Favoured:
    """Raises the prices of what a plan has too much of, and keeps the choices that were ever part of the cheapest plan.

    Source: subgradient ascent of the Lagrangian dual (M. Held and R. Karp, Mathematical Programming 1, 1971).
    """

    def __init__(self, problem: FoldingProblem, choices: list[Choices], budget: Resources) -> None:
        self._problem, self._all = problem, choices
        self._have = np.array(_vector(budget))
        self._some = np.maximum(self._have, 0.5)  # half a block where there is none: using one is twice too much
        self._seen: list[set[tuple[tuple[int, int], ...]]] = [set() for _ in choices]
        self.plan: FoldingPlan | None = None  # one within the budget

    @cached_property
    def _reduced(self) -> list[Choices]:
        return _reduced(self._problem, self._all)

    @property
    def is_small(self) -> bool:
        """Whether the programme over all choices is solved."""
        return sum(len(c) for c in self._reduced) <= _MOST_CHOICES

    def choices(self) -> list[Choices]:
        """All that may matter, or where these are too many those that prices favoured."""
        if self.is_small:
            return self._reduced
        return [
            c.take(np.array([_sizes(f) in seen for f in c.foldings]))
            for c, seen in zip(self._all, self._seen, strict=True)
        ]

    def nothing_fits(self) -> bool:
        """Whether it is proven that no plan is within the budget: at some prices all of it buys none."""
        prices = 1.0 / self._some
        for turn in range(_TURNS):
            used = self._cheapest(prices)
            if self.plan is not None:
                return False
            if used @ prices > (self._have @ prices) * (1 + 1e-9):
                return True
            prices = prices * np.exp(self._over(used) / (1 + turn / 12))
        return False

    def at_cost(self) -> None:
        """Prices that start at the problem's weights."""
        weights = np.array(self._problem.weights.price)
        step = 0.3 * np.maximum(weights, (weights @ self._some) / 4 / self._some)
        extra = np.zeros(4)
        for turn in range(_TURNS):
            used = self._cheapest(weights + extra)
            extra = np.maximum(0.0, extra + step * self._over(used) / (1 + turn / 4))

    def _over(self, used: Floats) -> Floats:
        over: Floats = np.clip(used / self._some - 1.0, -1.0, 1.0)
        return over

    def _cheapest(self, prices: Floats) -> Floats:
        lut, bram18, uram, dsp = prices.tolist()
        taken, rows = cheapest_rows(self._problem, self._all, (lut, bram18, uram, dsp))
        for seen, c, row in zip(self._seen, taken, rows, strict=True):
            seen.add(_sizes(c.foldings[row]))
        plan = plan_of(self._problem, taken, rows)
        used = np.array(_vector(plan.resources))
        if (used <= self._have).all():
            self.plan = plan
        return used


def _sizes(foldings: tuple[Folding, ...]) -> tuple[tuple[int, int], ...]:
    """PE and SIMD: where these are favoured, every kind of multiplier and memory is worth a look."""
    return tuple((folding.pe, folding.simd) for folding in foldings)


def solve_programme(problem: FoldingProblem, max_cycles: int | None, budget: Resources) -> FoldingPlan | None:
    """What :func:`best_within` promises, by the integer programme over all choices."""
    return _solved(problem, _reduced(problem, problem.within(max_cycles)), budget, gap=0.0)


def _solved(problem: FoldingProblem, choices: Sequence[Choices], budget: Resources, gap: float) -> FoldingPlan | None:
    """The optimum over these choices within the budget, or what is at most a relative gap above it."""
    from scipy.optimize import Bounds, LinearConstraint, milp
    from scipy.sparse import csr_array

    programme = _Programme(problem, choices)
    used = np.concatenate(programme.resources)
    rows, columns, signs = (np.concatenate(part) for part in zip(*programme.entries, strict=True))
    sums = np.array(programme.sums)
    equal = csr_array((signs, (rows, columns)), shape=(len(sums), len(used)))
    result = milp(
        used @ np.array(problem.weights.price),
        integrality=np.arange(len(used)) < programme.binaries,
        bounds=Bounds(0, 1),
        constraints=[
            LinearConstraint(csr_array(used.T), -np.inf, _vector(budget)),
            LinearConstraint(equal, sums, sums),
        ],
        options={"mip_rel_gap": gap},
    )
    if not result.success:
        return None
    taken = np.split(result.x[: programme.binaries], programme.starts[1:])
    return plan_of(problem, choices, [int(part.argmax()) for part in taken])


def _vector(resources: Resources) -> tuple[float, float, float, float]:
    return float(resources.lut), float(resources.bram18), float(resources.uram), float(resources.dsp)


def _within(used: Resources, budget: Resources) -> bool:
    return all(u <= have for u, have in zip(_vector(used), _vector(budget), strict=True))


class _Programme:
    """Columns and rows of the programme: the choices' columns come first, then the flows of the links."""

    def __init__(self, problem: FoldingProblem, choices: Sequence[Choices]) -> None:
        sizes = [len(c) for c in choices]
        self.binaries = sum(sizes)
        self.starts = np.cumsum([0, *sizes[:-1]])
        self.resources = [c.resources.astype(np.float64) for c in choices]
        self.entries: list[tuple[Ints, Ints, npt.NDArray[np.float64]]] = []  # rows, columns, coefficients
        self.sums: list[float] = []  # right-hand side of each row
        for start, size in zip(self.starts, sizes, strict=True):
            self._row(start + np.arange(size), np.arange(0), 1.0)
        columns = self.binaries
        for link in problem.links:
            columns += self._flow(problem, link, choices[link.writer], choices[link.reader], columns)

    def _flow(self, problem: FoldingProblem, link: Link, writer: Choices, reader: Choices, first: int) -> int:
        table, write_class, read_class = problem.word_table(link, writer, reader)
        flows = first + np.arange(table.shape[0] * table.shape[1]).reshape(table.shape[:2])
        self.resources.append(table.reshape(-1, 4).astype(np.float64))
        for i, out in enumerate(flows):
            self._row(out, self.starts[link.writer] + np.flatnonzero(write_class == i), 0.0)
        for j, into in enumerate(flows.T):
            self._row(into, self.starts[link.reader] + np.flatnonzero(read_class == j), 0.0)
        return int(flows.size)

    def _row(self, plus: Ints, minus: Ints, equals: float) -> None:
        columns = np.concatenate([plus, minus])
        signs = np.repeat([1.0, -1.0], [len(plus), len(minus)])
        self.entries.append((np.full(len(columns), len(self.sums)), columns, signs))
        self.sums.append(equals)


def _reduced(problem: FoldingProblem, choices: Sequence[Choices]) -> list[Choices]:
    """Without choices that a champion of their group replaces at no more of any resource, streams included.

    The champions are the cheapest choices along a few directions. Replacing a choice changes its own streams only, by
    at most the difference of the dearest and the cheapest of them.
    """
    low = [c.resources.astype(np.float64) for c in choices]
    high = [c.resources.astype(np.float64) for c in choices]
    for link in problem.links:
        table = problem.link_table(link, choices[link.writer], choices[link.reader])
        for group, axis in ((link.writer, 1), (link.reader, 0)):
            low[group] = low[group] + table.min(axis=axis)
            high[group] = high[group] + table.max(axis=axis)
    kept = []
    for group, (best, worst) in enumerate(zip(low, high, strict=True)):
        keep = np.ones(len(best), dtype=np.bool_)
        for champion in np.unique((worst @ _DIRECTIONS.T).argmin(axis=0)):
            beaten = (worst[champion] <= best).all(axis=1)
            beaten[champion] = False
            keep &= ~beaten
        kept.append(choices[group].take(keep))
    return kept
