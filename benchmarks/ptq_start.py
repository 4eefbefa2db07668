"""Where to start quantization-aware training: weights solved without training, or rounded at a searched scale.

    python benchmarks/ptq_start.py --seeds 0,1,2     # goes on where it stopped; writes results/ptq_start.md

The digits network, trained in float for 15 epochs; then one or three epochs of training at each of some widths, from
either start. W4A4 and W5A3 stand side by side, for fewer activation bits leave more of P to the weights.
"""

from __future__ import annotations

import argparse
import copy
import json
import statistics
from collections import defaultdict
from pathlib import Path
from typing import Any

import torch

from brevitas_a2q.data._digits import load_digits
from brevitas_a2q.models import QuantSpec, build_model
from brevitas_a2q.train import Recipe, fit
from brevitas_a2q.train._config import RunConfig, StartConfig
from brevitas_a2q.train._loop import accuracy
from brevitas_a2q.train._seeds import seed_everything
from brevitas_a2q.train._start import quantize_start

RESULTS = Path(__file__).parent / "results" / "ptq_start.jsonl"
WIDTHS = ((4, 4, 10), (4, 4, 9), (5, 3, 9))
STARTS = {"search": StartConfig(equalize=False), "ptq": StartConfig(equalize=False, scale="ptq")}
EPOCHS = (1, 3)


def run(seed: int, done: set[tuple[Any, ...]]) -> None:
    cells = [(*widths, name) for widths in WIDTHS for name in STARTS if (seed, *widths, name) not in done]
    if not cells:
        return
    data = load_digits()
    seed_everything(seed)
    floating = build_model("digits-cnn")
    reference = fit(floating, data, seed=seed).last
    for weight_bits, input_bits, width, name in cells:
        config = RunConfig(quant=QuantSpec("projected", weight_bits, input_bits, width), start=STARTS[name])
        model = quantize_start(floating, config, data)
        scores = {0: accuracy(model, data.x_test, data.y_test)}
        for epochs in EPOCHS:
            recipe = Recipe(epochs=epochs, learning_rate=1e-3)
            scores[epochs] = fit(copy.deepcopy(model), data, recipe, seed=seed).last
        line = {"seed": seed, "M": weight_bits, "N": input_bits, "P": width, "start": name, "float": reference}
        with RESULTS.open("a") as stream:
            stream.write(json.dumps({**line, "accuracy": scores}) + "\n")
        print(line, scores, flush=True)


def render() -> None:
    found = defaultdict(list)
    lines = [json.loads(line) for line in RESULTS.read_text().splitlines()]
    for line in lines:
        found[line["M"], line["N"], line["P"], line["start"]].append(line["accuracy"])
    reference = 100 * statistics.mean({line["seed"]: line["float"] for line in lines}.values())
    table = [
        f"Test accuracy in %, mean and range over {len({line['seed'] for line in lines})} float networks (float: "
        f"{reference:.1f}); digits network, 450 test images.",
        "",
        "| | start | no training | " + " | ".join(f"epochs: {epochs}" for epochs in EPOCHS) + " |",
        "|---" * (3 + len(EPOCHS)) + "|",
    ]
    for (m, n, p, start), scores in found.items():
        cells = []
        for epochs in (0, *EPOCHS):
            values = [100 * score[str(epochs)] for score in scores]
            cells.append(f"{statistics.mean(values):.1f} ({min(values):.1f} to {max(values):.1f})")
        table.append(f"| W{m}A{n}, P = {p} | {start} | " + " | ".join(cells) + " |")
    RESULTS.with_suffix(".md").write_text("\n".join(table) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", default="0,1,2")
    torch.set_num_threads(1)
    lines = [json.loads(line) for line in RESULTS.read_text().splitlines()] if RESULTS.exists() else []
    done = {tuple(line[key] for key in ("seed", "M", "N", "P", "start")) for line in lines}
    for seed in (int(text) for text in parser.parse_args().seeds.split(",")):
        run(seed, done)
    render()


if __name__ == "__main__":
    main()
