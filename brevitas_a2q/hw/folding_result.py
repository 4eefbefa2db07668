"""The folding search as a user meets it: from a file to the optimum, beside what FINN's SetFolding would choose."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from brevitas_a2q.errors import A2QError, ConfigError
from brevitas_a2q.hw.cost.finn.flow import finn_estimate
from brevitas_a2q.hw.cost.model import CostModel, synthesis_model
from brevitas_a2q.hw.design import Design, build_design
from brevitas_a2q.hw.devices import Part, find_part
from brevitas_a2q.hw.estimation import Estimate, estimate_of, max_cycles_for, resources_json
from brevitas_a2q.hw.folding import cheapest, fastest, fewer_luts, fits
from brevitas_a2q.hw.folding_file import finn_folding
from brevitas_a2q.hw.folding_problem import FoldingPlan, FoldingProblem, LutEquivalent
from brevitas_a2q.hw.folding_search import pareto
from brevitas_a2q.hw.ir import Folding, Graph
from brevitas_a2q.hw.policies import apply_policy

__all__ = ["FoldResult", "fold", "fold_curve", "fold_graph", "setfolding_foldings"]


@dataclass(frozen=True)
class FoldResult:
    """An optimal folding, and FINN's greedy one at no higher a rate under the same cost model."""

    estimate: Estimate
    setfolding: Estimate | None  # None where FINN main cannot express the network
    folding: Mapping[str, Mapping[str, Any]]  # FINN's folding JSON

    @property
    def lut_equivalent(self) -> float:
        """Cost of the optimum: what the search minimised, with FIFOs at their depths."""
        return LutEquivalent.of(self.estimate.part)(self.estimate.total)

    @property
    def setfolding_lut_equivalent(self) -> float | None:
        """The same of SetFolding's design."""
        return LutEquivalent.of(self.estimate.part)(self.setfolding.total) if self.setfolding else None

    def to_json(self) -> dict[str, Any]:
        """The JSON object of ``brevitas-a2q fold --json``."""
        return {
            **self.estimate.to_json(),
            "folding": self.folding,
            "setfolding_total": resources_json(self.setfolding.total) if self.setfolding else None,
            "setfolding_fps": self.setfolding.fps if self.setfolding else None,
            "lut_equivalent": self.lut_equivalent,
            "setfolding_lut_equivalent": self.setfolding_lut_equivalent,
        }


def fold(
    path: str | Path,
    part: str | Part = "xczu7ev",
    target_fps: float | None = None,
    max_fps: bool = False,
    clock_mhz: float = 200.0,
    accumulator: str = "trained",
) -> FoldResult:
    """The optimal folding of a QONNX file.

    Args:
        path: QONNX file.
        part: Part, or the name of a part or board or a YAML file.
        target_fps: Frames per second to reach at the least LUT-equivalent cost.
        max_fps: The most frames per second that fit the part, instead of a target.
        clock_mhz: Clock in MHz.
        accumulator: Policy, see :mod:`brevitas_a2q.hw.policies`.

    Raises:
        FoldingError: If no folding reaches the target, or none that does fits the part; with the nearest value.
    """
    from brevitas_a2q.hw.frontend import read_graph  # imports onnx

    return fold_graph(read_graph(path), find_part(part), target_fps, max_fps, clock_mhz, accumulator)


def fold_graph(
    graph: Graph,
    part: Part,
    target_fps: float | None = None,
    max_fps: bool = False,
    clock_mhz: float = 200.0,
    accumulator: str = "trained",
) -> FoldResult:
    """The same for a dataflow graph that is already in memory.

    Where the optimum for a target trades LUTs for blocks so that it needs more LUTs than SetFolding's design, one that
    is no worse in LUTs either is taken instead if there is one; see :func:`brevitas_a2q.hw.folding.fewer_luts`.
    """
    if max_fps == (target_fps is not None):
        raise A2QError("found neither or both of a target and max_fps", expected="exactly one of them")
    max_cycles = max_cycles_for(target_fps, clock_mhz)
    applied, model = apply_policy(graph, accumulator), synthesis_model()
    if max_cycles is None:
        design = fastest(applied.graph, part, model, clock_mhz=clock_mhz)
    else:
        design = cheapest(applied.graph, part, model, max_cycles, clock_mhz=clock_mhz, must_fit=True)
    rate = target_fps or clock_mhz * 1e6 / design.performance.max_cycles
    greedy = setfolding_foldings(applied.graph, part, rate, clock_mhz)
    baseline = None if greedy is None else build_design(applied.graph, greedy, part, model)
    if baseline is not None and max_cycles is not None and baseline.performance.max_cycles <= max_cycles:
        design = _no_worse(applied.graph, part, model, max_cycles, design, baseline)
    found = estimate_of(design, applied, part, clock_mhz)
    beside = None if baseline is None else estimate_of(baseline, applied, part, clock_mhz)
    return FoldResult(found, beside, _finn_folding(applied.graph, found.foldings, part))


def _no_worse(graph: Graph, part: Part, model: CostModel, max_cycles: int, design: Design, baseline: Design) -> Design:
    """The design, or one that is no worse than a baseline of the same rate in LUTs and in LUT-equivalents.

    The search counts FIFOs of the least depth; the baseline itself is the answer where deeper ones decide for it.
    """
    if design.total.lut > baseline.total.lut:
        design = fewer_luts(graph, part, model, max_cycles, baseline) or design
    cost = LutEquivalent.of(part)
    return baseline if fits(baseline.total, part) and cost(baseline.total) < cost(design.total) else design


def setfolding_foldings(graph: Graph, part: Part, target_fps: float, clock_mhz: float) -> dict[str, Folding] | None:
    """What FINN main's SetFolding chooses, every memory style left open; None where FINN main has no such network."""
    try:
        found = finn_estimate(graph, part, target_fps, clock_mhz).foldings
    except ConfigError:
        return None
    return {
        name: replace(f, compute="auto", ram_style="auto", ram_style_thresholds="auto") for name, f in found.items()
    }


def fold_curve(graph: Graph, part: Part, clock_mhz: float = 200.0, accumulator: str = "trained") -> list[FoldingPlan]:
    """Every folding that no other one beats in both cost and rate, from the slowest to the fastest.

    Costs are in LUT-equivalents with FIFOs of the least depth, whether or not the part has as much.
    """
    problem = FoldingProblem(apply_policy(graph, accumulator).graph, part, synthesis_model(), clock_mhz=clock_mhz)
    return list(pareto(problem))


def _finn_folding(graph: Graph, foldings: Mapping[str, Folding], part: Part) -> dict[str, dict[str, Any]]:
    """FINN's folding file, under our units' names where FINN main cannot express the network."""
    try:
        return finn_folding(graph, foldings, part)
    except ConfigError:
        plain = {name: {"PE": f.pe, "SIMD": f.simd, "ram_style": f.ram_style} for name, f in foldings.items()}
        return {"Defaults": {}, **plain}
