"""Narrow accumulators without training: pretrained networks, real data, every method at the same P.

    python benchmarks/ptq.py run --networks digits,r-net --seeds 0,1     # goes on where it stopped
    python benchmarks/ptq.py render                                      # docs/ptq_results.md and its figure

A cell is a network, a method, P and a seed of the calibration data; its line is appended to ``results/ptq.jsonl`` when
it is done. Every cell's channels are judged in Python integers afterwards, whatever the method says of itself.
"""

from __future__ import annotations

import argparse
import copy
import json
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from brevitas.quant_tensor import IntQuantTensor
from ptq_networks import NETWORKS, Network
from ptq_render import render
from torch import nn

from brevitas_a2q.bounds import accumulator_range, exact_range, required_bit_width
from brevitas_a2q.convert._brevitas_model import weight_layers
from brevitas_a2q.ptq import PostTrainingConfig, quantize_post_training_
from brevitas_a2q.quant._input_range import Claim, HostCopies
from brevitas_a2q.quant._layout import WeightLayout

RESULTS = Path(__file__).parent / "results" / "ptq.jsonl"
OURS = {
    "ours-projection": {"method": "projection"},
    "ours": {"method": "exchange"},
    "ours-auto": {"method": "auto"},
    "ours-8-bit": {"method": "exchange", "activation_bit_widths": (8,)},
}
# The widths at which a method is worth a cell, from where it fails to where it is as good as float.
WIDTHS: dict[str, dict[str, tuple[int, ...]]] = {
    "digits": {
        "ours": (7, 8, 9, 10),
        "ours-projection": (8, 9, 10),
        "ours-auto": (9,),
        "ours-8-bit": (12, 14, 16),
        "projection-searched": (14, 15, 16),
        "projection-fixed": (14, 16, 18),
        "axe-gptq": (12, 14, 16, 18, 20, 22),
        "axe-gpfq": (14, 16, 18, 20, 22),
        "axe-gptq-w4": (16, 18, 20),
        "axe-gptq-w4a4": (11, 12, 13, 14, 16),
        "rounding": (0,),
    },
    "r-net": {
        "ours": (6, 7, 8, 9),
        "ours-projection": (7, 8, 9),
        "ours-auto": (8,),
        "ours-8-bit": (11, 12, 13),
        "projection-searched": (13, 14, 15),
        "projection-fixed": (14, 16, 18),
        "axe-gptq": (12, 14, 16, 18, 20, 22),
        "axe-gpfq": (14, 16, 18, 20, 22),
        "axe-gptq-w4": (16, 18, 20),
        "axe-gptq-w4a4": (11, 12, 13, 14, 16),
        "rounding": (0,),
    },
    "o-net": {
        "ours": (7, 8, 9, 10),
        "ours-projection": (9,),
        "axe-gptq": (16, 18, 20, 22),
        "axe-gptq-w4": (16, 18, 20),
        "axe-gptq-w4a4": (13, 14, 16),
        "rounding": (0,),
    },
    "magika": {
        "ours": (9, 10, 11, 12, 13, 14, 16),
        "ours-projection": (14,),
        "projection-searched": (16, 18),
        "axe-gptq": (16, 18, 20, 22),
        "axe-gptq-w4": (16, 18, 20),
        "axe-gptq-w4a4": (14, 16, 18),
        "rounding": (0,),
    },
    "mini-lm": {
        "ours": (12, 13, 14, 15, 16),
        "ours-projection": (15,),
        "projection-searched": (16, 18),
        "axe-gptq": (18, 19, 21, 22),
        "axe-gptq-w4": (17, 19, 20),
        "axe-gptq-w4a4": (15, 17, 19),
        "rounding": (0,),
    },
    "efficient-net": {
        "ours": (15, 16, 17, 20),
        "ours-projection": (16, 17),
        "projection-searched": (17, 19),
        "axe-gptq": (18, 19, 21, 22),
        "axe-gptq-w4": (17, 19, 20),
        "axe-gptq-w4a4": (17, 19, 20),
        "rounding": (0,),
    },
    "pitch": {
        "ours": (9, 10, 12, 14),
        "ours-projection": (12,),
        "axe-gptq": (16, 18, 20, 22, 24),
        "axe-gptq-w4": (16, 18, 20),
        "axe-gptq-w4a4": (13, 14, 16),
        "rounding": (0,),
    },
}


def cells(
    networks: list[str], seeds: list[int], methods: list[str], wanted: list[int] | None = None
) -> Iterator[dict[str, Any]]:
    """Cells of the first seed come first, and of these those of our own methods; only of the wanted widths, if any."""
    for seed in seeds:
        for name in networks:
            for method, widths in WIDTHS[name].items():
                if (methods and method not in methods) or (seed > 1 and method not in OURS):
                    continue
                for bits in sorted(set(widths) & set(wanted or widths), reverse=True):
                    yield {"network": name, "method": method, "P": bits, "seed": seed}


def run(networks: list[str], seeds: list[int], methods: list[str], widths: list[int]) -> None:
    done = {_key(json.loads(line)) for line in RESULTS.read_text().splitlines()} if RESULTS.exists() else set()
    for cell in cells(networks, seeds, methods, widths):
        if _key(cell) in done:
            continue
        try:
            outcome = measure(NETWORKS[cell["network"]](), cell)
        except Exception as error:  # a method that fails on a network is a result, too
            outcome = {"failed": f"{type(error).__name__}: {error}"[:300]}
        with RESULTS.open("a") as stream:
            stream.write(json.dumps({**cell, **outcome}) + "\n")
        print({**cell, **{key: value for key, value in outcome.items() if key != "layers"}}, flush=True)


def _key(cell: dict[str, Any]) -> tuple[Any, ...]:
    return cell["network"], cell["method"], cell["P"], cell["seed"]


def measure(network: Network, cell: dict[str, Any]) -> dict[str, Any]:
    from ptq_baselines import quantize

    torch.manual_seed(cell["seed"])
    calibration, started = network.draw(cell["seed"]), time.perf_counter()
    layers: list[dict[str, Any]] = []
    held_out: dict[str, Any] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if cell["method"] in OURS:
            model = copy.deepcopy(network.model)
            config = PostTrainingConfig(accumulator_bit_width=cell["P"], seed=cell["seed"], **OURS[cell["method"]])
            report = quantize_post_training_(model, calibration, config)
            layers = [
                {"name": row.name, "K": row.dot_product_size, "N": row.activation_bit_width,
                 "kind": row.activation_kind,
                 "M": row.weight_bit_width, "needs": row.required_bit_width, "error": row.output_error,
                 "seconds": round(row.seconds, 2)}
                for row in report.rows
            ]  # fmt: skip
            held_out = {"held_out_error": report.output_error, "chosen": report.method}
        else:
            model = quantize(cell["method"], network.model, calibration, cell["P"])
        seconds = time.perf_counter() - started
        float_output = network.float_outputs
        output = network.outputs(model)
        judged = judge(model, network, cell["P"], own_ends=cell["method"] in OURS)
    return {
        "float": round(network.score(float_output, float_output), 3),
        "score": round(network.score(output, float_output), 3),
        "cosine": round(float(torch.nn.functional.cosine_similarity(output, float_output).mean()), 5),
        "seconds": round(seconds, 1),
        **judged,
        **held_out,
        "layers": layers,
    }


@torch.no_grad()
def judge(model: nn.Module, network: Network, bits: int, own_ends: bool) -> dict[str, Any]:
    """Worst case of every channel of the hidden layers in Python integers, from what the layers really multiply."""
    found: dict[str, tuple[Any, Any]] = {}

    def watch(name: str) -> Any:
        def hook(layer: Any, inputs: tuple[Any, ...]) -> None:
            x = inputs[0] if isinstance(inputs[0], IntQuantTensor) else layer.input_quant(inputs[0])
            weight = layer.quant_weight(x)
            scale = weight.scale if weight.scale.numel() > 1 else weight.scale.reshape(-1)
            codes = WeightLayout.of(layer).rows((weight.value.double() / scale.double()).round().long())
            found[name] = (codes, Claim.of(layer, x, HostCopies()).range)

        return hook

    named = weight_layers(model)
    handles = [layer.register_forward_pre_hook(watch(name)) for name, layer in named]
    part = {k: v[:2] for k, v in network.test.items()} if isinstance(network.test, dict) else network.test[:2]
    model(**part) if isinstance(part, dict) else model(part)
    for handle in handles:
        handle.remove()
    limits = accumulator_range(bits) if bits else None
    channels = violations = 0
    needed = 1
    for name, (codes, inputs) in found.items():
        if name in (named[0][0], named[-1][0]):
            continue  # the first and the last layer have 8 bits and a wide accumulator
        for row in codes.tolist():
            plus, minus = sum(q for q in row if q > 0), -sum(q for q in row if q < 0)
            reach = exact_range(plus, minus, inputs)
            needed = max(needed, required_bit_width(reach.lo, reach.hi))
            channels += 1
            violations += limits is not None and not limits.contains(reach)
    return {"channels": channels, "violations": violations, "needs": needed}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", choices=["run", "render"])
    parser.add_argument("--networks", default=",".join(WIDTHS))
    parser.add_argument("--seeds", default="0,1")
    parser.add_argument("--methods", default="")
    parser.add_argument("--widths", default="", help="only cells of these P")
    given = parser.parse_args()
    if given.action == "run":
        methods = [name for name in given.methods.split(",") if name]
        seeds, widths = ([int(n) for n in text.split(",") if n] for text in (given.seeds, given.widths))
        run(given.networks.split(","), seeds, methods, widths)
    else:
        render(RESULTS)


if __name__ == "__main__":
    main()
