"""One QuantReLU of 64 x 64 x 32 x 32 values, forward and backward, beside a ReLU.

    python benchmarks/relu_speed.py

Brevitas' own and fused, while statistics are collected and after, each on one thread and on two; the variants take
turns and medians are reported. Results go to results/relu_speed.json.
"""

from __future__ import annotations

import json
import platform
import statistics
import time
from pathlib import Path
from typing import Any

import brevitas.nn as qnn
import torch
from brevitas.quant import Uint8ActPerTensorFloat
from torch import Tensor, nn

from brevitas_a2q._files import write_atomically
from brevitas_a2q.quant._activations import fused

RESULTS = Path(__file__).parent / "results" / "relu_speed.json"
SHAPE, STEPS = (64, 64, 32, 32), 15


def layer(quantizer: Any, collecting: bool) -> nn.Module:
    """A QuantReLU that goes on collecting statistics, or has them."""
    made: nn.Module = qnn.QuantReLU(act_quant=quantizer, bit_width=4)
    scaling: Any = next(module for module in made.modules() if hasattr(module, "collect_stats_steps"))
    if not collecting:
        made(torch.rand(SHAPE))
        scaling.counter = scaling.collect_stats_steps
    return made


def seconds(module: nn.Module, x: Tensor, grad: Tensor) -> float:
    """Of one pass each way."""
    start = time.perf_counter()
    module(x).backward(grad)
    return time.perf_counter() - start


def measure(threads: int) -> dict[str, Any]:
    """Medians of all variants."""
    torch.set_num_threads(threads)
    variants: dict[str, nn.Module] = {"relu": nn.ReLU()}
    for collecting in (False, True):
        for name, quantizer in (("brevitas", Uint8ActPerTensorFloat), ("fused", fused(Uint8ActPerTensorFloat))):
            variants[name + ", collecting" * collecting] = layer(quantizer, collecting)
    x, grad = torch.randn(SHAPE, requires_grad=True), torch.randn(SHAPE)
    taken: dict[str, list[float]] = {name: [] for name in variants}
    for _ in range(STEPS + 2):
        for name, module in variants.items():
            x.grad = None
            taken[name].append(seconds(module, x, grad))
    times = {name: steps[2:] for name, steps in taken.items()}
    return {
        "threads": threads,
        "rows": [
            {
                "variant": name,
                "ms": round(1000 * statistics.median(steps), 2),
                "all_ms": [round(1000 * step, 1) for step in steps],
                "ratio_to_relu": round(statistics.median(a / b for a, b in zip(steps, times["relu"], strict=True)), 2),
            }
            for name, steps in times.items()
        ],
    }


def main() -> None:
    torch.manual_seed(0)
    report = {"torch": torch.__version__, "machine": platform.machine(), "runs": [measure(1), measure(2)]}
    write_atomically(RESULTS, json.dumps(report, indent=1) + "\n")
    for run in report["runs"]:
        print(run["threads"], *[(each["variant"], each["ms"], each["ratio_to_relu"]) for each in run["rows"]], sep="\n")


if __name__ == "__main__":
    main()
