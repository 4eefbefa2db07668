"""Folding a network on a part: the cheapest design for a rate, and the fastest one that fits."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from brevitas_a2q.errors import FoldingError
from brevitas_a2q.hw._choices import Ints
from brevitas_a2q.hw._cost.model import CostModel
from brevitas_a2q.hw._cost.result import Resources
from brevitas_a2q.hw._design import Design, build_design
from brevitas_a2q.hw._devices.part import Part
from brevitas_a2q.hw._folding_budget import any_within, best_within, impossible
from brevitas_a2q.hw._folding_problem import FoldingPlan, FoldingProblem, rounded_down
from brevitas_a2q.hw._folding_search import least_cost, pareto
from brevitas_a2q.hw._ir import Graph
from brevitas_a2q.hw._lut_equivalent import LutEquivalent
from brevitas_a2q.hw._target import DEFAULT_CLOCK_MHZ

__all__ = ["Optimum", "cheapest", "fastest", "fits"]

_ROUNDS = 6  # of making room for FIFOs; each one leaves as much as the deepest so far took


@dataclass(frozen=True)
class Optimum:
    """The best design found, FIFOs sized, and what is proven: how much better any other one could be at most."""

    design: Design
    least_lut_equivalent: float | None = None  # no folding that is fast enough costs less
    least_cycles: int | None = None  # no folding that fits needs fewer per image


def cheapest(
    graph: Graph,
    part: Part,
    model: CostModel,
    max_cycles: int | None = None,
    *,
    clock_mhz: float = DEFAULT_CLOCK_MHZ,
    must_fit: bool = False,
    weights: LutEquivalent | None = None,
) -> Optimum:
    """The design of least LUT-equivalent cost that is fast enough, one that fits the part if there is any.

    The cost with FIFOs of the least depth is minimised exactly over PE, SIMD, kind of multiplier and memory styles,
    width converters included. How deep FIFOs must be is known for a whole design only, and a faster one may need less
    of them. So every such optimum is sized, from the target upwards, until the least cost that is possible at a rate is
    no lower than the best design's so far: nothing faster can be cheaper then. Where the part does not bind, a higher
    target therefore never costs less.

    Args:
        graph: Network with the accumulator widths in force.
        part: Part in force.
        model: Cost model.
        max_cycles: Most cycles per image; None for any number.
        clock_mhz: Clock, for messages.
        must_fit: Whether a design that does not fit is an error.
        weights: What a block counts as; the part's own ratios by default.

    Raises:
        FoldingError: If no folding is fast enough, or, with ``must_fit``, none that is fits; with the nearest value.
    """
    model = model.remembering()
    problem = FoldingProblem(graph, part, model, max_cycles=max_cycles, clock_mhz=clock_mhz, weights=weights)
    plan, bound = _cheapest_sized(problem, pareto(problem, max_cycles))
    design = build_design(graph, plan.foldings, part, model)
    if not fits(design.total, part):
        styled = FoldingProblem(graph, part, model, max_cycles=max_cycles, all_styles=True, weights=problem.weights)
        fitting = _fitting(styled, max_cycles, best_within)
        if fitting is not None:
            design = build_design(graph, fitting.foldings, part, model)
        elif must_fit:
            quickest = fastest(graph, part, model, clock_mhz=clock_mhz, weights=weights).design
            if max_cycles is not None and quickest.performance.max_cycles > max_cycles:
                raise _too_small(part, design, clock_mhz, max_cycles, quickest)
            design = quickest
    return Optimum(design, least_lut_equivalent=bound)


def fastest(
    graph: Graph,
    part: Part,
    model: CostModel,
    *,
    clock_mhz: float = DEFAULT_CLOCK_MHZ,
    weights: LutEquivalent | None = None,
) -> Optimum:
    """The design of most frames per second that fits the part; of those, the one of least LUT-equivalent cost.

    No folding is faster than the fastest one that fits with FIFOs of the least depth; the search goes on from there.

    Raises:
        FoldingError: If no folding fits.
    """
    problem = FoldingProblem(graph, part, model, all_styles=True, clock_mhz=clock_mhz, weights=weights)
    rates = np.unique(np.concatenate([c.cycles for c in problem.choices]))
    rates = rates[rates >= max(int(c.cycles.min()) for c in problem.choices)]
    budget = Resources(*_counts(part))
    bound = _first(rates, lambda limit: None if impossible(problem, limit, budget) else limit)
    if bound is None:
        raise _too_small(part, _smallest(problem), clock_mhz, None, None)
    found = _first(rates[rates >= bound], lambda limit: _cycles(_fitting(problem, limit, any_within)))
    if found is None:
        smallest = _smallest(problem)
        if fits(smallest.total, part):
            return Optimum(smallest, least_cycles=bound)
        raise _too_small(part, smallest, clock_mhz, None, None, proven=False)
    plan = _fitting(problem, found, best_within) or _fitting(problem, found, any_within)
    assert plan is not None  # the search has just found one
    return Optimum(build_design(graph, plan.foldings, part, model), least_cycles=bound)


def fits(used: Resources, part: Part) -> bool:
    """Whether the part has enough of everything."""
    return all(u <= have for u, have in zip(_counts(used), _counts(part), strict=True))


def _first(rates: Ints, reach: Callable[[int], int | None]) -> int | None:
    """The least cycles that ``reach`` attains for any limit among ``rates``; what is slower is reached too."""
    low, high = 0, len(rates)
    found = None
    while low < high:
        middle = (low + high) // 2
        cycles = reach(int(rates[middle]))
        if cycles is None:
            low = middle + 1
        else:
            found, high = cycles, int(np.searchsorted(rates, cycles))
    return found


def _cycles(plan: FoldingPlan | None) -> int | None:
    return None if plan is None else plan.max_cycles


def _smallest(problem: FoldingProblem) -> Design:
    """The design that takes the least share of the part, however slow."""
    return build_design(problem.graph, least_cost(problem).foldings, problem.part, problem.model)


def _cheapest_sized(problem: FoldingProblem, plans: Iterator[FoldingPlan]) -> tuple[FoldingPlan, float]:
    """Of plans of rising cost, the one that costs least with its FIFOs sized, and what none of them can undercut."""
    best = next(plans)
    bound, least = best.lut_equivalent, problem.weights(problem.sized(best))
    for plan in plans:
        if plan.lut_equivalent >= least:
            break
        cost = problem.weights(problem.sized(plan))
        if cost < least:
            best, least = plan, cost
    return best, bound


def _fitting(
    problem: FoldingProblem,
    max_cycles: int | None,
    search: Callable[[FoldingProblem, int | None, Resources], FoldingPlan | None],
) -> FoldingPlan | None:
    """A plan that fits the part with its FIFOs sized; room is made for them where their depths need it."""
    part, spare = problem.part, Resources()
    for _ in range(_ROUNDS):
        budget = Resources(*(max(0, have - kept) for have, kept in zip(_counts(part), _counts(spare), strict=True)))
        plan = search(problem, max_cycles, budget)
        if plan is None:
            return None
        used = problem.sized(plan)
        if fits(used, part):
            return plan
        more = zip(_counts(used), _counts(plan.resources), _counts(spare), strict=True)
        spare = Resources(*(max(kept, total - planned) for total, planned, kept in more))
    return None


def _counts(holder: Part | Resources) -> tuple[int, int, int, int]:
    return holder.lut, holder.bram18, holder.uram, holder.dsp


def _too_small(
    part: Part,
    wanted: Design,
    clock_mhz: float,
    max_cycles: int | None,
    reachable: Design | None,
    *,
    proven: bool = True,
) -> FoldingError:
    names = ("lut", "bram18", "uram", "dsp")
    short = [(n, u, have) for n, u, have in zip(names, _counts(wanted.total), _counts(part), strict=True) if u > have]
    shortage = ", ".join(f"{need:,} {name.upper()} of {have:,}" for name, need, have in short)
    tightest = max(short, key=lambda s: s[1] / s[2] if s[2] else float("inf"))[0]
    heaviest = max(wanted.rows, key=lambda row: int(getattr(row.resources, tightest)))
    if reachable is None:
        found = "no folding fits, however slow" if proven else "no folding was found that fits with its FIFOs"
        expected = "a larger part"
    else:
        needed = wanted.performance.max_cycles if max_cycles is None else max_cycles
        target, limit = (clock_mhz * 1e6 / cycles for cycles in (needed, reachable.performance.max_cycles))
        found = (
            f"no folding of at most {needed:,} cycles per image ({target:,.0f} frames per second) was found that fits"
        )
        expected = f"a target of at most {rounded_down(limit):.10g} frames per second, or a larger part"
    return FoldingError(
        f"{found}; the cheapest needs {shortage}",
        where=f"part {part.name}",
        expected=expected,
        remedy=f"{heaviest.op} {heaviest.name} binds with {getattr(heaviest.resources, tightest):,} {tightest.upper()}",
    )
