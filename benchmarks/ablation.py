"""What the parts of the projection are worth: gradient, scale, and the way P is reached.

    python benchmarks/ablation.py --data cifar10.npz

Network, data, recipe and float start are those of accuracy_cpu.py, W4A4, P = 10, at one rate for all; the held-out part
is the validation split, so the test images choose nothing. Three seeds. Writes results/ablation.json and .md.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

import click
import torch
from accuracy_cpu import BATCH_SIZE, EPOCHS, SEEDS, Cell, build, load
from torch import Tensor, nn

from brevitas_a2q.models import build_model
from brevitas_a2q.quant.functional import projection
from brevitas_a2q.quant.layers import accumulator_layers
from brevitas_a2q.train import EpochRecord, TrainConfig, fit, seed_everything

RESULTS = Path(__file__).parent / "results" / "ablation.json"
RATE = 4e-3
WIDTHS = (10,)
VARIANTS = {
    "as shipped": "face Jacobian, scale searched within the budget and learned, P from the first step",
    "straight-through": "the gradient passes unchanged where the budget binds",
    "active only": "face Jacobian for active weights, no gradient for inactive ones",
    "scale from max w": "the scale starts at the largest weight / q_max, whatever the budget, and is learned",
    "scale fixed": "the scale is searched within the budget and not learned",
    "P narrows": "P falls by one bit per epoch, to its target in the last but one",
}


def straight_through(grad: Tensor, codes: Tensor, normals: Tensor) -> Tensor:
    """The gradient as it is."""
    return grad


def active_only(grad: Tensor, codes: Tensor, normals: Tensor) -> Tensor:
    """The Jacobian of the projection at a point inside its face: inactive weights stay where they are."""
    return FACE(grad, codes, normals) * (codes != 0)


FACE = projection._along_face


@contextmanager
def gradient(variant: str) -> Iterator[None]:
    """Put the variant's gradient in the place of the package's."""
    rules = {"straight-through": straight_through, "active only": active_only}
    with mock.patch.object(projection, "_along_face", rules.get(variant, FACE)):
        yield


def prepared(variant: str, p: int, seed: int, start: dict[str, Tensor], data: object) -> nn.Module:
    """The network of one run, with the variant's scale."""
    model = build(Cell(4, 4, p, "projected", RATE, seed, "validation"), start, data)  # type: ignore[arg-type]
    for _, layer in accumulator_layers(model):
        if variant == "scale from max w":
            layer.weight_quant.tensor_quant.budget_aware_scale = False
    return model


def schedule(variant: str, model: nn.Module, p: int) -> Callable[[EpochRecord], None]:
    """What happens after each epoch."""

    def after(record: EpochRecord) -> None:
        if variant == "P narrows":
            set_width(model, max(p, p + EPOCHS - 2 - record.epoch))

    return after


def set_width(model: nn.Module, p: int) -> None:
    """Change P of every constrained layer."""
    for _, layer in accumulator_layers(model):
        layer.weight_quant.tensor_quant.accumulator_bit_width = p


@click.command()
@click.option("--data", type=click.Path(exists=True, path_type=Path), required=True)
def main(data: Path) -> None:
    """Run every variant and seed, and write the table."""
    torch.set_num_threads(1)
    validation, _ = load(data)
    seed_everything(0)
    floating = build_model("small-cnn")
    fit(floating, validation, TrainConfig(epochs=12, batch_size=64))
    scores: dict[str, dict[int, list[float]]] = {variant: {p: [] for p in WIDTHS} for variant in VARIANTS}
    for p in WIDTHS:
        for variant in VARIANTS:
            for seed in SEEDS:
                model = prepared(variant, p, seed, floating.state_dict(), validation)
                with gradient(variant):
                    model(validation.x_train[:8])
                    if variant == "scale fixed":
                        for _, layer in accumulator_layers(model):
                            layer.weight_quant.tensor_quant.scaling_impl.value.requires_grad_(False)
                    if variant == "P narrows":
                        set_width(model, p + EPOCHS - 2)
                    config = TrainConfig(EPOCHS, BATCH_SIZE, learning_rate=RATE, seed=seed)
                    history = fit(model, validation, config, schedule(variant, model, p))
                scores[variant][p].append(history.last)
            click.echo(f"P={p} {variant}: {scores[variant][p]}")
    RESULTS.write_text(json.dumps({"rate": RATE, "epochs": EPOCHS, "seeds": SEEDS, "accuracy": scores}, indent=1))
    RESULTS.with_suffix(".md").write_text(table(scores))


def table(scores: dict[str, dict[int, list[float]]]) -> str:
    """Mean and sample standard deviation of the validation accuracy, in %."""
    lines = ["Validation accuracy in %, last epoch, mean ± standard deviation over three seeds (W4A4).", ""]
    lines += ["| variant | " + " | ".join(f"P = {p}" for p in WIDTHS) + " | what it is |"]
    lines += ["|---" * (len(WIDTHS) + 2) + "|"]
    for variant, by_width in scores.items():
        cells = [f"{100 * statistics.mean(s):.1f} ± {100 * statistics.stdev(s):.1f}" for s in by_width.values()]
        lines.append(f"| {variant} | " + " | ".join(cells) + f" | {VARIANTS[variant]} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
