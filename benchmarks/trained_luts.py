"""Accuracy against LUTs, from our own trained networks: all runs of a family, four policies, by memory style.

    python benchmarks/trained_luts.py RUNS --family whole-espcn-x2 --fps 30

RUNS holds folders of runs (``python benchmarks/reproduce run --work RUNS``). All designs of a family are folded by
FINN's SetFolding rule for one frame rate, so that only widths and values differ. Results go to
``results/trained_luts-FAMILY.json`` and ``.png``. An unconstrained network may take what a compiler finds out from its
frozen weights ("exact"); what training saves is judged against that, and against 32 bits.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
from policies import POLICIES, STYLES, luts

from brevitas_a2q._files import write_atomically
from brevitas_a2q.hw import find_part, read_graph

RESULTS = Path(__file__).parent / "results"
MARKERS = {"none": "s", "projected": "o", "a2q+": "^", "a2q": "v"}


def rows_of(runs: Path, family: str, part_name: str, fps: float) -> list[dict[str, Any]]:
    """One row per finished run."""
    part, rows = find_part(part_name), []
    for folder in sorted(runs.glob(f"{family}-w*")):
        if not (folder / "result.json").exists() or not (folder / "network.onnx").exists():
            continue
        result = json.loads((folder / "result.json").read_text())
        quant = result["config"]["quant"]
        rows.append(
            {
                "run": folder.name,
                "method": quant["method"],
                "weights": quant["weight_bit_width"],
                "activations": quant["activation_bit_width"],
                "P": None if quant["method"] == "none" else quant["accumulator_bit_width"],
                "metric": result["metric"],
                "last": result["last"],
                "float_last": result["float_last"],
                "lut": luts(read_graph(folder / "network.onnx"), part, fps),
            }
        )
        click.echo(f"{folder.name}: {rows[-1]['lut']['all in LUTs']}", err=True)
    return rows


def savings(rows: list[dict[str, Any]], share: float = 0.992) -> list[dict[str, Any]]:
    """For each precision and style: the cheapest trained network of at least this share of the float metric.

    Beside it the unconstrained network at 32 bits and with the exact widths of its frozen weights.
    """
    found = []
    for precision in sorted({(row["weights"], row["activations"]) for row in rows}):
        mine = [row for row in rows if (row["weights"], row["activations"]) == precision]
        plain = next((row for row in mine if row["P"] is None), None)
        good = [row for row in mine if row["P"] is not None and row["last"] >= share * row["float_last"]]
        if plain is None or not good:
            continue
        for style in STYLES:
            best = min(good, key=lambda row: row["lut"][style]["trained"])
            taken, base = best["lut"][style]["trained"], plain["lut"][style]
            found.append(
                {
                    "precision": "W{}A{}".format(*precision),
                    "style": style,
                    "run": best["run"],
                    "lut": taken,
                    "unconstrained": base,
                    "saved_against_32": round(1 - taken / base["32"], 4),
                    "saved_against_exact": round(1 - taken / base["exact"], 4),
                }
            )
    return found


def plot(rows: list[dict[str, Any]], path: Path, fps: float) -> None:
    """The metric against LUTs, one panel per memory style."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figure, panels = plt.subplots(1, len(STYLES), figsize=(19, 4.4), sharey=True, layout="constrained")
    for panel, style in zip(panels, STYLES, strict=True):
        for row in rows:
            colour = f"C{0 if row['weights'] == 4 else 1}"
            if row["P"] is None:
                for policy in POLICIES[:3]:
                    x = row["lut"][style][policy] / 1000
                    panel.plot(x, row["last"], MARKERS["none"], color=colour, mfc="none")
                    panel.annotate(policy, (x, row["last"]), fontsize=7, xytext=(2, 4), textcoords="offset points")
            else:
                x = row["lut"][style]["trained"] / 1000
                panel.plot(x, row["last"], MARKERS[row["method"]], color=colour)
                panel.annotate(
                    f"P={row['P']}", (x, row["last"]), fontsize=7, xytext=(3, -8), textcoords="offset points"
                )
        panel.set_title(style)
        panel.set_xlabel("1,000 LUTs")
        panel.margins(0.15)
    panels[0].set_ylabel(rows[0]["metric"])
    seen = {(row["method"], row["weights"]) for row in rows}
    for method, weights in sorted(seen):
        label = f"{'unconstrained' if method == 'none' else method}, W{weights}A{weights}"
        colour = f"C{0 if weights == 4 else 1}"
        panels[-1].plot([], [], MARKERS[method], color=colour, mfc="none" if method == "none" else colour, label=label)
    panels[-1].legend(fontsize=7)
    figure.suptitle(f"Trained networks, SetFolding for {fps:g} frames per second; runs below the panel are not shown")
    floor = max(row["last"] for row in rows) - (4 if rows[0]["metric"] == "psnr_db" else 0.2)
    panels[0].set_ylim(bottom=floor)
    figure.savefig(path, dpi=110)


@click.command()
@click.argument("runs", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--family", default="whole-espcn-x2", show_default=True)
@click.option("--fps", type=float, default=30.0, show_default=True)
@click.option("--part", default="ZCU104", show_default=True)
def main(runs: Path, family: str, fps: float, part: str) -> None:
    """Estimate every trained network of a family."""
    rows = rows_of(runs, family, part, fps)
    found = {"family": family, "part": part, "fps": fps, "rows": rows, "savings": savings(rows)}
    stem = RESULTS / f"trained_luts-{family}"
    write_atomically(stem.with_suffix(".json"), json.dumps(found, indent=1) + "\n")
    plot(rows, stem.with_suffix(".png"), fps)
    click.echo(json.dumps(found["savings"], indent=1))


if __name__ == "__main__":
    main()
