"""What each step of the quantized start is worth: test accuracy before any training, from one float network.

    python benchmarks/start.py

The digits network at W4A4, trained in float for 15 epochs with three seeds. Steps are added one after the other, in the
order in which a run takes them; the test images choose nothing. Writes results/start.json and .md.
"""

from __future__ import annotations

import json
import statistics
from pathlib import Path

import torch
from torch import nn

from brevitas_a2q.data import ImageData
from brevitas_a2q.data._digits import load_digits
from brevitas_a2q.models import QuantSpec, build_model
from brevitas_a2q.models._spec import Method
from brevitas_a2q.train import fit
from brevitas_a2q.train._config import RunConfig, StartConfig
from brevitas_a2q.train._loop import accuracy
from brevitas_a2q.train._seeds import seed_everything
from brevitas_a2q.train._start import quantize_start

RESULTS = Path(__file__).parent / "results" / "start.json"
SEEDS = (0, 1, 2)
CELLS = (("none", 32), ("a2q", 14), ("a2q", 13), ("a2q+", 13), ("a2q+", 12), ("projected", 12), ("projected", 10))
PLAIN = StartConfig(equalize=False, scale="stats", ep_init=False, bias_correction_images=0)
STARTS = {
    "largest weight": PLAIN,
    "+ EP-init": StartConfig(equalize=False, scale="stats", bias_correction_images=0),
    "+ searched scale": StartConfig(equalize=False, bias_correction_images=0),
    "+ bias correction": StartConfig(equalize=False),
    "+ equalization": StartConfig(),
}


def score(floating: nn.Module, method: Method, p: int, start: StartConfig, data: ImageData) -> float:
    """Test accuracy of one start."""
    config = RunConfig(quant=QuantSpec(method, 4, 4, p), start=start)
    return accuracy(quantize_start(floating, config, data), data.x_test, data.y_test)


def table(scores: dict[str, dict[str, list[float]]]) -> str:
    """Mean over the seeds, in %."""
    lines = [
        f"Test accuracy in % before any training, mean over {len(SEEDS)} float networks (float: "
        f"{100 * statistics.mean(scores['float']['float']):.1f}); digits network, W4A4.",
        "",
        "| method | " + " | ".join(STARTS) + " |",
        "|---" * (len(STARTS) + 1) + "|",
    ]
    for cell, by_start in scores.items():
        if cell != "float":
            values = (f"{100 * statistics.mean(by_start[start]):.1f}" for start in STARTS)
            lines.append(f"| {cell} | " + " | ".join(values) + " |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Run every start and write the table."""
    torch.set_num_threads(1)
    data = load_digits()
    names = {(method, p): method if method == "none" else f"{method}, P = {p}" for method, p in CELLS}
    scores: dict[str, dict[str, list[float]]] = {"float": {"float": []}}
    scores |= {name: {start: [] for start in STARTS} for name in names.values()}
    for seed in SEEDS:
        seed_everything(seed)
        floating = build_model("digits-cnn")
        scores["float"]["float"].append(fit(floating, data, seed=seed).last)
        for (method, p), name in names.items():
            for label, start in STARTS.items():
                scores[name][label].append(score(floating, method, p, start, data))
    RESULTS.write_text(json.dumps({"seeds": SEEDS, "accuracy": scores}, indent=1))
    RESULTS.with_suffix(".md").write_text(table(scores))


if __name__ == "__main__":
    main()
