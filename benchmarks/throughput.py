"""Training steps per second: every quantizer beside float training, in one run.

    python benchmarks/throughput.py --model resnet18 --batch-size 64 --amp bf16 --channels-last --threads 2

Each variant is a process of its own, so that the switch ``BREVITAS_JIT`` and peak memory are its own too. They take
turns, so that what slows the machine down slows all of them; the median step of each is reported, with the ratio to
float. Images and labels are drawn once. Results go to `benchmarks/results/throughput-<what was run>.json` and are
rendered with `python benchmarks/reproduce render`.
"""

from __future__ import annotations

import json
import os
import platform
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import torch
import yaml
from torch import nn

from brevitas_a2q._files import write_atomically
from brevitas_a2q.data._tasks import TASKS
from brevitas_a2q.models import QuantSpec, build_model
from brevitas_a2q.models._registry import MODELS, model_entry
from brevitas_a2q.train._config import RuntimeConfig
from brevitas_a2q.train._loop import Step
from brevitas_a2q.train._optim import make_optimizer
from brevitas_a2q.train._recipes import Recipe
from brevitas_a2q.train._result import versions
from brevitas_a2q.train._runtime import autocast, compiled, lay_out_, memory_format
from brevitas_a2q.train._seeds import seed_everything

RESULTS = Path(__file__).parent / "results"
CLASSES = 10
WARM_UP = 4  # steps of each that are not timed: memory and kernels settle
# What is run: method, whether activations are fused, and Brevitas' switch for scripted modules. A name that ends in
# ", compiled" is that of the variant in front, by torch.compile.
VARIANTS: dict[str, tuple[str | None, bool, bool]] = {
    "float": (None, False, False),
    "brevitas": ("none", False, False),
    "brevitas, scripted": ("none", False, True),
    "unconstrained, fused": ("none", True, False),
    "projection, not fused": ("projected", False, False),
    "projection, fused": ("projected", True, False),
    "a2q, fused": ("a2q", True, False),
    "upstream's a2q": ("upstream", False, False),
}
COMPILED = ", compiled"
VARIANTS |= {f"{name}{COMPILED}": VARIANTS[name] for name in ("float", "projection, fused")}


def build(job: dict[str, Any]) -> nn.Module:
    """The network of a variant."""
    method, fused, _ = VARIANTS[job["variant"]]
    if method is None:
        return build_model(job["model"], None, **job["options"])
    p = job["accumulator_bit_width"]
    spec = QuantSpec("none" if method == "upstream" else method, 4, 4, p)  # type: ignore[arg-type]
    if method == "upstream":
        from brevitas.quant.scaled_int import Int8AccumulatorAwareWeightQuant

        from brevitas_a2q.models import _layers as layers

        layers._WEIGHT_QUANTIZERS["none"] = Int8AccumulatorAwareWeightQuant.let(accumulator_bit_width=p)
    return build_model(job["model"], spec, fused_activations=fused, **job["options"])


def stepper(job: dict[str, Any]) -> Callable[[], None]:
    """One step of training, the optimizer's included, as a function that returns when the device is done."""
    runtime = RuntimeConfig(**job["runtime"])
    if job["variant"].endswith(COMPILED):
        runtime = replace(runtime, compile=True)
    device = torch.device(runtime.device)
    seed_everything(0)
    layout = memory_format(runtime, device)
    model = lay_out_(build(job), runtime, device)
    entry = model_entry(job["model"])
    shape = (3, 32, 32) if job["size"] is None else (entry.input_shape[0], job["size"], job["size"])
    images = torch.rand(job["batch_size"], *shape, device=device).contiguous(memory_format=layout)
    model.train()
    with torch.no_grad():
        out = model(images[:2])
    if entry.task == "classification":
        targets = torch.randint(CLASSES, (job["batch_size"],), device=device)
    else:
        targets = torch.rand(job["batch_size"], *out.shape[1:], device=device)
    if not job["collecting"]:
        for module in model.modules():
            if hasattr(module, "collect_stats_steps"):
                module.counter = module.collect_stats_steps
        model.train()  # from which fused quantizers take, for a compiler, whether they still collect
    recipe = Recipe("sgd", 1e-2, momentum=0.9, batch_size=job["batch_size"])
    loss, context = TASKS[entry.task].loss(None), autocast(runtime, device)
    plain = Step(model, loss, recipe.penalty, None, context)
    optimizer = make_optimizer(model, recipe)
    forward = compiled(
        model,
        runtime,
        lambda faster: (Step(model, loss, recipe.penalty, faster, context).gradients(images, targets), None)[1],
        lambda message: click.echo(message, err=True),
    )
    step = plain if forward is model else Step(model, loss, recipe.penalty, forward, context)

    def once() -> None:
        step.gradients(images, targets)
        optimizer.step()
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    return once


def resident_mib(field: str) -> float:
    """Of this process: ``VmRSS`` now, or ``VmHWM`` at its peak."""
    found = re.search(rf"{field}:\s+(\d+)", Path("/proc/self/status").read_text())
    return int(found[1]) / 1024 if found else 0.0


def work(job: dict[str, Any]) -> None:
    """A variant's process: a line of JSON after the first step, and one for each line that comes in."""
    torch.set_num_threads(job["threads"])
    before, started = resident_mib("VmRSS"), time.perf_counter()
    once = stepper(job)
    once()
    print(json.dumps({"seconds": time.perf_counter() - started}), flush=True)
    for _ in sys.stdin:
        started = time.perf_counter()
        once()
        seconds = time.perf_counter() - started
        print(json.dumps({"seconds": seconds, "peak_mib": resident_mib("VmHWM") - before}), flush=True)


def start(job: dict[str, Any]) -> subprocess.Popen[str]:
    """The process of a variant."""
    switch = "1" if VARIANTS[job["variant"]][2] else "0"
    env = {**os.environ, "OMP_NUM_THREADS": str(job["threads"]), "BREVITAS_JIT": switch}
    command = [sys.executable, "-W", "ignore", __file__, "--worker", json.dumps(job)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env)


def ask(process: subprocess.Popen[str], line: str = "") -> dict[str, float]:
    """The next line of a variant's process."""
    assert process.stdin is not None
    assert process.stdout is not None
    if line:
        process.stdin.write(line)
        process.stdin.flush()
    answer: dict[str, float] = json.loads(process.stdout.readline())
    return answer


def measure(job: dict[str, Any], variants: tuple[str, ...], steps: int) -> list[dict[str, Any]]:
    """Rows of the report."""
    with ExitStack() as stack:
        processes, first, told = {}, {}, dict[str, list[dict[str, float]]]()
        for name in variants:
            processes[name] = stack.enter_context(start({**job, "variant": name}))
            stack.callback(processes[name].kill)
            first[name] = ask(processes[name])["seconds"]
            told[name] = []
        for turn in range(WARM_UP + steps):
            for name, process in processes.items():
                step = ask(process, "\n")
                if turn >= WARM_UP:
                    told[name].append(step)
    taken = {name: [step["seconds"] for step in steps_of] for name, steps_of in told.items()}
    base = "float" if "float" in told else variants[0]
    return [
        {
            "variant": name,
            "step_ms": round(1000 * statistics.median(times), 2),
            "steps_ms": [round(1000 * seconds) for seconds in times],
            "images_per_second": round(job["batch_size"] / statistics.median(times), 1),
            # Of steps next to each other, so that a machine that is busy for a while counts for both.
            "ratio_to_float": round(statistics.median(a / b for a, b in zip(times, taken[base], strict=True)), 3),
            "peak_mib": round(told[name][-1]["peak_mib"]),
            "memory_to_float": round(told[name][-1]["peak_mib"] / told[base][-1]["peak_mib"], 3),
            "until_first_step_s": round(first[name], 1),
        }
        for name, times in taken.items()
    ]


@click.command()
@click.option("--model", "model_name", type=click.Choice(list(MODELS)), default="resnet18", show_default=True)
@click.option("--options", multiple=True, metavar="KEY=VALUE", help="Of the network, for example width=16.")
@click.option("--variant", "variants", multiple=True, type=click.Choice(list(VARIANTS)), help="Only these.")
@click.option("--batch-size", type=click.IntRange(2), default=64, show_default=True)
@click.option("--size", type=click.IntRange(4), default=None, help="Side of the images; 32 without.")
@click.option("--steps", type=click.IntRange(1), default=15, show_default=True, help="Timed steps of each variant.")
@click.option("--collecting/--collected", default=False, help="While activations collect statistics, or after.")
@click.option("-P", "accumulator_bit_width", type=int, default=12, show_default=True)
@click.option("--device", default="auto", show_default=True)
@click.option("--threads", type=click.IntRange(1), default=1, show_default=True)
@click.option("--amp", type=click.Choice(["none", "bf16"]), default="none", show_default=True)
@click.option("--channels-last/--contiguous", default=False, help="Layout of images and weights.")
@click.option("--compile/--no-compile", "compile_", default=False, help="torch.compile the forward pass.")
@click.option("--worker", hidden=True, default=None)
def main(
    model_name: str,
    options: tuple[str, ...],
    variants: tuple[str, ...],
    batch_size: int,
    size: int | None,
    steps: int,
    collecting: bool,
    accumulator_bit_width: int,
    device: str,
    threads: int,
    amp: str,
    channels_last: bool,
    compile_: bool,
    worker: str | None,
) -> None:
    """Time a training step of the float network and of every quantizer."""
    if worker is not None:
        work(json.loads(worker))
        return
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    given = {key: yaml.safe_load(value) for key, _, value in (option.partition("=") for option in options)}
    runtime = {"device": device, "amp": amp, "compile": compile_, "channels_last": channels_last}
    job = {
        "model": model_name,
        "options": given,
        "batch_size": batch_size,
        "size": size,
        "collecting": collecting,
        "accumulator_bit_width": accumulator_bit_width,
        "threads": threads,
        "runtime": runtime,
    }
    rows = measure(job, variants or tuple(name for name in VARIANTS if not name.endswith(COMPILED)), steps)
    named = f"CPU, {threads} thread{'s' if threads > 1 else ''}"
    if device.startswith("cuda"):
        named = torch.cuda.get_device_name()
    report = {
        **{key: value for key, value in job.items() if key not in ("runtime", "threads")},
        "steps": steps,
        "device": named,
        "machine": platform.machine(),
        "amp": amp,
        "compile": compile_,
        "channels_last": channels_last,
        "versions": versions(),
        "rows": rows,
    }
    with_compiled = compile_ or any(name.endswith(COMPILED) for name in variants)
    modes = ("compiled" * with_compiled, "channels-last" * channels_last, "collecting" * collecting)
    stem = re.sub(r"[^a-z0-9]+", "-", " ".join([named, model_name, amp, *modes]).lower()).strip("-")
    RESULTS.mkdir(exist_ok=True)
    write_atomically(RESULTS / f"throughput-{stem}.json", json.dumps(report, indent=2))
    click.echo(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
