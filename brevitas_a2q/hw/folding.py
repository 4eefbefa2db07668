"""Folding a network on a part: the cheapest design for a rate, and the fastest one that fits."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from brevitas_a2q.errors import FoldingError
from brevitas_a2q.hw.cost.model import CostModel
from brevitas_a2q.hw.cost.result import Resources
from brevitas_a2q.hw.design import Design, build_design
from brevitas_a2q.hw.devices.part import Part
from brevitas_a2q.hw.folding_budget import best_within
from brevitas_a2q.hw.folding_problem import FoldingPlan, FoldingProblem, rounded_down
from brevitas_a2q.hw.folding_search import least_cost
from brevitas_a2q.hw.ir import Graph

__all__ = ["cheapest", "fastest", "fewer_luts", "fits"]

_LUT_WEIGHTS = (1.25, 1.5, 2.0, 3.0, 4.0, 8.0, 16.0)
_ROUNDS = 6  # of making room for FIFOs; each one leaves as much as the deepest so far took


def cheapest(
    graph: Graph,
    part: Part,
    model: CostModel,
    max_cycles: int | None = None,
    *,
    clock_mhz: float = 200.0,
    must_fit: bool = False,
) -> Design:
    """The design of least LUT-equivalent cost that is fast enough, one that fits the part if there is any.

    The optimum is exact over PE, SIMD, kind of multiplier and memory styles, with width converters and FIFOs of the
    least depth; FIFOs are then sized for the design that was chosen.

    Args:
        graph: Network with the accumulator widths in force.
        part: Part in force.
        model: Cost model.
        max_cycles: Most cycles per image; None for any number.
        clock_mhz: Clock, for messages.
        must_fit: Whether a design that does not fit is an error.

    Raises:
        FoldingError: If no folding is fast enough, or, with ``must_fit``, none that is fits; with the nearest value.
    """
    plan = least_cost(FoldingProblem(graph, part, model, max_cycles=max_cycles, clock_mhz=clock_mhz), max_cycles)
    design = build_design(graph, plan.foldings, part, model)
    if fits(design.total, part):
        return design
    problem = FoldingProblem(graph, part, model, max_cycles=max_cycles, all_styles=True, clock_mhz=clock_mhz)
    fitting = _fitting(problem, lambda budget: best_within(problem, max_cycles, budget))
    if fitting is not None:
        return fitting
    if must_fit:
        quickest = fastest(graph, part, model, clock_mhz=clock_mhz)
        raise _too_small(part, design, clock_mhz, max_cycles, quickest)
    return design


def fastest(graph: Graph, part: Part, model: CostModel, *, clock_mhz: float = 200.0) -> Design:
    """The design of most frames per second that fits the part; of those, the one of least LUT-equivalent cost.

    Raises:
        FoldingError: If no folding fits.
    """
    problem = FoldingProblem(graph, part, model, all_styles=True, clock_mhz=clock_mhz)
    design = _fitting(problem, lambda budget: _fastest_plan(problem, budget))
    if design is None:
        smallest = build_design(graph, least_cost(problem).foldings, part, model)
        raise _too_small(part, smallest, clock_mhz, None, None)
    return design


def fits(used: Resources, part: Part) -> bool:
    """Whether the part has enough of everything."""
    return all(u <= have for u, have in zip(_counts(used), _counts(part), strict=True))


def fewer_luts(graph: Graph, part: Part, model: CostModel, max_cycles: int, beside: Design) -> Design | None:
    """A design that is no worse than another one in LUTs and in LUT-equivalents, if weighing LUTs up finds one.

    The optimum in LUT-equivalents may trade LUTs for block RAMs. Counting LUTs a few times over leads to designs that
    are exact optima of that count; the first of them that stays within both is taken.

    Args:
        graph: Network with the accumulator widths in force.
        part: Part in force.
        model: Cost model.
        max_cycles: Most cycles per image.
        beside: The design to be no worse than.
    """
    problem = FoldingProblem(graph, part, model, max_cycles=max_cycles, all_styles=True)
    most = problem.weights(beside.total)
    _, *blocks = problem.weights.price
    for weight in _LUT_WEIGHTS:
        plan = least_cost(problem, max_cycles, (weight, blocks[0], blocks[1], blocks[2]))
        design = build_design(graph, plan.foldings, part, model)
        used = design.total
        if used.lut <= beside.total.lut and problem.weights(used) <= most and fits(used, part):
            return design
    return None


def _fastest_plan(problem: FoldingProblem, budget: Resources) -> FoldingPlan | None:
    """Bisection over the cycles that units can have: what fits at some rate fits at every lower one."""
    rates = np.unique(np.concatenate([c.cycles for c in problem.choices]))
    rates = rates[rates >= max(int(c.cycles.min()) for c in problem.choices)]
    low, high = 0, len(rates)  # what is slower than rates[high - 1] fits
    while low < high:
        middle = (low + high) // 2
        plan = best_within(problem, int(rates[middle]), budget, exact=False)
        if plan is None:
            low = middle + 1
        else:
            high = int(np.searchsorted(rates, plan.max_cycles))
    return best_within(problem, int(rates[low]), budget) if low < len(rates) else None


def _fitting(problem: FoldingProblem, search: Callable[[Resources], FoldingPlan | None]) -> Design | None:
    """The searched plan as a design that fits; room is made for FIFOs where their depths need it."""
    part, spare = problem.part, Resources()
    for _ in range(_ROUNDS):
        budget = Resources(*(max(0, have - kept) for have, kept in zip(_counts(part), _counts(spare), strict=True)))
        plan = search(budget)
        if plan is None:
            return None
        design = build_design(problem.graph, plan.foldings, part, problem.model)
        if fits(design.total, part):
            return design
        more = zip(_counts(design.total), _counts(plan.resources), _counts(spare), strict=True)
        spare = Resources(*(max(kept, total - planned) for total, planned, kept in more))
    return None


def _counts(holder: Part | Resources) -> tuple[int, int, int, int]:
    return holder.lut, holder.bram18, holder.uram, holder.dsp


def _too_small(
    part: Part, wanted: Design, clock_mhz: float, max_cycles: int | None, reachable: Design | None
) -> FoldingError:
    names = ("lut", "bram18", "uram", "dsp")
    short = [(n, u, have) for n, u, have in zip(names, _counts(wanted.total), _counts(part), strict=True) if u > have]
    shortage = ", ".join(f"{need:,} {name.upper()} of {have:,}" for name, need, have in short)
    tightest = max(short, key=lambda s: s[1] / s[2] if s[2] else float("inf"))[0]
    heaviest = max(wanted.rows, key=lambda row: int(getattr(row.resources, tightest)))
    if reachable is None:
        found, expected = "no folding fits, however slow", "a larger part"
    else:
        needed = wanted.performance.max_cycles if max_cycles is None else max_cycles
        target, limit = (clock_mhz * 1e6 / cycles for cycles in (needed, reachable.performance.max_cycles))
        found = f"no folding of {target:.10g} frames per second fits"
        expected = f"a target of at most {rounded_down(limit):.10g} frames per second, or a larger part"
    return FoldingError(
        f"{found}; the cheapest needs {shortage}",
        where=f"part {part.name}",
        expected=expected,
        remedy=f"{heaviest.op} {heaviest.name} binds with {getattr(heaviest.resources, tightest):,} {tightest.upper()}",
    )
