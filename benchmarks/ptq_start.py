"""Where to start quantization-aware training: weights solved without training, or rounded at a searched scale.

    python benchmarks/ptq_start.py --seeds 0,1,2     # goes on where it stopped; writes results/ptq_start.md
    python benchmarks/ptq_start.py --network resnet18 --data cifar10_subset.npz

Networks are trained in float, then one or three epochs at each of some widths, from each start. EP-init is that of
A2Q+, from scales of the largest weights, as published. The digits network stands at W4A4 and W5A3 side by side, for
fewer activation bits leave more of P to the weights; each seed has its own float network. The narrowed ResNet18 (2,000
images of CIFAR-10) has one float network, and seeds draw batches.
"""

from __future__ import annotations

import argparse
import copy
import json
import statistics
from collections import defaultdict
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import nn

from brevitas_a2q.data import ImageData, load_data
from brevitas_a2q.models import QuantSpec, build_model
from brevitas_a2q.train import Recipe, fit
from brevitas_a2q.train._config import RunConfig, StartConfig
from brevitas_a2q.train._loop import accuracy
from brevitas_a2q.train._seeds import seed_everything
from brevitas_a2q.train._start import quantize_start

RESULTS = Path(__file__).parent / "results" / "ptq_start.jsonl"
EPOCHS = (1, 3)


@dataclass(frozen=True)
class Network:
    """What is trained, and how."""

    about: str
    model: str
    options: dict[str, Any]
    data: str
    floating: Recipe
    quantized: Recipe
    widths: tuple[tuple[int, int, int], ...]
    own_float_network: bool  # of every seed


NETWORKS = {
    "digits": Network(
        "digits network, 450 test images; each seed has its own float network",
        "digits-cnn",
        {},
        "digits",
        Recipe(),
        Recipe(learning_rate=1e-3),
        ((4, 4, 10), (4, 4, 9), (5, 3, 9)),
        True,
    ),
    "resnet18": Network(
        "ResNet18 of 16 channels, 2,000 training and 500 test images of CIFAR-10; one float network, seeds of batches",
        "resnet18",
        {"width": 16},
        "cifar10-subset",
        Recipe(learning_rate=4e-3, batch_size=50, epochs=30),
        Recipe(learning_rate=2e-3, batch_size=50),
        ((4, 4, 12), (4, 4, 10)),
        False,
    ),
}
STARTS: dict[str, tuple[Any, StartConfig]] = {
    "search": ("projected", StartConfig(equalize=False)),
    "ptq": ("projected", StartConfig(equalize=False, scale="ptq")),
    "EP-init": ("a2q+", StartConfig(equalize=False, scale="stats")),
}


@cache
def trained(name: str, path: Path | None, seed: int) -> tuple[nn.Module, float]:
    """The float network and its accuracy."""
    network, data = NETWORKS[name], images(name, path)
    seed_everything(seed)
    floating = build_model(network.model, **network.options)
    return floating, fit(floating, data, network.floating, seed=seed).last


def images(name: str, path: Path | None) -> ImageData:
    data = load_data(NETWORKS[name].data, path)
    assert isinstance(data, ImageData)
    return data


def run(name: str, path: Path | None, seed: int, done: set[tuple[Any, ...]]) -> None:
    network = NETWORKS[name]
    cells = [(*w, start) for w in network.widths for start in STARTS if (name, seed, *w, start) not in done]
    if not cells:
        return
    data = images(name, path)
    floating, reference = trained(name, path, seed if network.own_float_network else 0)
    for weight_bits, input_bits, width, start in cells:
        method, how = STARTS[start]
        spec = QuantSpec(method, weight_bits, input_bits, width)
        config = RunConfig(model=network.model, model_options=network.options, quant=spec, start=how)
        model = quantize_start(floating, config, data)
        scores = {0: accuracy(model, data.x_test, data.y_test)}
        for epochs in EPOCHS:
            scores[epochs] = fit(copy.deepcopy(model), data, replace(network.quantized, epochs=epochs), seed=seed).last
        line = {"network": name, "seed": seed, "M": weight_bits, "N": input_bits, "P": width, "start": start}
        with RESULTS.open("a") as stream:
            stream.write(json.dumps({**line, "float": reference, "accuracy": scores}) + "\n")
        print(line, scores, flush=True)


def render() -> None:
    lines = [json.loads(line) for line in RESULTS.read_text().splitlines()]
    pages = [_table(name, [line for line in lines if line["network"] == name]) for name in NETWORKS]
    RESULTS.with_suffix(".md").write_text("\n".join(page for page in pages if page))


def _table(name: str, lines: list[dict[str, Any]]) -> str:
    if not lines:
        return ""
    found = defaultdict(list)
    for line in lines:
        found[line["M"], line["N"], line["P"], line["start"]].append(line["accuracy"])
    reference = 100 * statistics.mean({line["seed"]: line["float"] for line in lines}.values())
    table = [
        f"Test accuracy in %, mean and range over {len({line['seed'] for line in lines})} seeds (float: "
        f"{reference:.1f}); {NETWORKS[name].about}.",
        "",
        "| | start | no training | " + " | ".join(f"epochs: {epochs}" for epochs in EPOCHS) + " |",
        "|---" * (3 + len(EPOCHS)) + "|",
    ]
    for (m, n, p, start), scores in sorted(found.items(), key=lambda item: (-item[0][2], item[0][0])):
        cells = []
        for epochs in (0, *EPOCHS):
            values = [100 * score[str(epochs)] for score in scores]
            cells.append(f"{statistics.mean(values):.1f} ({min(values):.1f} to {max(values):.1f})")
        table.append(f"| W{m}A{n}, P = {p} | {start} | " + " | ".join(cells) + " |")
    return "\n".join(table) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--network", choices=NETWORKS, default="digits")
    parser.add_argument("--data", type=Path, help="a part of CIFAR-10, for resnet18")
    given = parser.parse_args()
    torch.set_num_threads(1)
    lines = [json.loads(line) for line in RESULTS.read_text().splitlines()] if RESULTS.exists() else []
    done = {tuple(line[key] for key in ("network", "seed", "M", "N", "P", "start")) for line in lines}
    for seed in (int(text) for text in given.seeds.split(",")):
        run(given.network, given.data, seed, done)
    render()


if __name__ == "__main__":
    main()
