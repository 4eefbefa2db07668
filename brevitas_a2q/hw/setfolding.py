"""FINN's SetFolding as a baseline: its folding of a network, costed like our own."""

from __future__ import annotations

from dataclasses import replace

from brevitas_a2q.errors import ConfigError
from brevitas_a2q.hw.devices import Part
from brevitas_a2q.hw.finn.flow import finn_estimate
from brevitas_a2q.hw.ir import Folding, Graph

__all__ = ["setfolding_foldings"]


def setfolding_foldings(graph: Graph, part: Part, target_fps: float, clock_mhz: float) -> dict[str, Folding] | None:
    """What FINN main's SetFolding chooses, every memory style left open; None where FINN main has no such network.

    Args:
        graph: The network.
        part: Part in force.
        target_fps: Frames per second that SetFolding aims at.
        clock_mhz: Clock in MHz.
    """
    try:
        found = finn_estimate(graph, part, target_fps, clock_mhz).foldings
    except ConfigError:
        return None
    return {
        name: replace(f, compute="auto", ram_style="auto", ram_style_thresholds="auto") for name, f in found.items()
    }
