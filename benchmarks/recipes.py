"""Learning rates of the whole networks' short recipes, chosen on training images held out of training.

    python benchmarks/recipes.py whole-espcn-x2 --data-root BSD300 --validation 20

Trains the float network of a family of ``benchmarks/reproduce`` at several rates, then, from the best of them, W4A4 at
P = 10 by A2Q+ and by the projection at several rates, each judged by held-out training images; test images are not
read. The quantized rate of the family is the one that is best for A2Q+. Rewrites the family's section in
``benchmarks/results/recipes.json``.
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
FACTORS = (0.25, 1.0)  # of the family's rates
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
    rates = [factor * family.float_recipe["learning_rate"] for factor in FACTORS]
    _, best = max(trained("float", floating, rate) for rate in rates)
    for method in ("a2q+", "projected"):
        values = dict(family.quantized(method, 4, 4, 10, 0).values)
        for factor in FACTORS:
            rate = factor * family.recipe["learning_rate"]
            trained(f"w4a4-p10-{method}", values, rate, float_checkpoint=str(best))
    found = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    found[label] = {"validation_images": validation, "rows": rows}
    write_atomically(RESULTS, json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
