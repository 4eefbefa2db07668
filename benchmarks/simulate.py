"""What happens without a guarantee, and how fast it can be simulated, on the digits network.

    python benchmarks/simulate.py accuracy     # trains one network without constraint and one per width with it
    python benchmarks/simulate.py speed
    python benchmarks/simulate.py report       # results/simulate.md and results/simulate.png from both

Accuracy follows figure 2 of A2Q (arXiv 2308.13504): hidden layers have P-bit accumulators that wrap or saturate; the
first and the last layer keep their own. Speed is the best of several runs in one thread.
"""

from __future__ import annotations

import json
import os
import platform
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from torch import nn

from brevitas_a2q import certify, export_qonnx, simulate
from brevitas_a2q._ir.layers import dot_product_layers
from brevitas_a2q._ir.reader import read_network
from brevitas_a2q.data import ImageData
from brevitas_a2q.data._digits import load_digits
from brevitas_a2q.models import QuantSpec, build_model, load_float_weights
from brevitas_a2q.train import Recipe, fit
from brevitas_a2q.train._seeds import seed_everything
from brevitas_a2q.verify._network_simulation import NetworkSimulator
from brevitas_a2q.verify._simulation import Settings

RESULTS = Path(__file__).parent / "results" / "simulate.json"
SEED = 0
WIDTHS = (16, 14, 13, 12, 11, 10, 9, 8)
TRAINED = (14, 12, 11, 10, 9, 8)
MODES = ("wrap", "saturate")


@click.group()
def cli() -> None:
    """Overflow, accuracy and speed of simulated accumulators."""


@cli.command()
@click.option("--epochs", default=15, show_default=True)
def accuracy(epochs: int) -> None:
    """Train, then shrink P."""
    data = load_digits()
    recipe = Recipe(epochs=epochs)
    floating = trained(build_model("digits-cnn"), data, recipe)
    start = floating.state_dict()
    rows: list[dict[str, Any]] = []
    plain = quantized(QuantSpec(method="none"), start, data, recipe)
    required = {layer.name: layer.required_bit_width for layer in hidden(plain, data)}
    for p in WIDTHS:
        for mode in MODES:
            rows.append(measured("none", plain, data, p, mode))
    for p in TRAINED:
        model = quantized(QuantSpec(method="projected", accumulator_bit_width=p), start, data, recipe)
        rows.append(measured("projected", model, data, p, "wrap") | {"holds": certify(model, data.x_test[:1]).holds})
    save("accuracy", {"epochs": epochs, "seed": SEED, "required_bit_width": required, "rows": rows})


def trained(model: nn.Module, data: ImageData, recipe: Recipe) -> nn.Module:
    seed_everything(SEED)
    fit(model, data, recipe, seed=SEED)
    return model.eval()


def quantized(spec: QuantSpec, start: Any, data: ImageData, recipe: Recipe) -> nn.Module:
    seed_everything(SEED)
    model = build_model("digits-cnn", spec)
    load_float_weights(model, start)
    return trained(model, data, recipe)


def hidden(model: nn.Module, data: ImageData) -> list[Any]:
    return list(certify(model, data.x_test[:1]).layers)[1:-1]


def measured(method: str, model: nn.Module, data: ImageData, p: int, mode: Any) -> dict[str, Any]:
    """Accuracy and overflows with P-bit accumulators in the hidden layers."""
    names = [layer.name for layer in hidden(model, data)]
    result = simulate(model, data.x_test, dict.fromkeys(names, p), mode)
    right = (result.outputs.argmax(1) == data.y_test).float().mean().item()
    dot_products = sum(result.dot_products[name] for name in names)
    rates = {name: result.overflows[name] / result.dot_products[name] for name in names}
    row = {"method": method, "p": p, "mode": mode, "accuracy": right, "per_dot_product": rates}
    click.echo(f"{method} P={p} {mode}: accuracy {right:.4f}, {sum(result.overflows.values()) / dot_products:.4g}")
    return row


@cli.command()
def speed() -> None:
    """Time the simulation, the float network, and accumulators written as loops."""
    torch.set_num_threads(1)
    data = load_digits()
    images = torch.cat([data.x_train, data.x_test])
    floating = build_model("digits-cnn").eval()
    model = build_model("digits-cnn", QuantSpec(method="none"))
    for _ in range(3):
        model(images[:256])
    model.eval()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "digits.onnx"
        export_qonnx(model, images[:1], path)
        network = NetworkSimulator(read_network(path))
    array = images.numpy()
    widths = {layer.name: layer.required_bit_width - 2 for layer in certify(model, images[:1]).layers}
    named = dict(zip([s.name for s in dot_product_layers(network.network)], widths.values(), strict=True))
    with torch.no_grad():
        seconds = {"float PyTorch": best(lambda: floating(images)), "Brevitas": best(lambda: model(images))}
    for mode in ("wrap", "saturate", "check"):
        settings = Settings(named, mode)
        seconds[f"simulate file, {mode}"] = best(lambda settings=settings: network.run(array, settings))
        seconds[f"simulate model, {mode}"] = best(lambda mode=mode: simulate(model, images, widths, mode))
    additions = network.run(array[:1], Settings()).additions * len(images)
    save(
        "speed",
        {
            "images": len(images),
            "additions": additions,
            "machine": {"processor": processor(), "threads": 1, "torch": torch.__version__},
            "seconds": seconds,
            "loops": {
                "Python": python_loop(network, named),
                "NumPy, all outputs at once": numpy_loop(network, named),
            },
        },
    )


def best(run: Callable[[], Any], repeats: int = 7) -> float:
    """Shortest of several times, in seconds."""
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        run()
        times.append(time.perf_counter() - started)
    return min(times)


def processor() -> str:
    """The CPU's name."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def python_loop(network: NetworkSimulator, widths: dict[str, int]) -> float:
    """Additions per second of one accumulator that wraps after every product, in plain Python."""
    layer = dot_product_layers(network.network)[1]
    rows, bits = layer.weights[:8].tolist(), widths[layer.name]
    x = np.random.default_rng(0).integers(0, 16, layer.dot_product_size).tolist()
    half, size = 1 << (bits - 1), 1 << bits

    def run() -> None:
        for row in rows:
            value = 0
            for weight, code in zip(row, x, strict=True):
                value = (value + weight * code + half) % size - half

    return len(rows) * len(x) / best(run)


def numpy_loop(network: NetworkSimulator, widths: dict[str, int]) -> float:
    """The same with all outputs of 256 positions at once in NumPy, one product after the other."""
    layer = dot_product_layers(network.network)[1]
    bits = widths[layer.name]
    x = np.random.default_rng(0).integers(0, 16, (256, layer.dot_product_size))
    half, size = 1 << (bits - 1), 1 << bits

    def run() -> None:
        value = np.zeros((256, layer.channels), np.int64)
        for k in range(layer.dot_product_size):
            value = (value + x[:, k, None] * layer.weights[:, k] + half) % size - half

    return 256 * layer.weights.size / best(run)


@cli.command()
def report() -> None:
    """Write the tables and the figure."""
    from matplotlib.figure import Figure

    results = json.loads(RESULTS.read_text())
    figure = Figure(figsize=(10, 4), layout="constrained")
    score, rate = figure.subplots(1, 2)
    labels = {
        ("none", "wrap"): ("unconstrained, wraps", "#E69F00"),
        ("none", "saturate"): ("unconstrained, saturates", "#56B4E9"),
        ("projected", "wrap"): ("trained for P (cannot overflow)", "#009E73"),
    }
    for (method, mode), (label, color) in labels.items():
        rows = [row for row in results["accuracy"]["rows"] if (row["method"], row["mode"]) == (method, mode)]
        p = [row["p"] for row in rows]
        score.plot(p, [100 * row["accuracy"] for row in rows], marker="o", label=label, color=color)
        if mode == "wrap":
            rate.plot(p, [100 * overflowing(row) for row in rows], marker="o", color=color)
    score.set(xlabel="accumulator width P of hidden layers, bits", ylabel="test accuracy, %", title="Digits, W4A4")
    rate.set(xlabel="accumulator width P of hidden layers, bits", ylabel="outputs that overflow, %", title="Overflow")
    score.legend(frameon=False)
    figure.savefig(RESULTS.with_suffix(".png"), dpi=150)
    RESULTS.with_suffix(".md").write_text(markdown(results))


def overflowing(row: dict[str, Any]) -> float:
    """Share of outputs that overflow, the mean over hidden layers."""
    return float(np.mean(list(row["per_dot_product"].values())))


def markdown(results: dict[str, Any]) -> str:
    """Both tables."""
    score, speed = results["accuracy"], results["speed"]
    lines = [
        "# Simulated accumulators",
        "",
        "Made by `benchmarks/simulate.py`. Digits network, W4A4, 360 test images; P bits in the hidden layers, which",
        f"require {sorted(score['required_bit_width'].values())} bits without constraint; one seed. All in %.",
        "",
        "| P | unconstrained, wraps | unconstrained, saturates | of its outputs overflow | trained for P |",
        "|---|---|---|---|---|",
    ]
    cell = {(row["method"], row["p"], row["mode"]): row for row in score["rows"]}
    for p in WIDTHS:
        wrap, saturate, aware = (
            cell.get(key) for key in (("none", p, "wrap"), ("none", p, "saturate"), ("projected", p, "wrap"))
        )
        shown = (
            wrap["accuracy"],
            saturate["accuracy"],
            overflowing(wrap),
            None if aware is None else aware["accuracy"],
        )
        lines.append(f"| {p} | " + " | ".join("" if share is None else f"{100 * share:.1f}" for share in shown) + " |")
    floating = speed["seconds"]["float PyTorch"]
    lines += [
        "",
        f"{speed['images']} images, {speed['additions']:,} additions, one thread of {speed['machine']['processor']}, "
        f"torch {speed['machine']['torch']}; two bits less than each layer requires, so that sums do overflow.",
        "",
        "| | seconds | of float PyTorch |",
        "|---|---|---|",
        *(f"| {name} | {value:.3f} | {value / floating:.2f} |" for name, value in speed["seconds"].items()),
        "",
        "| accumulator that wraps, product by product | additions per second | `simulate` of the file is faster by |",
        "|---|---|---|",
    ]
    simulated = speed["additions"] / speed["seconds"]["simulate file, wrap"]
    lines += [f"| loop in {name} | {rate:.3g} | {simulated / rate:,.0f} x |" for name, rate in speed["loops"].items()]
    return "\n".join(lines) + "\n"


def save(part: str, found: dict[str, Any]) -> None:
    """Put one part into the results."""
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps({**results, part: found}, indent=1) + "\n")


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    cli()
