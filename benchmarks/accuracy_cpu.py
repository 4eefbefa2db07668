"""Accuracy against accumulator width on a CPU: A2Q, A2Q+ and the projection from one float start, by one recipe.

    python benchmarks/accuracy_cpu.py run --data cifar10.npz --minutes 30
    python benchmarks/accuracy_cpu.py report

`cifar10.npz` holds x_train, y_train, x_test and y_test (uint8, count x 32 x 32 x 3, and labels). The first 6,000
training images, averaged to 16x16, train; the next 1,500 choose each method's learning rate at each width, from the
same two rates; the first 3,000 test images are looked at once per run, after its last epoch. Three seeds each.
Runs are independent: `run` does the pending ones within a time budget and appends a line per run.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import click
import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from brevitas_a2q.data import ImageData
from brevitas_a2q.models import QuantSpec, build_model, load_float_weights
from brevitas_a2q.quant._init import ep_init_, scale_init_
from brevitas_a2q.train import Recipe, calibrate, fit
from brevitas_a2q.train._seeds import seed_everything

RESULTS = Path(__file__).parent / "results" / "accuracy_cpu.jsonl"
REPORT = RESULTS.with_suffix(".md")
WIDTHS = {(4, 4): (16, 14, 12, 11, 10, 9), (8, 8): (16, 14, 12, 11, 10, 9)}
VARIANTS = (
    "a2q, EP-init",
    "a2q+, EP-init",
    "a2q, scale search, EP-init",
    "a2q+, scale search, EP-init",
    "projected",  # searches its scale by itself
)
RATES = (1e-3, 4e-3)
SEEDS = (0, 1, 2)
TUNING_SEED = 100
EPOCHS = 4
BATCH_SIZE = 128


@dataclass(frozen=True)
class Cell:
    """One training run. ``split`` is what its accuracy is measured on."""

    weight_bit_width: int
    activation_bit_width: int
    accumulator_bit_width: int | None
    variant: str
    rate: float
    seed: int
    split: str  # "validation" or "test"


def load(path: Path) -> tuple[ImageData, ImageData]:
    """The same training images with the validation, and with the test images as the held-out part."""
    arrays = np.load(path, allow_pickle=False)

    def part(which: str, start: int, stop: int) -> tuple[torch.Tensor, torch.Tensor]:
        x = torch.from_numpy(arrays[f"x_{which}"][start:stop]).permute(0, 3, 1, 2).float() / 255
        return F.avg_pool2d(x, 2), torch.from_numpy(arrays[f"y_{which}"][start:stop].astype(np.int64))

    train = part("train", 0, 6000)
    validation = ImageData("cifar10-16", *train, *part("train", 6000, 7500), classes=10)
    return validation, ImageData("cifar10-16", *train, *part("test", 0, 3000), classes=10)


def build(cell: Cell, start: dict[str, torch.Tensor], data: ImageData) -> nn.Module:
    """The cell's network at the start of its training."""
    seed_everything(cell.seed)
    method = cell.variant.split(",")[0]
    spec = QuantSpec(
        method,  # type: ignore[arg-type]
        cell.weight_bit_width,
        cell.activation_bit_width,
        cell.accumulator_bit_width or 32,
    )
    model = build_model("small-cnn", spec)
    load_float_weights(model, start)
    calibrate(model, data.x_train[:512])
    if "scale search" in cell.variant:
        scale_init_(model, data.x_train[:8])
    if "EP-init" in cell.variant:
        ep_init_(model, data.x_train[:8])
    return model


def finished() -> dict[Cell, float]:
    """Accuracy of every run on record."""
    if not RESULTS.exists():
        return {}
    rows = [json.loads(line) for line in RESULTS.read_text().splitlines()]
    return {Cell(**row["cell"]): row["accuracy"] for row in rows}


def chosen_rate(cell: Cell, done: dict[Cell, float]) -> float | None:
    """The rate with the higher validation accuracy; None while a tuning run is missing."""
    tuning = [Cell(**{**asdict(cell), "rate": r, "seed": TUNING_SEED, "split": "validation"}) for r in RATES]
    if any(run not in done for run in tuning):
        return None
    return max(tuning, key=lambda run: done[run]).rate


def pending(done: dict[Cell, float]) -> Iterator[Cell]:
    """Runs still to do that can be done now, narrow and informative ones first."""
    groups = [(m, n, None, "none") for m, n in WIDTHS]
    for (m, n), widths in WIDTHS.items():
        groups += [(m, n, p, variant) for p in sorted(widths) for variant in VARIANTS]
    for m, n, p, variant in groups:
        base = Cell(m, n, p, variant, 0.0, 0, "test")
        rate = chosen_rate(base, done)
        if rate is None:
            runs = [Cell(m, n, p, variant, r, TUNING_SEED, "validation") for r in RATES]
        else:
            runs = [Cell(m, n, p, variant, rate, seed, "test") for seed in SEEDS]
        yield from (run for run in runs if run not in done)


@click.group()
def main() -> None:
    """Run cells, or render what has been run."""


@main.command()
@click.option("--data", type=click.Path(exists=True, path_type=Path), required=True)
@click.option("--minutes", type=float, default=30.0, show_default=True)
@click.option("--worker", type=int, default=0, help="This worker's number, from 0.")
@click.option("--workers", type=int, default=1, help="How many workers share the cells.")
def run(data: Path, minutes: float, worker: int, workers: int) -> None:
    """Do pending runs until the time is up."""
    torch.set_num_threads(1)
    stop = time.monotonic() + 60 * minutes
    validation, test = load(data)
    seed_everything(0)
    floating = build_model("small-cnn")
    accuracy = fit(floating, validation, Recipe(epochs=12, batch_size=64)).last
    click.echo(f"float start: validation accuracy {accuracy:.3f}")
    while time.monotonic() < stop:
        cell = next((c for c in pending(finished()) if hash_of(c) % workers == worker), None)
        if cell is None:
            break
        held_out = test if cell.split == "test" else validation
        model = build(cell, floating.state_dict(), held_out)
        started = time.perf_counter()
        history = fit(
            model, held_out, Recipe(epochs=EPOCHS, batch_size=BATCH_SIZE, learning_rate=cell.rate), seed=cell.seed
        )
        row = {"cell": asdict(cell), "accuracy": history.last, "float_validation": accuracy}
        row["seconds"] = round(time.perf_counter() - started, 1)
        RESULTS.parent.mkdir(exist_ok=True)
        with RESULTS.open("a") as file:
            file.write(json.dumps(row) + "\n")
        click.echo(json.dumps(row))


def hash_of(cell: Cell) -> int:
    """A number that every process computes alike, by group, so that workers do not meet."""
    return sum(map(ord, cell.variant)) + (cell.accumulator_bit_width or 0) + cell.weight_bit_width


@main.command()
def report() -> None:
    """Write the table: mean and sample standard deviation over the seeds, last epoch, chosen rate."""
    done = finished()
    lines = [(__doc__ or "").split("\n")[0], ""]
    for (m, n), widths in WIDTHS.items():
        base = Cell(m, n, None, "none", 0.0, 0, "test")
        lines += [f"W{m}A{n}, unconstrained: {entry(base, done)}", "", "| P | " + " | ".join(VARIANTS) + " |"]
        lines.append("|---" * (len(VARIANTS) + 1) + "|")
        for p in widths:
            entries = [entry(Cell(m, n, p, variant, 0.0, 0, "test"), done) for variant in VARIANTS]
            lines.append(f"| {p} | " + " | ".join(entries) + " |")
        lines.append("")
    REPORT.write_text("\n".join(lines))
    click.echo("\n".join(lines))


def entry(base: Cell, done: dict[Cell, float]) -> str:
    """One cell of the table."""
    rate = chosen_rate(base, done)
    scores = [
        100 * a
        for c, a in done.items()
        if c.split == "test" and asdict(c) == {**asdict(base), "rate": rate, "seed": c.seed}
    ]
    if len(scores) < 2:
        return "pending"
    return f"{statistics.mean(scores):.1f} ± {statistics.stdev(scores):.1f} ({rate:g}, n={len(scores)})"


if __name__ == "__main__":
    main()
