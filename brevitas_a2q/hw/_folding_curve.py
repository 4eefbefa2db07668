"""Cost against rate: the optimal foldings of a network from the slowest to the fastest, and SetFolding's beside it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np

from brevitas_a2q.hw._build_options import BuildOptions
from brevitas_a2q.hw._cost.model import CostModel
from brevitas_a2q.hw._design import build_design
from brevitas_a2q.hw._devices import Part, find_part
from brevitas_a2q.hw._folding_problem import FoldingPlan, FoldingProblem
from brevitas_a2q.hw._folding_search import pareto
from brevitas_a2q.hw._ir import Graph
from brevitas_a2q.hw._lut_equivalent import LutEquivalent
from brevitas_a2q.hw._policies import apply_policy
from brevitas_a2q.hw._setfolding import setfolding_foldings
from brevitas_a2q.hw._target import DEFAULT_CLOCK_MHZ, DEFAULT_PART

__all__ = ["fold_curve", "setfolding_curve"]


def fold_curve(
    network: str | Path | Graph,
    part: str | Part = DEFAULT_PART,
    clock_mhz: float = DEFAULT_CLOCK_MHZ,
    accumulator: str = "trained",
    weights: LutEquivalent | None = None,
    build: BuildOptions | None = None,
) -> list[FoldingPlan]:
    """Foldings of rising cost and rate, FIFOs sized; the first one that is fast enough is the optimum for a rate.

    Args:
        network: QONNX file, or its dataflow graph.
        part: Part, or the name of a part or board or a YAML file; plans are listed whether or not it has as much.
        clock_mhz: Clock in MHz, for messages.
        accumulator: Policy, see :mod:`brevitas_a2q.hw._policies`.
        weights: What a block counts as; the part's own ratios by default.
        build: Which units there are.

    Returns:
        Plans with the resources and costs of the whole design, from the slowest to the fastest.
    """
    part, build = find_part(part), build or BuildOptions()
    applied, model = apply_policy(_graph(network, build), accumulator).graph, build.model
    problem = FoldingProblem(applied, part, model, clock_mhz=clock_mhz, weights=weights)
    plans = []
    for plan in pareto(problem):
        used = problem.sized(plan)
        plans.append(replace(plan, resources=used, lut_equivalent=problem.weights(used)))
    return _undominated(plans)


def setfolding_curve(
    graph: Graph,
    part: Part,
    clock_mhz: float = DEFAULT_CLOCK_MHZ,
    accumulator: str = "trained",
    weights: LutEquivalent | None = None,
    build: BuildOptions | None = None,
    points: int = 24,
) -> list[FoldingPlan]:
    """The same for FINN main's SetFolding at ``points`` target rates; empty where FINN main has no such network.

    Args and returns otherwise as in :func:`fold_curve`.
    """
    applied, model = apply_policy(graph, accumulator).graph, (build or BuildOptions()).model
    cost = weights or LutEquivalent.of(part)
    slowest, quickest = _rates(applied, part, model, clock_mhz)
    found: dict[int, FoldingPlan] = {}
    for rate in np.geomspace(slowest, quickest, points):
        foldings = setfolding_foldings(applied, part, model, float(rate), clock_mhz, cost)
        if foldings is None:
            return []
        design = build_design(applied, foldings, part, model)
        cycles = design.performance.max_cycles
        found[cycles] = FoldingPlan(foldings, design.total, cycles, cost(design.total))
    return _undominated(sorted(found.values(), key=lambda plan: -plan.max_cycles))


def _graph(network: str | Path | Graph, build: BuildOptions) -> Graph:
    if isinstance(network, Graph):
        return network
    from brevitas_a2q.hw._frontend import read_graph  # imports onnx

    return read_graph(network, standalone_thresholds=build.standalone_thresholds)


def _rates(graph: Graph, part: Part, model: CostModel, clock_mhz: float) -> tuple[float, float]:
    """Rates of the slowest and of the fastest folding there is, in frames per second."""
    choices = FoldingProblem(graph, part, model).choices
    cycles = [max(int(c.cycles.max()) for c in choices), max(int(c.cycles.min()) for c in choices)]
    return clock_mhz * 1e6 / cycles[0], clock_mhz * 1e6 / cycles[1]


def _undominated(plans: Iterable[FoldingPlan]) -> list[FoldingPlan]:
    """Of plans from the slowest to the fastest, those that no faster one undercuts."""
    kept: list[FoldingPlan] = []
    for plan in plans:
        while kept and kept[-1].lut_equivalent >= plan.lut_equivalent:
            kept.pop()
        kept.append(plan)
    return kept
