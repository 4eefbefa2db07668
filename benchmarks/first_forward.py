"""How long a quantized network takes until it has computed once, and a conversion until it is done.

    python benchmarks/first_forward.py [NETWORK ...]

Every row is a process of its own on one thread, and the seconds exclude its imports: building the network, its first
forward pass (compiled kernels are loaded, scales are searched), and its second; or `constrain_` of a float network of
torchvision, with random weights. Kernels were compiled before. Medians of three; results go to
results/first_forward.json, where those of other networks are kept.
"""

from __future__ import annotations

import itertools
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import click
import torch
import torchvision

from brevitas_a2q import A2QConfig, constrain_
from brevitas_a2q._files import write_atomically
from brevitas_a2q.models import QuantSpec, build_model
from brevitas_a2q.models._registry import MODELS

RESULTS = Path(__file__).parent / "results" / "first_forward.json"
REGISTERED = ("resnet18", "mobilenet-v1", "unet")
CONVERTED = ("resnet18", "mobilenet_v2", "convnext_tiny")
NETWORKS_BY = {"registered": "", "converted": "torchvision:"}
REPEATS = 3


def registered(name: str) -> dict[str, float]:
    """Seconds of the parts, for a projected network of the registry."""
    marks = [time.perf_counter()]
    model, x = build_model(name, QuantSpec("projected", 4, 4, 12)), torch.rand(1, *MODELS[name].input_shape)
    for _ in range(3):
        marks.append(time.perf_counter())
        model(x)
    parts = (later - earlier for earlier, later in itertools.pairwise(marks))
    return dict(zip(("build_s", "first_s", "second_s"), parts, strict=False))


def converted(name: str) -> dict[str, float]:
    """Seconds of a conversion, for a network of torchvision."""
    model, x = getattr(torchvision.models, name)().eval(), torch.rand(1, 3, 64, 64)
    start = time.perf_counter()
    constrain_(model, A2QConfig(accumulator_bit_width=16), x)
    return {"constrain_s": time.perf_counter() - start}


def row(kind: str, name: str) -> dict[str, Any]:
    """Medians of a few processes."""
    command = [sys.executable, "-W", "ignore", __file__, "--child", kind, name]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    runs = [
        json.loads(subprocess.run(command, env=environment, capture_output=True, check=True).stdout)
        for _ in range(REPEATS)
    ]
    medians = {part: round(statistics.median(run[part] for run in runs), 2) for part in runs[0]}
    spread = {f"{part}_all": [round(run[part], 2) for run in runs] for part in runs[0]}
    return {"network": NETWORKS_BY[kind] + name, **medians, **spread}


@click.command()
@click.argument("names", nargs=-1)
@click.option("--child", nargs=2, default=None, hidden=True)
def main(names: tuple[str, ...], child: tuple[str, str] | None) -> None:
    """Measure networks, all by default."""
    if child is not None:
        torch.manual_seed(0)
        print(json.dumps(globals()[child[0]](child[1])))
        return
    for kind, each in [*(("registered", name) for name in REGISTERED), *(("converted", name) for name in CONVERTED)]:
        if names and NETWORKS_BY[kind] + each not in names:
            continue
        found = row(kind, each)
        print(found, flush=True)
        rows = json.loads(RESULTS.read_text())["rows"] if RESULTS.exists() else []
        rows = [*(other for other in rows if other["network"] != found["network"]), found]
        report = {"torch": torch.__version__, "machine": platform.machine(), "threads": 1, "rows": rows}
        write_atomically(RESULTS, json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
