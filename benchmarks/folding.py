"""The optimal folding against FINN's SetFolding and against what no folding can undercut; the curve; tight parts.

Both are costed by the same model, with width converters and with FIFOs at their depths. LUT-equivalents count a block
as many LUTs as the part has for each of them. Where SetFolding misses a rate, both are compared at the one it reaches.
How fast the search is: benchmarks/estimator_speed.py.

    python benchmarks/folding.py ../shared/oracle/models [--part ZCU104]

writes results/folding.json.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from brevitas_a2q.errors import FoldingError
from brevitas_a2q.hw._devices import Part, find_part
from brevitas_a2q.hw._folding_result import fold_graph
from brevitas_a2q.hw._frontend import read_graph

RESULTS = Path(__file__).parent / "results"
RATES = (100, 1000, 4000, 16_000)
SMALL_PARTS = ("xc7z007s", "xc7z020")


def comparison(file: Path, part: Part, fps: float) -> dict[str, Any]:
    """One network at one rate."""
    graph = read_graph(file)
    result = fold_graph(graph, part, fps).to_json()
    if result["setfolding_fps"] < fps:
        fps = result["setfolding_fps"]
        result = fold_graph(graph, part, fps).to_json()
    optimum, greedy = result["lut_equivalent"], result["setfolding_lut_equivalent"]
    return {
        "network": file.stem,
        "target_fps": round(fps, 1),
        "fps": round(result["fps"], 1),
        "optimum": result["total"],
        "setfolding": result["setfolding_total"],
        "setfolding_fps": round(result["setfolding_fps"], 1),
        "lut_equivalent": round(optimum),
        "setfolding_lut_equivalent": round(greedy),
        "setfolding_over_optimum": round(greedy / optimum, 3),
        "optimum_over_bound": round(optimum / result["least_lut_equivalent"], 3),
    }


def fastest(file: Path, part: Part) -> dict[str, Any]:
    """The highest rate inside a part, and what is proven to be out of reach."""
    row: dict[str, Any] = {"network": file.stem, "part": part.name}
    try:
        result = fold_graph(read_graph(file), part, max_fps=True).to_json()
    except FoldingError as error:
        return {**row, "error": str(error)}
    return {**row, "fps": round(result["fps"]), "at_most_fps": round(result["most_fps"]), "total": result["total"]}


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", type=Path)
    parser.add_argument("--part", default="ZCU104")
    options = parser.parse_args()
    part, files = find_part(options.part), sorted(options.models.glob("*.onnx"))
    rows = [comparison(file, part, fps) for file in files for fps in RATES]
    inside = [fastest(file, find_part(name)) for file in files for name in SMALL_PARTS]
    found = {"part": part.name, "against_setfolding": rows, "fastest": inside}
    (RESULTS / "folding.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
