"""Learning rates of the whole networks' short recipes, chosen on training images held out of training.

    python benchmarks/recipes.py whole-espcn-x2 --data-root BSD300 --validation 20

Trains the float network of a family of ``benchmarks/reproduce`` at several rates, then, from the best of them, W4A4 at
P = 10 by A2Q+ at several rates, each judged by held-out training images; test images are not read. The rates of the
family are the best of each; the projection, and all other widths, take what is best for A2Q+. Rewrites the family's
section in ``benchmarks/results/recipes.json``. With ``--work`` it goes on where it was stopped.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import click

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE / "reproduce"))

import cells  # noqa: E402
from cells import Family  # noqa: E402

from brevitas_a2q._files import write_atomically  # noqa: E402
from brevitas_a2q.train import RunConfig, run  # noqa: E402

RESULTS = HERE / "results" / "recipes.json"
FLOAT_RATES = {"whole-espcn-x2": (1e-3, 4e-3), "whole-resnet18": (0.1, 0.2)}
QUANTIZED_RATES = {"whole-espcn-x2": (5e-4, 2e-3), "whole-resnet18": (5e-3, 2e-2)}
FAMILIES = {f.label: f for f in vars(cells).values() if isinstance(f, Family) and f.group == "cpu-whole"}


@click.command()
@click.argument("label", type=click.Choice(sorted(FAMILIES)))
@click.option("--data-root", type=click.Path(exists=True, path_type=Path), required=True)
@click.option("--validation", type=click.IntRange(1), required=True, help="Training images held out.")
@click.option("--work", type=click.Path(file_okay=False, path_type=Path), help="Checkpoints; an own folder by default.")
def main(label: str, data_root: Path, validation: int, work: Path | None) -> None:
    """Measure."""
    family = FAMILIES[label]
    folder = work or Path(tempfile.mkdtemp(prefix="recipes-"))
    rows: list[dict[str, Any]] = []

    def trained(name: str, values: dict[str, Any], rate: float, **more: Any) -> tuple[float, Path]:
        options = {**values.get("data_options", {}), "validation": validation}
        recipe = {**values["recipe"], "learning_rate": rate}
        where = {"data_root": str(data_root), "data_options": options, "recipe": recipe, **more}
        place = folder / f"{name}-{rate:g}"
        result = run(RunConfig.from_dict({**values, **where}, name), place)
        rows.append({"run": name, "learning_rate": rate, "last": round(result.last, 4), "metric": result.metric})
        click.echo(json.dumps(rows[-1]))
        return result.last, place

    floating = dict(family.floating(0).values)
    _, best = max(trained("float", floating, rate) for rate in FLOAT_RATES[label])
    quantized = dict(family.quantized("a2q+", 4, 4, 10, 0).values)
    for rate in QUANTIZED_RATES[label]:
        trained("w4a4-p10-a2q+", quantized, rate, float_checkpoint=str(best))
    found = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    found[label] = {"validation_images": validation, "rows": rows}
    write_atomically(RESULTS, json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
