"""The folding search as a user meets it: from a file to the optimum, beside what FINN's SetFolding would choose."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from brevitas_a2q.errors import A2QError, ConfigError
from brevitas_a2q.hw._build_options import BuildOptions
from brevitas_a2q.hw._design import build_design
from brevitas_a2q.hw._devices import Part, find_part
from brevitas_a2q.hw._estimation import Estimate, estimate_of, resources_json
from brevitas_a2q.hw._finn.folding_file import finn_folding
from brevitas_a2q.hw._finn.lowering import lowered
from brevitas_a2q.hw._finn.rules import illegal
from brevitas_a2q.hw._folding import cheapest, fastest, fits
from brevitas_a2q.hw._ir import Folding, Graph
from brevitas_a2q.hw._lut_equivalent import LutEquivalent
from brevitas_a2q.hw._policies import apply_policy
from brevitas_a2q.hw._setfolding import setfolding_foldings
from brevitas_a2q.hw._target import DEFAULT_CLOCK_MHZ, DEFAULT_PART, Target

__all__ = ["FoldResult", "fold", "fold_graph", "folding_json"]


@dataclass(frozen=True)
class FoldResult:
    """An optimal folding, what is proven about it, and FINN's greedy one at no higher a rate under the same costs."""

    estimate: Estimate
    setfolding: Estimate | None  # None where FINN main cannot express the network
    folding: Mapping[str, Mapping[str, Any]]  # FINN's folding JSON
    weights: LutEquivalent  # what a block counts as
    least_lut_equivalent: float | None = None  # no folding that reaches the target costs less
    most_fps: float | None = None  # no folding that fits the part is faster
    target_fps: float | None = None  # what was asked for; None: the most that fits

    @property
    def lut_equivalent(self) -> float:
        """Cost of the optimum: what the search minimised, with FIFOs at their depths."""
        return self.weights(self.estimate.total)

    @property
    def setfolding_lut_equivalent(self) -> float | None:
        """The same of SetFolding's design."""
        return self.weights(self.setfolding.total) if self.setfolding else None

    @property
    def setfolding_verdict(self) -> str | None:
        """Why SetFolding's design cannot be compared: it misses the rate or does not fit; None where it can."""
        greedy, rate = self.setfolding, self.target_fps or self.estimate.fps
        if greedy is None:
            return None
        if greedy.fps < rate * (1 - 1e-9):
            return f"misses the {'target' if self.target_fps else 'rate'} of {rate:,.1f} frames per second"
        return None if greedy.fits else f"does not fit {greedy.part.name}"

    def to_json(self) -> dict[str, Any]:
        """The JSON object of ``brevitas-a2q fold --json``."""
        return {
            **self.estimate.to_json(),
            "folding": self.folding,
            "setfolding_total": resources_json(self.setfolding.total) if self.setfolding else None,
            "setfolding_fps": self.setfolding.fps if self.setfolding else None,
            "setfolding_verdict": self.setfolding_verdict,
            "lut_equivalent": self.lut_equivalent,
            "setfolding_lut_equivalent": self.setfolding_lut_equivalent,
            "least_lut_equivalent": self.least_lut_equivalent,
            "most_fps": self.most_fps,
            "weights": asdict(self.weights),
        }


def fold(
    path: str | Path,
    part: str | Part = DEFAULT_PART,
    target_fps: float | None = None,
    max_fps: bool = False,
    clock_mhz: float = DEFAULT_CLOCK_MHZ,
    accumulator: str = "trained",
    weights: Mapping[str, float] | None = None,
    build: BuildOptions | None = None,
) -> FoldResult:
    """The optimal folding of a QONNX file.

    Args:
        path: QONNX file.
        part: Part, or the name of a part or board or a YAML file.
        target_fps: Frames per second to reach at the least LUT-equivalent cost.
        max_fps: The most frames per second that fit the part, instead of a target.
        clock_mhz: Clock in MHz.
        accumulator: Policy, see :mod:`brevitas_a2q.hw._policies`.
        weights: LUTs that a ``bram18``, ``uram`` or ``dsp`` counts as; by default as many as the part has for each.
        build: What is built: FINN branch, thresholds apart or not, which units.

    Raises:
        FoldingError: If no folding reaches the target, or none that does fits the part; with the nearest value.
    """
    from brevitas_a2q.hw._frontend import read_graph  # imports onnx

    build = build or BuildOptions()
    graph = read_graph(path, standalone_thresholds=build.standalone_thresholds)
    return fold_graph(graph, find_part(part), target_fps, max_fps, clock_mhz, accumulator, weights, build)


def fold_graph(
    graph: Graph,
    part: Part,
    target_fps: float | None = None,
    max_fps: bool = False,
    clock_mhz: float = DEFAULT_CLOCK_MHZ,
    accumulator: str = "trained",
    weights: Mapping[str, float] | None = None,
    build: BuildOptions | None = None,
) -> FoldResult:
    """The same for a dataflow graph that is already in memory.

    Should SetFolding's design reach the target, fit, and cost less with its FIFOs sized, it is the answer.
    """
    if max_fps == (target_fps is not None):
        raise A2QError("found neither or both of a target and max_fps", expected="exactly one of them")
    build = build or BuildOptions()
    max_cycles, cost = Target(part.name, target_fps, clock_mhz).max_cycles, LutEquivalent.of(part, weights)
    applied, model = apply_policy(lowered(graph, build.finn_version), accumulator), build.model
    if max_cycles is None:
        best = fastest(applied.graph, part, model, clock_mhz=clock_mhz, weights=cost)
    else:
        best = cheapest(applied.graph, part, model, max_cycles, clock_mhz=clock_mhz, must_fit=True, weights=cost)
    design = best.design
    rate = target_fps or clock_mhz * 1e6 / design.performance.max_cycles
    greedy = setfolding_foldings(applied.graph, part, model, rate, clock_mhz, cost, build.finn_version)
    beside = None if greedy is None else build_design(applied.graph, greedy, part, model)
    if beside is not None and max_cycles is not None and beside.performance.max_cycles <= max_cycles:
        legal = not illegal(applied.graph, beside.foldings, part, build)
        better = legal and fits(beside.total, part) and cost(beside.total) < cost(design.total)
        design = beside if better else design
    found = estimate_of(design, applied, part, clock_mhz, build)
    return FoldResult(
        estimate=found,
        setfolding=None if beside is None else estimate_of(beside, applied, part, clock_mhz, build),
        folding=folding_json(applied.graph, found.foldings, part, build),
        weights=cost,
        least_lut_equivalent=best.least_lut_equivalent,
        most_fps=clock_mhz * 1e6 / best.least_cycles if best.least_cycles else None,
        target_fps=target_fps,
    )


def folding_json(
    graph: Graph, foldings: Mapping[str, Folding], part: Part, build: BuildOptions
) -> dict[str, dict[str, Any]]:
    """FINN's folding file, under our units' names where this branch of FINN cannot express the network."""
    try:
        return finn_folding(
            graph, foldings, part, build.finn_version, standalone_thresholds=build.standalone_thresholds
        )
    except ConfigError:
        return {"Defaults": {}, **{name: _plain(folding) for name, folding in foldings.items()}}


def _plain(folding: Folding) -> dict[str, Any]:
    return {
        "PE": folding.pe,
        "SIMD": folding.simd,
        "resType": folding.compute,
        "ram_style": folding.ram_style,
        "ram_style_thresholds": folding.ram_style_thresholds,
        "parallel_window": int(folding.parallel_window),
        "inFIFODepths": list(folding.fifo_depths or ()),
    }
