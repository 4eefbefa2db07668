"""Does a width of its own for every layer give the same accuracy for fewer LUTs?

    python benchmarks/mixed_widths.py --seeds 0,1,2     # goes on where it stopped; writes results/mixed_widths.md

The digits network, W4A4, projected: one float network for each seed, then three epochs of training with one P for all
hidden layers, and with widths of their own. The guess of the widths: what a width moves a layer's weights by, squared,
weighted by the squared gradient of the loss (a diagonal of Fisher's matrix) on training images; from the widest width
on, one layer after the other is narrowed, always the one that loses least. LUTs and block RAMs (of 18 kbit) are those
of the estimate at one frame rate.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from brevitas_a2q import export_qonnx, hw
from brevitas_a2q.data import ImageData
from brevitas_a2q.data._digits import load_digits
from brevitas_a2q.data._tasks import TASKS
from brevitas_a2q.models import QuantSpec, build_model
from brevitas_a2q.quant._layers import accumulator_layers
from brevitas_a2q.train import Recipe, fit
from brevitas_a2q.train._config import RunConfig, StartConfig
from brevitas_a2q.train._loop import Step
from brevitas_a2q.train._seeds import seed_everything
from brevitas_a2q.train._start import quantize_start

RESULTS = Path(__file__).parent / "results" / "mixed_widths.jsonl"
WIDTHS = (12, 11, 10, 9, 8)
WIDE = 20  # binds nowhere in this network
EPOCHS, RATE = 3, 1e-3
PART, FPS = "xc7z020", 10_000
Widths = dict[str, int]


def quantized(floating: nn.Module, widths: Widths, data: ImageData) -> Any:
    """The float network with these widths, before training."""
    spec = QuantSpec("projected", 4, 4, WIDE)
    config = RunConfig(quant=spec, layer_rules=widths, start=StartConfig(equalize=False))
    return quantize_start(floating, config, data)


def weights(model: nn.Module) -> dict[str, Tensor]:
    with torch.no_grad():
        return {name: layer.quant_weight().value.clone() for name, layer in accumulator_layers(model)}


def losses(floating: nn.Module, data: ImageData) -> dict[str, dict[int, float]]:
    """For every layer and width, the guess of what it costs."""
    model = quantized(floating, {}, data)
    step = Step(model.train(), TASKS["classification"].loss(), 0.0)
    squares: dict[str, Tensor] = {name: torch.zeros_like(layer.weight) for name, layer in accumulator_layers(model)}
    for images, labels in data.train_batches(64, torch.Generator().manual_seed(0)):
        step.gradients(images, labels)
        for name, layer in accumulator_layers(model):
            squares[name] += layer.weight.grad**2
    wide = weights(model.eval())
    found: dict[str, dict[int, float]] = defaultdict(dict)
    for width in WIDTHS:
        narrow = weights(quantized(floating, dict.fromkeys(wide, width), data))
        for name in wide:
            found[name][width] = float((squares[name] * (narrow[name] - wide[name]) ** 2).sum())
    return found


def narrowed(found: dict[str, dict[int, float]]) -> Iterator[Widths]:
    """Widths from the widest on, one layer at a time a bit narrower where that costs least."""
    widths = dict.fromkeys(found, WIDTHS[0])
    while any(width > WIDTHS[-1] for width in widths.values()):
        name = min(
            (name for name in widths if widths[name] > WIDTHS[-1]),
            key=lambda name: found[name][widths[name] - 1] - found[name][widths[name]],
        )
        widths = {**widths, name: widths[name] - 1}
        yield widths


def costs(model: nn.Module, data: ImageData) -> dict[str, int]:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "network.onnx"
        export_qonnx(model, data.x_test[:1], file)
        total = hw.estimate(file, part=PART, target_fps=FPS).total
        return {"lut": int(total.lut), "bram18": int(total.bram18)}


def run(seed: int, done: set[tuple[int, str]]) -> None:
    data = load_digits()
    seed_everything(seed)
    floating = build_model("digits-cnn")
    reference = fit(floating, data, seed=seed).last
    found = losses(floating, data)
    cells = [("one", dict.fromkeys(found, width)) for width in WIDTHS]
    cells += [("own", widths) for widths in narrowed(found) if len(set(widths.values())) > 1]
    for kind, widths in cells:
        key = json.dumps(widths)
        if (seed, key) in done:
            continue
        model = quantized(floating, widths, data)
        score = fit(model, data, Recipe(epochs=EPOCHS, learning_rate=RATE), seed=seed).last
        line = {"seed": seed, "kind": kind, "widths": widths, "float": reference, "accuracy": score}
        with RESULTS.open("a") as stream:
            stream.write(json.dumps(line | costs(model, data)) + "\n")
        print(line, flush=True)


def render() -> None:
    """Rows by mean width: the fewest LUTs come last."""
    groups: dict[tuple[float, str], list[dict[str, Any]]] = defaultdict(list)
    for line in map(json.loads, RESULTS.read_text().splitlines()):
        groups[-statistics.mean(line["widths"].values()), line["kind"]].append(line)
    table = [
        f"Digits network, W4A4, {EPOCHS} epochs from one float network a seed; {PART}, {FPS:,} frames per second.",
        "",
        "| mean P of the hidden layers | widths | seeds | accuracy: mean (range) | LUT: mean (range) | block RAMs |",
        "|---|---|---|---|---|---|",
    ]
    for (mean, kind), lines in sorted(groups.items()):
        scores, spent = [100 * line["accuracy"] for line in lines], [line["lut"] for line in lines]
        memories = sorted({line["bram18"] for line in lines})
        kinds = {", ".join(map(str, line["widths"].values())) for line in lines}
        table.append(
            f"| {-mean:.2f} | {'one for all' if kind == 'one' else ' or '.join(sorted(kinds))} | {len(lines)} | "
            f"{statistics.mean(scores):.1f} ({min(scores):.1f} to {max(scores):.1f}) | "
            f"{statistics.mean(spent):,.0f} ({min(spent):,} to {max(spent):,}) | {' or '.join(map(str, memories))} |"
        )
    RESULTS.with_suffix(".md").write_text("\n".join(table) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", default="0,1,2")
    torch.set_num_threads(1)
    lines = [json.loads(line) for line in RESULTS.read_text().splitlines()] if RESULTS.exists() else []
    done = {(line["seed"], json.dumps(line["widths"])) for line in lines}
    for seed in (int(text) for text in parser.parse_args().seeds.split(",")):
        run(seed, done)
    render()


if __name__ == "__main__":
    main()
