"""An accelerator from a QONNX file: the estimator's door to :mod:`brevitas_a2q.rtl`, which stands on it."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from brevitas_a2q.hw._devices import Part
from brevitas_a2q.hw._ir import Folding
from brevitas_a2q.hw._target import DEFAULT_CLOCK_MHZ, DEFAULT_PART

__all__ = ["build"]


def build(
    path: str | Path,
    out: str | Path,
    part: str | Part = DEFAULT_PART,
    target_fps: float | None = None,
    clock_mhz: float = DEFAULT_CLOCK_MHZ,
    folding: str | Path | Mapping[str, Folding] | None = None,
    simulate: int = 0,
    synthesize: bool = False,
    **options: Any,
) -> Any:
    """Write a streaming accelerator in Verilog whose accumulators are exactly P bits wide, and check it.

    Args:
        path: QONNX file.
        out: Folder to write to; it must be new, empty, or an earlier build's.
        part: Part, or the name of a part or board.
        target_fps: Frames per second to fold for; None for the least resources at any speed.
        clock_mhz: Clock in MHz; decides how adder trees are pipelined.
        folding: Folding file, or folding of each unit by name; found by a search by default.
        simulate: How many random images to simulate.
        synthesize: Whether every distinct unit is synthesised with Yosys.
        **options: Those of the command ``brevitas-a2q build`` besides: ``accumulator``, ``inputs``, ``simulator``,
            ``gap``, ``stall``, ``seed``, ``witness``, ``prove_layers``, ``synthesis_cache``, ``place_route`` and
            ``progress``.

    Returns:
        A :class:`brevitas_a2q.rtl.BuildReport`; also written to ``report.json``.

    Raises:
        A2QError: For a bad file, part, policy or folding; a unit that has no module; a tool that is missing or fails.

    Example:
        >>> report = build("network.onnx", "accelerator", "ZCU104", target_fps=10000, simulate=4)  # doctest: +SKIP
    """
    rtl = importlib.import_module("brevitas_a2q.rtl._build")
    return rtl.build(path, out, part, target_fps, clock_mhz, folding, simulate, synthesize, **options)
