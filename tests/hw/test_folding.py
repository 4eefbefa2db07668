"""The folding search against brute force, within budgets, and its errors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import astuple, replace
from itertools import product

import numpy as np
import pytest
from networks import Builder, deep_net, depthwise_net, residual_net, small_cnn

from brevitas_a2q.errors import FoldingError
from brevitas_a2q.hw._cost.model import synthesis_model
from brevitas_a2q.hw._cost.result import Resources
from brevitas_a2q.hw._design import build_design
from brevitas_a2q.hw._devices import find_part
from brevitas_a2q.hw._devices.part import Part
from brevitas_a2q.hw._folding import cheapest, fastest, fits
from brevitas_a2q.hw._folding_budget import any_within, best_within, impossible, solve_programme
from brevitas_a2q.hw._folding_curve import fold_curve, setfolding_curve
from brevitas_a2q.hw._folding_problem import FoldingProblem
from brevitas_a2q.hw._folding_result import fold_graph
from brevitas_a2q.hw._folding_search import least_cost, pareto
from brevitas_a2q.hw._ir import Folding, Graph
from brevitas_a2q.hw._lut_equivalent import LutEquivalent
from brevitas_a2q.hw._min_sum import Factor, minimise

PART = find_part("ZCU104")
MODEL = synthesis_model()


def tiny() -> Graph:
    return Builder(2, (4, 4)).conv("conv", 3, kernel=2, pad=0).dense("fc", 2, last=True).graph("tiny")


def every_sum(problem: FoldingProblem, max_cycles: int) -> dict[tuple[int, ...], Resources]:
    choices = problem.within(max_cycles)
    return {rows: problem.total(rows, choices) for rows in product(*(range(len(c)) for c in choices))}


@pytest.mark.parametrize("max_cycles", [1000, 60, 30, 18])
def test_least_cost_is_the_least_of_all(max_cycles: int) -> None:
    problem = FoldingProblem(tiny(), PART, MODEL)
    least = min(problem.weights(used) for used in every_sum(problem, max_cycles).values())
    plan = least_cost(problem, max_cycles)
    assert plan.lut_equivalent == pytest.approx(least)
    assert plan.max_cycles <= max_cycles


def test_budget_is_the_least_of_all_that_stay_within_it() -> None:
    problem = FoldingProblem(tiny(), PART, MODEL, all_styles=True, max_cycles=20)
    sums = every_sum(problem, 20).values()
    free = least_cost(problem, 20)
    budget = Resources(lut=free.resources.lut - 40, bram18=3, uram=2, dsp=4)
    inside = [problem.weights(u) for u in sums if u.lut <= budget.lut and u.bram18 <= 3 and u.uram <= 2 and u.dsp <= 4]
    assert inside, "the budget must leave something to choose from"
    plan = best_within(problem, 20, budget)
    assert plan is not None
    assert plan.lut_equivalent == pytest.approx(min(inside))
    assert plan.lut_equivalent > free.lut_equivalent
    fewest = min(u.lut for u in sums)
    assert best_within(problem, 20, Resources(lut=fewest - 1, bram18=10**6, uram=10**6, dsp=10**6)) is None


def test_prices_say_whether_a_budget_can_be_met() -> None:
    problem = FoldingProblem(tiny(), PART, MODEL, all_styles=True, max_cycles=20)
    sums = every_sum(problem, 20).values()
    luts = sorted({u.lut for u in sums})
    answers = set()
    for lut in (luts[0] - 1, luts[0], luts[len(luts) // 4], luts[len(luts) // 2]):
        for bram18, dsp in ((0, 0), (2, 0), (0, 4), (3, 8)):
            possible = any(u.lut <= lut and u.bram18 <= bram18 and u.uram == 0 and u.dsp <= dsp for u in sums)
            plan = any_within(problem, 20, Resources(lut=lut, bram18=bram18, dsp=dsp))
            assert (plan is not None) == possible
            assert plan is None or (plan.resources.lut <= lut and plan.resources.bram18 <= bram18)
            answers.add(possible)
    assert answers == {True, False}


@pytest.mark.parametrize("build", [small_cnn, depthwise_net, residual_net])
def test_elimination_and_integer_programme_agree(build: Callable[[], Graph]) -> None:
    graph = build()
    free = least_cost(FoldingProblem(graph, PART, MODEL, max_cycles=3000), 3000)
    problem = FoldingProblem(graph, PART, MODEL, max_cycles=3000, all_styles=True)
    plan = solve_programme(problem, 3000, Resources(10**9, 10**9, 10**9, 10**9))
    assert plan is not None
    assert plan.lut_equivalent == pytest.approx(free.lut_equivalent)


@pytest.mark.parametrize("build", [small_cnn, depthwise_net, residual_net])
def test_plans_cost_what_they_say(build: Callable[[], Graph]) -> None:
    """The separately added memory styles, streams and FIFO depths of the search are those of the finished design."""
    graph = build()
    problem = FoldingProblem(graph, PART, MODEL)
    for plan in (least_cost(problem, t) for t in (None, 5000, 600)):
        design = build_design(graph, plan.foldings, PART, MODEL)
        assert design.performance.max_cycles == plan.max_cycles
        assert problem.sized(plan) == design.total
        assert plan.lut_equivalent <= problem.weights(design.total)


@pytest.mark.parametrize("build", [tiny, small_cnn, depthwise_net, residual_net])
def test_a_higher_rate_never_costs_less(build: Callable[[], Graph]) -> None:
    """Of finished designs, FIFOs included, at every rate where the optimum changes and between."""
    graph, weights = build(), LutEquivalent.of(PART)
    limits = [p.max_cycles for p in pareto(FoldingProblem(graph, PART, MODEL))]
    limits = sorted({*limits, *(n - 1 for n in limits[:-1]), *(n + 1 for n in limits)}, reverse=True)[::5]
    found = [cheapest(graph, PART, MODEL, limit) for limit in limits]
    costs = [weights(optimum.design.total) for optimum in found]
    assert costs == sorted(costs)
    assert all(o.design.performance.max_cycles <= limit for o, limit in zip(found, limits, strict=True))
    assert all((o.least_lut_equivalent or 0) <= cost for o, cost in zip(found, costs, strict=True))


def test_curve_of_finished_designs_is_what_targets_give() -> None:
    graph, weights = residual_net(), LutEquivalent.of(PART)
    curve = fold_curve(graph, PART)
    costs = [plan.lut_equivalent for plan in curve]
    assert costs == sorted(set(costs))
    for limit in (20_000, 5000, 2500, 1300):
        first = next(plan for plan in curve if plan.max_cycles <= limit)
        assert weights(cheapest(graph, PART, MODEL, limit).design.total) == first.lut_equivalent


def test_setfolding_curve_lies_above() -> None:
    graph = small_cnn()
    ours, greedy = fold_curve(graph, PART), setfolding_curve(graph, PART, points=8)
    assert len(greedy) > 3
    for plan in greedy:
        optimum = next(p for p in ours if p.max_cycles <= plan.max_cycles)
        assert optimum.lut_equivalent <= plan.lut_equivalent


def test_weights_decide_what_is_dear() -> None:
    graph = deep_net(4)
    dear = cheapest(graph, PART, MODEL, 5000, weights=LutEquivalent.of(PART, {"dsp": 10_000})).design
    cheap = cheapest(graph, PART, MODEL, 5000, weights=LutEquivalent.of(PART, {"dsp": 1})).design
    assert dear.total.dsp == 0
    assert cheap.total.dsp > 100
    assert cheap.total.lut < dear.total.lut


@pytest.mark.parametrize(("weights", "message"), [({"lut": 1}, "a weight of 'lut'"), ({"dsp": -1}, "a weight of -1")])
def test_bad_weights(weights: dict[str, float], message: str) -> None:
    with pytest.raises(FoldingError, match=message):
        LutEquivalent.of(PART, weights)


def test_a_programme_too_large_to_solve_combines_what_prices_favour(monkeypatch: pytest.MonkeyPatch) -> None:
    problem = FoldingProblem(residual_net(), PART, MODEL, all_styles=True, max_cycles=3000)
    free = least_cost(problem, 3000)
    budget = Resources(lut=free.resources.lut - 300, bram18=12, uram=1, dsp=60)
    exact = best_within(problem, 3000, budget)
    monkeypatch.setattr("brevitas_a2q.hw._folding_budget._MOST_CHOICES", 0)
    plan = best_within(problem, 3000, budget)
    assert exact is not None
    assert plan is not None
    assert all(u <= b for u, b in zip(astuple(plan.resources), astuple(budget), strict=True))
    assert exact.lut_equivalent <= plan.lut_equivalent <= 1.1 * exact.lut_equivalent


def test_what_is_impossible_is_proven() -> None:
    problem = FoldingProblem(residual_net(), PART, MODEL, all_styles=True, max_cycles=3000)
    assert impossible(problem, 3000, Resources(lut=1000, bram18=20, uram=4, dsp=100))
    assert not impossible(problem, 3000, Resources(lut=230_400, bram18=624, uram=96, dsp=1728))


def test_curve_rises_strictly() -> None:
    curve = list(pareto(FoldingProblem(small_cnn(), PART, MODEL)))
    cycles, costs = [p.max_cycles for p in curve], [p.lut_equivalent for p in curve]
    assert len(curve) > 5
    assert cycles == sorted(set(cycles), reverse=True)
    assert costs == sorted(set(costs))
    middle = curve[len(curve) // 2]
    assert (
        least_cost(FoldingProblem(small_cnn(), PART, MODEL), middle.max_cycles).lut_equivalent == middle.lut_equivalent
    )


def test_fastest_fits_and_nothing_faster_does() -> None:
    part = Part("small", "7-series", 6000, 12000, 20, 0, 20, "DSP48E1")
    graph = small_cnn()
    found = fastest(graph, part, MODEL)
    design = found.design
    assert fits(design.total, part)
    assert found.least_cycles is not None
    assert found.least_cycles <= design.performance.max_cycles
    slowest = design.performance.max_cycles
    rates = sorted({int(n) for c in FoldingProblem(graph, part, MODEL).choices for n in c.cycles})
    problem = FoldingProblem(graph, part, MODEL, all_styles=True)
    budget = Resources(part.lut, part.bram18, part.uram, part.dsp)
    assert best_within(problem, rates[rates.index(slowest) - 1], budget) is None


def test_rate_out_of_reach_names_the_layer_and_a_rate_that_works() -> None:
    graph = small_cnn()
    with pytest.raises(FoldingError, match=r"Padding conv1_pad: .*at most (\S+) frames per second") as caught:
        cheapest(graph, PART, MODEL, 30)
    nearest = float(str(caught.value).split("at most ")[1].split()[0])
    assert cheapest(graph, PART, MODEL, int(200e6 // nearest)).design.performance.max_cycles <= 200e6 / nearest


def test_budget_too_small_for_a_rate_names_a_rate_that_fits() -> None:
    part = Part("small", "7-series", 6000, 12000, 20, 0, 20, "DSP48E1")
    with pytest.raises(FoldingError, match=r"part small: .*needs [\d,]+ LUT of 6,000.*MVAU \w+ binds") as caught:
        cheapest(small_cnn(), part, MODEL, 120, must_fit=True)
    nearest = float(str(caught.value).split("at most ")[1].split()[0])
    assert fits(cheapest(small_cnn(), part, MODEL, int(200e6 // nearest), must_fit=True).design.total, part)


def test_budget_too_small_for_any_folding() -> None:
    part = Part("tiny", "7-series", 500, 1000, 0, 0, 0, "DSP48E1")
    with pytest.raises(FoldingError, match="no folding fits, however slow"):
        fastest(small_cnn(), part, MODEL)


@pytest.mark.parametrize(
    ("pe", "simd", "message"), [(3, 1, "found PE = 3"), (1, 5, "found SIMD = 5"), (0, 1, "PE = 0")]
)
def test_illegal_folding_names_the_nearest(pe: int, simd: int, message: str) -> None:
    graph = small_cnn()
    foldings = {u.name: Folding() for u in graph.units} | {"conv2": Folding(pe, simd)}
    with pytest.raises(FoldingError, match=rf"MVAU conv2: .*{message}.*the nearest is \d+"):
        build_design(graph, foldings, PART, MODEL)


@pytest.mark.parametrize(
    ("window", "reader", "message"),
    [
        (Folding(simd=4), Folding(pe=8), r"found SIMD = 4; expected SIMD = 8, the PE of dw"),
        (Folding(simd=8), Folding(pe=8, simd=3), r"found parallel_window = 0; expected parallel_window = 1"),
        (Folding(), Folding(simd=3), r"VVAU dw: found SIMD = 3 with PE = 1"),
    ],
)
def test_depthwise_window_follows_its_reader(window: Folding, reader: Folding, message: str) -> None:
    graph = depthwise_net()
    foldings = {u.name: Folding() for u in graph.units} | {"dw_window": window, "dw": reader}
    with pytest.raises(FoldingError, match=message):
        build_design(graph, foldings, PART, MODEL)


def test_parallel_window_takes_all_channels() -> None:
    graph = small_cnn()
    foldings = {u.name: Folding() for u in graph.units} | {"conv2_window": Folding(simd=4, parallel_window=True)}
    with pytest.raises(FoldingError, match="SlidingWindow conv2_window: found SIMD = 4; expected SIMD = 8"):
        build_design(graph, foldings, PART, MODEL)


def test_missing_folding() -> None:
    with pytest.raises(FoldingError, match="LabelSelect top: found no folding"):
        build_design(small_cnn(), {u.name: Folding() for u in small_cnn().units[:-1]}, PART, MODEL)


def test_minimise_matches_enumeration() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        sizes = rng.integers(1, 4, 5).tolist()
        pairs = [(0, 1), (1, 2), (2, 3), (3, 0), (1, 4)]
        factors = [Factor((v,), rng.random(sizes[v])) for v in range(5)]
        factors += [Factor(p, rng.random((sizes[p[0]], sizes[p[1]]))) for p in pairs]
        cost = {
            values: sum(float(f.table[tuple(values[v] for v in f.variables)]) for f in factors)
            for values in product(*(range(s) for s in sizes))
        }
        least, found = minimise(sizes, factors)
        assert least == pytest.approx(min(cost.values()))
        assert cost[tuple(found)] == pytest.approx(least)


def test_lut_equivalent_weighs_by_the_part() -> None:
    part = Part("p", "UltraScale+", 1000, 2000, 10, 5, 20, "DSP48E2")
    assert LutEquivalent.of(part)(Resources(lut=7, bram18=1, uram=1, dsp=2)) == 7 + 100 + 200 + 100


def test_blocks_that_a_part_lacks_are_not_asked_for() -> None:
    part = Part("luts only", "7-series", 60_000, 120_000, 0, 0, 0, "DSP48E1")
    for limit in (None, 5000, 600):
        assert fits(cheapest(small_cnn(), part, MODEL, limit).design.total, part)


def test_the_solver_prints_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    part = Part("small", "7-series", 6000, 12000, 20, 0, 20, "DSP48E1")
    fastest(small_cnn(), part, MODEL)
    assert capfd.readouterr().out == ""


def test_setfoldings_design_is_compared_only_where_it_reaches_the_rate_and_fits() -> None:
    found = fold_graph(small_cnn(), PART, 2000.0)
    assert found.setfolding is not None
    assert found.setfolding_verdict is None
    slower = replace(found, target_fps=found.setfolding.fps * 1.5)
    assert slower.setfolding_verdict == f"misses the target of {slower.target_fps:,.1f} frames per second"
    fastest_found = replace(found, target_fps=None)
    assert fastest_found.setfolding_verdict is None
    small = replace(PART, name="small", lut=10)
    large = replace(found, setfolding=replace(found.setfolding, part=small))
    assert large.setfolding_verdict == "does not fit small"
    assert replace(found, setfolding=None).setfolding_verdict is None
