"""What the parts of the projection are worth: gradient, scale, the way P is reached, and its spread over layers.

    python benchmarks/ablation.py run --data cifar10.npz --minutes 60
    python benchmarks/ablation.py report

Network, data, recipe and float start are those of accuracy_cpu.py, W4A4, at one rate for all; the held-out part is the
validation split, so the test images choose nothing. Three seeds. Runs are independent: `run` does the pending ones
within a time budget and appends a line per run to results/ablation.jsonl, `report` writes results/ablation.md.
"""

from __future__ import annotations

import itertools
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import torch
from accuracy_cpu import BATCH_SIZE, EPOCHS, SEEDS, Cell, build, load
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrize

from brevitas_a2q.data import ImageData
from brevitas_a2q.models import build_model
from brevitas_a2q.quant._functional import Budget
from brevitas_a2q.quant._functional.euclidean import project_l1_ball
from brevitas_a2q.quant._layers import accumulator_layers
from brevitas_a2q.train import Recipe, fit
from brevitas_a2q.train._loop import EpochRecord
from brevitas_a2q.train._seeds import seed_everything

RESULTS = Path(__file__).parent / "results" / "ablation.jsonl"
RATE = 4e-3
CHANNELS = (48, 48, 64)  # of the constrained layers of small-cnn
LARGEST_CODE = 7
OUTPUTS = (48 * 8 * 8, 48 * 8 * 8, 64 * 4 * 4)
WIDTHS = (9, 10)
SHIPPED = "as shipped"
VARIANTS = {
    SHIPPED: "face Jacobian, scale searched within the budget and learned, P from the first step",
    "straight-through": "the gradient passes unchanged where the budget binds",
    "active only": "face Jacobian for active weights, no gradient for inactive ones",
    "soft face": "weights near the threshold belong to the face in part, by a sigmoid half a unit wide",
    "soft forward": "weights move from the real to the integer projection during the first three epochs",
    "scale from max w": "the scale starts at the largest weight / q_max, whatever the budget, and is learned",
    "scale fixed": "the scale is searched within the budget and not learned",
    "scale slower": "the scale is learned at a quarter of the rate",
    "scale decays": "the scale is learned and pulled back to where it started (weight decay 0.01)",
    "P narrows": "P falls by one bit per epoch, to its target in the last but one",
}
# P differs between layers by up to two bits either way, so that the loss should rise least; its sum over these is kept.
SPREADS = {
    "spread, by channels": "P of a layer counts as often as it has output channels",
    "spread, by outputs": "P of a layer counts as often as it has output pixels of all channels",
}
SENSITIVITY_IMAGES = 512
Quantize = Callable[[Tensor, Tensor, Budget], Tensor]
Rule = Callable[[Quantize, Tensor, Tensor, Budget], Tensor]
Row = dict[str, Any]


# --- gradients ------------------------------------------------------------------------------------------------------


def straight_through(quantize: Quantize, rows: Tensor, scale: Tensor, budget: Budget) -> Tensor:
    """The projection, with the gradient of plain rounding."""
    with torch.no_grad():
        codes = quantize(rows, scale, budget) / scale
    ratio = rows / scale
    return scale * (ratio + (codes - ratio).detach())


def active_only(quantize: Quantize, rows: Tensor, scale: Tensor, budget: Budget) -> Tensor:
    """The Jacobian of the projection at a point inside its face: inactive weights stay where they are."""
    with torch.no_grad():
        active = quantize(rows, scale, budget) != 0
    return quantize(torch.where(active, rows, rows.detach()), scale, budget)


def soft_face(quantize: Quantize, rows: Tensor, scale: Tensor, budget: Budget) -> Tensor:
    """Like the face Jacobian, with each weight as much a part of its face as a sigmoid of its distance says."""
    with torch.no_grad():
        codes = quantize(rows, scale, budget) / scale
        ratio, membership = rows / scale, torch.zeros_like(rows)
        for sign in (1, -1):
            side, active = ratio * sign > 0, codes * sign > 0
            lost = ((ratio - codes).abs() * active).sum(1, keepdim=True) / active.sum(1, keepdim=True).clamp_min(1)
            used = (codes * active).abs().sum(1, keepdim=True).round()
            binds = used >= (budget.upper if sign > 0 else budget.lower) // budget.x_hi
            near = torch.sigmoid((ratio.abs() - lost - 0.5) / 0.5)
            membership += sign * side * binds * near
    free = rows
    for sign in (1, -1):
        normal = (membership * sign).clamp_min(0)
        size = normal.square().sum(1, keepdim=True).clamp_min(1e-9)
        # A change of the weights along the normal of the face does not change the result.
        along = (free * normal).sum(1, keepdim=True) / size * normal
        free = free - along + along.detach()
    return straight_through(quantize, free, scale, budget)


class SoftForward:
    """Blend of the projection onto the real budget and onto its integers; ``share`` is that of the integers."""

    def __init__(self) -> None:
        self.share = 0.0

    def __call__(self, quantize: Quantize, rows: Tensor, scale: Tensor, budget: Budget) -> Tensor:
        out = quantize(rows, scale, budget)
        with torch.no_grad():
            above, below = (limit // budget.x_hi for limit in (budget.upper, budget.lower))
            ratio = rows / scale
            real = project_l1_ball(ratio.clamp_min(0), above) - project_l1_ball((-ratio).clamp_min(0), below)
            real = real.clamp(-LARGEST_CODE, LARGEST_CODE) * scale
        return out + (1 - self.share) * (real - out).detach()


def of_rows(rule: Rule, quantize: Quantize) -> Quantize:
    """A quantizer of weights of any shape that follows the rule."""

    def quantized(weight: Tensor, scale: Tensor, budget: Budget) -> Tensor:
        return rule(quantize, weight.flatten(1), scale.reshape(-1, 1), budget).view_as(weight)

    return quantized


# --- one run --------------------------------------------------------------------------------------------------------


class Rate(nn.Module):
    """Learn ``start + factor * z`` in the place of a parameter: Adam's steps are ``factor`` times as long."""

    start: Tensor

    def __init__(self, start: Tensor, factor: float) -> None:
        super().__init__()
        self.register_buffer("start", start.detach().clone())
        self.factor = factor

    def forward(self, z: Tensor) -> Tensor:
        """The parameter's value."""
        return self.start + self.factor * (z - self.start)


def quantizers(model: nn.Module) -> list[Any]:
    """The constrained weight quantizers, first layer first."""
    return [layer.weight_quant.tensor_quant for _, layer in accumulator_layers(model)]


def set_widths(model: nn.Module, widths: list[int]) -> None:
    """Set P of every constrained layer."""
    for quantizer, p in zip(quantizers(model), widths, strict=True):
        quantizer.accumulator_bit_width = p


def prepare(variant: str, widths: list[int], model: nn.Module, images: Tensor) -> Callable[[EpochRecord], None]:
    """Make the network a variant of what is shipped.

    Returns:
        What happens after each epoch.
    """
    set_widths(model, widths)
    soft = SoftForward()
    rules: dict[str, Rule] = {
        "straight-through": straight_through,
        "active only": active_only,
        "soft face": soft_face,
        "soft forward": soft,
    }
    for quantizer in quantizers(model):
        quantizer.budget_aware_scale = variant != "scale from max w"
    model(images)  # chooses the scales
    for quantizer in quantizers(model) if variant in rules else ():
        quantizer.quantize = of_rows(rules[variant], quantizer.quantize)
    change_scales(variant, model)
    if variant == "P narrows":
        set_widths(model, [p + EPOCHS - 2 for p in widths])

    def after(record: EpochRecord) -> None:
        soft.share = min(1.0, record.epoch / (EPOCHS - 1))
        if variant == "P narrows":
            set_widths(model, [max(p, p + EPOCHS - 2 - record.epoch) for p in widths])

    return after


def change_scales(variant: str, model: nn.Module) -> None:
    """How the scales are learned."""
    for quantizer in quantizers(model):
        scaling = quantizer.scaling_impl
        start = scaling.value.detach().clone()
        if variant == "scale fixed":
            scaling.value.requires_grad_(False)
        elif variant == "scale decays":
            scaling.value.register_hook(lambda grad, d=scaling.value, start=start: grad + 0.01 * (d.detach() - start))
        elif variant == "scale slower":
            parametrize.register_parametrization(scaling, "value", Rate(start, 0.25))


def run_once(variant: str, widths: list[int], seed: int, start: dict[str, Tensor], data: ImageData) -> float:
    """Validation accuracy after the last epoch."""
    model = build(Cell(4, 4, widths[0], "projected", RATE, seed, "validation"), start, data)
    after = prepare(variant, widths, model, data.x_train[:8])
    return fit(
        model, data, Recipe(epochs=EPOCHS, batch_size=BATCH_SIZE, learning_rate=RATE), seed=seed, on_epoch=after
    ).last


# --- all runs -------------------------------------------------------------------------------------------------------


def sensitivities(floating: nn.Module, data: ImageData, widths: list[int]) -> list[dict[int, float]]:
    """Expected rise of the loss from each layer's projection at each P: squared errors by squared gradients."""
    projected = {
        p: build(Cell(4, 4, p, "projected", RATE, 0, "validation"), floating.state_dict(), data) for p in widths
    }
    names = [name for name, _ in accumulator_layers(projected[widths[0]])]
    weights = [floating.get_parameter(f"{name}.weight") for name in names]
    squares = [torch.zeros_like(weight) for weight in weights]
    for image, label in zip(data.x_train[:SENSITIVITY_IMAGES], data.y_train[:SENSITIVITY_IMAGES], strict=True):
        loss = F.cross_entropy(floating.eval()(image[None]), label[None])
        for square, gradient in zip(squares, torch.autograd.grad(loss, weights), strict=True):
            square += gradient.square() / SENSITIVITY_IMAGES
    rises: list[dict[int, float]] = [{} for _ in names]
    for p, model in projected.items():
        model.eval()(data.x_train[:8])
        for rise, name, weight, square in zip(rises, names, weights, squares, strict=True):
            with torch.no_grad():
                layer: Any = model.get_submodule(name)
                error = layer.quant_weight().value - weight
                rise[p] = float((error.square() * square).sum())
    return rises


def spread_widths(name: str, p: int, floating: nn.Module, data: ImageData) -> list[int]:
    """Widths of least rise of the loss whose sum over channels or outputs is that of the same P in all layers."""
    around = range(p - 2, p + 3)
    weights = OUTPUTS if name == "spread, by outputs" else CHANNELS
    rises = sensitivities(floating, data, list(around))
    choices = [
        widths
        for widths in itertools.product(around, repeat=len(weights))
        if sum(n * width for n, width in zip(weights, widths, strict=True)) <= p * sum(weights)
    ]
    return list(min(choices, key=lambda widths: sum(rise[w] for rise, w in zip(rises, widths, strict=True))))


def all_runs() -> list[tuple[str, int, int]]:
    """Name, target P and seed of every run."""
    return [(name, p, seed) for p in WIDTHS for name in (*VARIANTS, *SPREADS) for seed in SEEDS]


def finished() -> dict[tuple[str, int, int], Row]:
    """What is on record, by name, P and seed."""
    lines = RESULTS.read_text().splitlines() if RESULTS.exists() else []
    return {(row["variant"], row["P"], row["seed"]): row for row in map(json.loads, lines)}


@click.group()
def main() -> None:
    """Do runs, or render what has been run."""


@main.command()
@click.option("--data", type=click.Path(exists=True, path_type=Path), required=True)
@click.option("--minutes", type=float, default=60.0, show_default=True)
def run(data: Path, minutes: float) -> None:
    """Do pending runs until the time is up."""
    torch.set_num_threads(1)
    stop = time.monotonic() + 60 * minutes
    validation, _ = load(data)
    seed_everything(0)
    floating = build_model("small-cnn")
    fit(floating, validation, Recipe(epochs=12, batch_size=64))
    for name, p, seed in all_runs():
        if time.monotonic() > stop:
            break
        if (name, p, seed) in finished():
            continue
        widths = spread_widths(name, p, floating, validation) if name in SPREADS else [p] * len(CHANNELS)
        accuracy = run_once(name, widths, seed, floating.state_dict(), validation)
        row = {"variant": name, "P": p, "widths": widths, "seed": seed, "rate": RATE, "accuracy": accuracy}
        with RESULTS.open("a") as file:
            file.write(json.dumps(row) + "\n")
        click.echo(json.dumps(row))


@main.command()
def report() -> None:
    """Write the table."""
    done = finished()
    lines = ["Validation accuracy in %, last epoch, mean ± standard deviation over three seeds (W4A4).", ""]
    lines += ["| variant | " + " | ".join(f"P = {p}" for p in WIDTHS) + " | what it is |"]
    lines.append("|---" * (len(WIDTHS) + 2) + "|")
    for name, text in {**VARIANTS, **SPREADS}.items():
        rows = {p: [done[name, p, seed] for seed in SEEDS if (name, p, seed) in done] for p in WIDTHS}
        lines.append(f"| {name} | " + " | ".join(entry(found) for found in rows.values()) + f" | {text} |")
    RESULTS.with_suffix(".md").write_text("\n".join(lines) + "\n")
    click.echo("\n".join(lines))


def entry(rows: list[Row]) -> str:
    """One cell of the table, with the widths of the layers where they differ."""
    if len(rows) < 2:
        return "not run"
    scores = [100 * row["accuracy"] for row in rows]
    widths = rows[0]["widths"]
    spread = f" ({', '.join(map(str, widths))})" if len(set(widths)) > 1 else ""
    return f"{statistics.mean(scores):.1f} ± {statistics.stdev(scores):.1f}{spread}"


if __name__ == "__main__":
    main()
