"""Training steps per second: every quantizer beside float training, in one run.

    python benchmarks/throughput.py --model resnet18 --batch-size 512 --amp bf16

Images and labels are drawn on the device once. Variants take turns, so that what slows the machine down slows all of
them; the median step of each is reported, with the ratio to float. Without a GPU a small batch and `--options width=16`
keep it short. Results go to `benchmarks/results/throughput-<device>.json` and are rendered with
`python benchmarks/reproduce render`.
"""

from __future__ import annotations

import json
import platform
import re
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import click
import torch
import yaml

from brevitas_a2q.data.tasks import TASKS
from brevitas_a2q.files import write_atomically
from brevitas_a2q.models import MODELS, QuantSpec, build_model
from brevitas_a2q.models.spec import Method
from brevitas_a2q.train.config import RuntimeConfig
from brevitas_a2q.train.loop import Step
from brevitas_a2q.train.optim import make_optimizer
from brevitas_a2q.train.recipes import Recipe
from brevitas_a2q.train.result import versions
from brevitas_a2q.train.runtime import autocast, compiled, lay_out_, memory_format
from brevitas_a2q.train.seeds import seed_everything

RESULTS = Path(__file__).parent / "results"
CLASSES = 10


def stepper(
    model_name: str, options: dict[str, Any], spec: QuantSpec | None, runtime: RuntimeConfig, batch_size: int
) -> Callable[[], None]:
    """One step of training, the optimizer's included, as a function that returns when the device is done."""
    device = torch.device(runtime.device)
    seed_everything(0)
    layout = memory_format(runtime, device)
    model = lay_out_(build_model(model_name, spec, **options), runtime, device)
    images = torch.rand(batch_size, 3, 32, 32, device=device).contiguous(memory_format=layout)
    labels = torch.randint(CLASSES, (batch_size,), device=device)
    recipe = Recipe("sgd", 1e-2, momentum=0.9, batch_size=batch_size)
    loss, context = TASKS["classification"].loss(None), autocast(runtime, device)
    model.train()
    with torch.no_grad():
        model(images[:8])
    plain = Step(model, loss, recipe.penalty, None, context)
    optimizer = make_optimizer(model, recipe)
    forward = compiled(
        model,
        runtime,
        lambda faster: (Step(model, loss, recipe.penalty, faster, context).gradients(images, labels), None)[1],
        lambda message: click.echo(message, err=True),
    )
    step = plain if forward is model else Step(model, loss, recipe.penalty, forward, context)

    def once() -> None:
        step.gradients(images, labels)
        optimizer.step()
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    return once


@click.command()
@click.option("--model", "model_name", type=click.Choice(list(MODELS)), default="resnet18", show_default=True)
@click.option("--options", multiple=True, metavar="KEY=VALUE", help="Of the network, for example width=16.")
@click.option("--batch-size", type=click.IntRange(2), default=512, show_default=True)
@click.option("--steps", type=click.IntRange(1), default=30, show_default=True, help="Timed steps of each variant.")
@click.option("-P", "accumulator_bit_width", type=int, default=12, show_default=True)
@click.option("--device", default="auto", show_default=True)
@click.option("--amp", type=click.Choice(["none", "bf16"]), default="none", show_default=True)
@click.option("--compile/--no-compile", "compile_", default=False, help="torch.compile the forward pass.")
def main(
    model_name: str,
    options: tuple[str, ...],
    batch_size: int,
    steps: int,
    accumulator_bit_width: int,
    device: str,
    amp: Any,
    compile_: bool,
) -> None:
    """Time a training step of the float network and of every quantizer."""
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    runtime = RuntimeConfig(device=device, amp=amp, compile=compile_)
    given = {key: yaml.safe_load(value) for key, _, value in (option.partition("=") for option in options)}
    specs: dict[str, QuantSpec | None] = {"float": None}
    for method in get_args(Method):
        specs[method] = QuantSpec(method, 4, 4, accumulator_bit_width)
    variants, first = {}, {}
    for name, spec in specs.items():
        started = time.perf_counter()
        variants[name] = stepper(model_name, given, spec, runtime, batch_size)
        variants[name]()
        first[name] = time.perf_counter() - started
    seconds: dict[str, list[float]] = {name: [] for name in variants}
    for _ in range(steps):
        for name, once in variants.items():
            started = time.perf_counter()
            once()
            seconds[name].append(time.perf_counter() - started)
    named = torch.cuda.get_device_name() if device.startswith("cuda") else "CPU, one thread"
    if not device.startswith("cuda") and torch.get_num_threads() > 1:
        named = f"CPU, {torch.get_num_threads()} threads"
    base = statistics.median(seconds["float"])
    rows = [
        {
            "variant": name,
            "step_ms": round(1000 * statistics.median(times), 2),
            "images_per_second": round(batch_size / statistics.median(times), 1),
            "ratio_to_float": round(statistics.median(times) / base, 3),
            "until_first_step_s": round(first[name], 1),
        }
        for name, times in seconds.items()
    ]
    report = {
        "model": model_name,
        "options": given,
        "batch_size": batch_size,
        "steps": steps,
        "accumulator_bit_width": accumulator_bit_width,
        "device": named,
        "machine": platform.machine(),
        "amp": amp,
        "compile": compile_,
        "versions": versions(),
        "rows": rows,
    }
    stem = re.sub(r"[^a-z0-9]+", "-", f"{named} {model_name} {amp} {'compiled' if compile_ else ''}".lower()).strip("-")
    RESULTS.mkdir(exist_ok=True)
    write_atomically(RESULTS / f"throughput-{stem}.json", json.dumps(report, indent=2))
    click.echo(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
