"""FINN's SetFolding as a baseline: its folding of a network, costed like our own."""

from __future__ import annotations

from brevitas_a2q.errors import ConfigError
from brevitas_a2q.hw._cost.model import CostModel
from brevitas_a2q.hw._devices import Part
from brevitas_a2q.hw._finn.flow import finn_estimate
from brevitas_a2q.hw._finn.unit import Version
from brevitas_a2q.hw._ir import Folding, Graph
from brevitas_a2q.hw._lut_equivalent import LutEquivalent
from brevitas_a2q.hw._prices import with_styles

__all__ = ["setfolding_foldings"]


def setfolding_foldings(
    graph: Graph,
    part: Part,
    model: CostModel,
    target_fps: float,
    clock_mhz: float,
    weights: LutEquivalent | None = None,
    version: Version = "main",
) -> dict[str, Folding] | None:
    """What FINN's SetFolding chooses, every memory where it is cheapest; None where FINN has no such network.

    SetFolding looks at no memory: giving it the best of them leaves its PE and SIMD as the only difference.

    Args:
        graph: The network.
        part: Part in force.
        model: Cost model.
        target_fps: Frames per second that SetFolding aims at.
        clock_mhz: Clock in MHz.
        weights: What a block counts as; the part's own ratios by default.
        version: FINN branch.
    """
    try:
        found = finn_estimate(graph, part, target_fps, clock_mhz, version).foldings
    except ConfigError:
        return None
    plain = {name: Folding(pe=f.pe, simd=f.simd, parallel_window=f.parallel_window) for name, f in found.items()}
    return with_styles(graph, plain, part, model, (weights or LutEquivalent.of(part)).price)
