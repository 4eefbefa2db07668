"""What a narrower accumulator buys, in LUTs: four policies, four memory styles, several networks.

The ICCV paper of A2Q reports up to 2.3 times fewer LUTs than with 32-bit accumulators, its successor 1.6 times; which
ratio one sees depends on the network and on where its weights and thresholds are kept. Every network is folded by
FINN's SetFolding rule for one frame rate, so that all policies and styles have the same PE, SIMD and cycles; then only
the width of the accumulators changes. The last style, "constants", has every weight as a constant and no folding.

    python benchmarks/policies.py MODELS [--fps 1000] [--part ZCU104]    # MODELS: tests/data/finn, unpacked

writes results/policies.json and results/policies.png.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from brevitas_a2q.hw._cost.model import synthesis_model
from brevitas_a2q.hw._design import build_design
from brevitas_a2q.hw._devices import Part, find_part
from brevitas_a2q.hw._frontend import read_graph
from brevitas_a2q.hw._ir import Folding, Graph, MemoryStyle, Mvau, SlidingWindow, Vvau
from brevitas_a2q.hw._policies import apply_policy
from brevitas_a2q.hw._setfolding import setfolding_foldings

POLICIES = ("32", "data-type", "exact", "trained")
STYLES: dict[str, tuple[MemoryStyle, MemoryStyle] | None] = {
    "all in LUTs": ("distributed", "distributed"),  # weights, thresholds
    "weights in BRAM": ("block", "distributed"),
    "all in BRAM": ("block", "block"),
    "least share": ("auto", "auto"),
    "constants": None,
}
RESULTS = Path(__file__).parent / "results"


def styled(graph: Graph, foldings: Mapping[str, Folding], style: str) -> dict[str, Folding]:
    """The foldings with weights and thresholds in this style of memory."""
    chosen = STYLES[style]
    done = dict(foldings)
    for unit in graph.units:
        if not isinstance(unit, Mvau | Vvau):
            continue
        if chosen is None:
            done[unit.name] = Folding(unit.pe_limit, unit.simd_limit, "unrolled")
            before = next((u for u in graph.units if u.name == unit.inputs[0]), None)
            if isinstance(before, SlidingWindow):
                done[before.name] = Folding(simd=before.channels, parallel_window=True)
        elif chosen == ("auto", "auto"):
            continue  # where each memory is cheapest, as the foldings already say
        else:
            weights, thresholds = chosen
            done[unit.name] = replace(
                done[unit.name], compute="lut", ram_style=weights, ram_style_thresholds=thresholds
            )
    return done


def luts(graph: Graph, part: Part, fps: float) -> dict[str, dict[str, int]]:
    """LUTs of the whole design by style and policy."""
    foldings = setfolding_foldings(graph, part, synthesis_model(), fps, 200.0)
    assert foldings is not None
    found: dict[str, dict[str, int]] = {}
    for style in STYLES:
        found[style] = {}
        for policy in POLICIES:
            applied = apply_policy(graph, policy).graph
            design = build_design(applied, styled(applied, foldings, style), part, synthesis_model())
            found[style][policy] = design.total.lut
    return found


def table(models: Path, part: Part, fps: float) -> list[dict[str, Any]]:
    """One row per network and style: LUTs per policy, and how many times fewer than with 32 bits."""
    rows = []
    for file in sorted(models.glob("*.onnx")):
        for style, counts in luts(read_graph(file), part, fps).items():
            ratios = {policy: round(counts["32"] / count, 3) for policy, count in counts.items()}
            rows.append({"network": file.stem, "style": style, "lut": counts, "times_fewer_than_32": ratios})
    return rows


def against_plain(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The trained network against the same network without a constraint, at 32 bits: sparsity counts here too."""
    plain = {(row["network"], row["style"]): row["lut"]["32"] for row in rows}
    return [
        {
            "network": row["network"],
            "style": row["style"],
            "times_fewer": round(plain[base, row["style"]] / row["lut"]["trained"], 3),
        }
        for row in rows
        if (base := row["network"].partition("_a2q")[0]) != row["network"] and (base, row["style"]) in plain
    ]


def plot(rows: list[dict[str, Any]], path: Path, fps: float) -> None:
    """Ratios as bars, one panel per style, with the published range shaded."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figure, panels = plt.subplots(1, len(STYLES), figsize=(17, 4.6), sharey=True, layout="constrained")
    for panel, style in zip(panels, STYLES, strict=True):
        mine = [row for row in rows if row["style"] == style]
        panel.axhspan(1.6, 2.3, color="0.9", label="1.6 to 2.3, published")
        for index, policy in enumerate(POLICIES[1:]):
            places = [i + (index - 1) * 0.27 for i in range(len(mine))]
            panel.bar(places, [row["times_fewer_than_32"][policy] for row in mine], 0.25, label=policy)
        panel.axhline(1, color="black", linewidth=0.8)
        panel.set_xticks(range(len(mine)), [row["network"] for row in mine], rotation=60, ha="right", fontsize=8)
        panel.set_title(style)
    panels[0].set_ylabel("times fewer LUTs than 32-bit accumulators")
    panels[-1].legend(fontsize=8, loc="upper right")
    figure.suptitle(f"Same folding (SetFolding for {fps:g} frames per second), only accumulator widths change")
    figure.savefig(path, dpi=110)


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", type=Path)
    parser.add_argument("--fps", type=float, default=1000)
    parser.add_argument("--part", default="ZCU104")
    options = parser.parse_args()
    part = find_part(options.part)
    rows = table(options.models, part, options.fps)
    found = {"part": part.name, "fps": options.fps, "rows": rows, "against_plain_network": against_plain(rows)}
    (RESULTS / "policies.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    plot(rows, RESULTS / "policies.png", options.fps)


if __name__ == "__main__":
    main()
