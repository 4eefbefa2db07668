"""Does training by fused activation quantizers reach what training by Brevitas' own reaches?

    python benchmarks/fused_accuracy.py --data cifar10_subset.npz --work FOLDER     # goes on where it stopped

The narrowed ResNet18 of `benchmarks/reproduce` (W4A4, projected, P = 12) by its recipe, from one float network, on a
part of CIFAR-10: three seeds of batches, each fused and not. Writes `results/fused_accuracy.json`.
"""

from __future__ import annotations

import json
import statistics
import sys
from pathlib import Path
from typing import Any

import click

from brevitas_a2q._files import write_atomically
from brevitas_a2q.train._config import RunConfig
from brevitas_a2q.train._run import run

sys.path.insert(0, str(Path(__file__).parent / "reproduce"))
from cells import CPU_RESNET18

RESULTS = Path(__file__).parent / "results" / "fused_accuracy.json"
SEEDS = (0, 1, 2)


def config(values: dict[str, Any], data: Path) -> RunConfig:
    return RunConfig.from_dict({**values, "data_root": str(data.resolve()), "estimate": None})


@click.command(help=__doc__)
@click.option("--data", type=click.Path(exists=True, path_type=Path), required=True, help="A part of CIFAR-10, .npz.")
@click.option("--work", type=click.Path(file_okay=False, path_type=Path), required=True, help="Runs and checkpoints.")
def main(data: Path, work: Path) -> None:
    floating = run(config(dict(CPU_RESNET18.floating(0).values), data), work / "float")
    click.echo(f"float: {floating.last:.4f}")
    rows = []
    for seed in SEEDS:
        for fused in (True, False):
            cell = dict(CPU_RESNET18.quantized("projected", 4, 4, 12, seed).values)
            cell |= {
                "float_checkpoint": str(work / "float"),
                "model_options": {"width": 16, "fused_activations": fused},
            }
            found = run(config(cell, data), work / f"{'fused' if fused else 'plain'}-{seed}")
            rows.append({"seed": seed, "fused": fused, "accuracy": found.last, "losses": [e.loss for e in found.curve]})
            click.echo(f"seed {seed}, {'fused' if fused else 'not fused'}: {found.last:.4f}, {found.seconds:.0f} s")
    summary = {
        name: {"mean": statistics.mean(scores), "range": [min(scores), max(scores)]}
        for name, scores in (
            ("fused", [row["accuracy"] for row in rows if row["fused"]]),
            ("not fused", [row["accuracy"] for row in rows if not row["fused"]]),
        )
    }
    found = {"float": floating.last, "summary": summary, "rows": rows, "versions": floating.versions}
    write_atomically(RESULTS, json.dumps(found, indent=1) + "\n")
    click.echo(json.dumps(summary))


if __name__ == "__main__":
    main()
