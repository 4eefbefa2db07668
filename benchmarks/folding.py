"""The optimal folding against FINN's SetFolding, and how long the estimator takes.

Both are costed by the same model, with width converters and with FIFOs at their depths. LUT-equivalents count a block
as many LUTs as the part has for each of them. Where SetFolding misses a rate, both are compared at the one it reaches.

    python benchmarks/folding.py ../shared/oracle/models [--part ZCU104]

writes results/folding.json.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np

from brevitas_a2q.hw.cost.model import synthesis_model
from brevitas_a2q.hw.devices import Part, find_part
from brevitas_a2q.hw.dse import DesignSpace
from brevitas_a2q.hw.estimation import estimate_graph
from brevitas_a2q.hw.folding_curve import fold_curve
from brevitas_a2q.hw.folding_problem import FoldingProblem
from brevitas_a2q.hw.folding_result import fold_graph
from brevitas_a2q.hw.frontend import read_graph

RESULTS = Path(__file__).parent / "results"
RATES = (100, 1000, 4000, 16_000)


def comparison(file: Path, part: Part, fps: float) -> dict[str, Any]:
    """One network at one rate."""
    started = time.perf_counter()
    graph = read_graph(file)
    result = fold_graph(graph, part, fps).to_json()
    if result["setfolding_fps"] < fps:
        fps = result["setfolding_fps"]
        result = fold_graph(graph, part, fps).to_json()
    optimum, greedy = result["lut_equivalent"], result["setfolding_lut_equivalent"]
    return {
        "network": file.stem,
        "target_fps": round(fps, 1),
        "optimum": result["total"],
        "setfolding": result["setfolding_total"],
        "setfolding_fps": round(result["setfolding_fps"], 1),
        "lut_equivalent": round(optimum),
        "setfolding_lut_equivalent": round(greedy),
        "setfolding_over_optimum": round(greedy / optimum, 3),
        "seconds": round(time.perf_counter() - started, 2),
    }


def speed(file: Path, part: Part) -> dict[str, Any]:
    """Seconds from the file to the estimate, for the whole curve, and per further design point."""
    started = time.perf_counter()
    graph = read_graph(file)
    estimate_graph(graph, part, 1000)
    estimated = time.perf_counter()
    points = len(fold_curve(graph, part))
    curve = time.perf_counter()
    space = DesignSpace(FoldingProblem(graph, part, synthesis_model(), max_cycles=200_000))
    rows = np.stack([np.random.default_rng(0).integers(0, size, 1000) for size in space.sizes], axis=1)
    before = time.perf_counter()
    for row in rows:
        space.evaluate(row)
    after = time.perf_counter()
    return {
        "network": file.stem,
        "units": len(graph.units),
        "file_to_estimate_s": round(estimated - started, 2),
        "curve_s": round(curve - estimated, 2),
        "curve_points": points,
        "design_point_ms": round(after - before, 3),  # a thousand of them
    }


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", type=Path)
    parser.add_argument("--part", default="ZCU104")
    options = parser.parse_args()
    part, files = find_part(options.part), sorted(options.models.glob("*.onnx"))
    rows = [comparison(file, part, fps) for file in files for fps in RATES]
    found = {"part": part.name, "against_setfolding": rows, "speed": [speed(file, part) for file in files]}
    (RESULTS / "folding.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
