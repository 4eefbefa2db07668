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
from policies import STYLES, luts

from brevitas_a2q._files import write_atomically
from brevitas_a2q.hw._devices import find_part
from brevitas_a2q.hw._frontend import read_graph

RESULTS = Path(__file__).parent / "results"
MARKERS = {4: "o", 8: "s"}  # by bits of weights
COLOURS = {"none": "black", "projected": "C0", "a2q+": "C1", "a2q": "C2"}
NAMES = {"none": "unconstrained", "projected": "projected", "a2q+": "A2Q+", "a2q": "A2Q"}


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

    styles = [style for style in STYLES if style != "least share"]
    figure, panels = plt.subplots(1, len(styles), figsize=(15, 4.6), sharey=True, layout="constrained")
    lowest = max(row["last"] for row in rows) - (4 if rows[0]["metric"] == "psnr_db" else 0.2)
    shown = [row for row in rows if row["last"] >= lowest]
    for panel, style in zip(panels, styles, strict=True):
        for row in shown:
            colour, marker = COLOURS[row["method"]], MARKERS.get(row["weights"], "D")
            name = f"W{row['weights']}A{row['activations']}, {NAMES[row['method']]}"
            counts = {policy: count / 1000 for policy, count in row["lut"][style].items()}
            if row["P"] is None:
                panel.plot(counts["32"], row["last"], marker, color=colour, mfc="none", ms=9, label=f"{name}, 32 bits")
                panel.plot(counts["exact"], row["last"], "+", color=colour, ms=9, label="the same, exact widths")
                continue
            panel.plot(counts["trained"], row["last"], marker, color=colour, label=name)
            if row["method"] == "projected":
                at = {"xytext": (5, 2), "textcoords": "offset points"}
                panel.annotate(f"{row['P']}", (counts["trained"], row["last"]), fontsize=8, **at)
        panel.set_title(style)
        panel.set_xlabel("1,000 LUTs")
        panel.margins(0.12)
    panels[0].set_ylabel({"psnr_db": "PSNR in dB"}.get(rows[0]["metric"], rows[0]["metric"]))
    labels = dict(zip(*reversed(panels[0].get_legend_handles_labels()), strict=True))
    panels[-1].legend(labels.values(), labels.keys(), fontsize=8, loc="lower right")
    left_out = f"; {len(rows) - len(shown)} run below is not shown" if len(shown) < len(rows) else ""
    figure.suptitle(f"Trained networks, SetFolding for {fps:g} frames per second; numbers: P of projected{left_out}")
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
