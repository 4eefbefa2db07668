"""Time of the weight quantizers alone, forward and backward, against upstream Brevitas' A2Q in the same run.

Every round runs all quantizers in an order of its own, so that a busy machine, and what the one before leaves in the
caches, slow all of them alike; the ratio to upstream is the median over rounds of the ratio within a round. One thread.

Usage: python benchmarks/quantizer_speed.py [--rounds 15] [--output benchmarks/results/quantizer_speed.json]
"""

from __future__ import annotations

import argparse
import json
import platform
import random
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import brevitas
import torch
from brevitas import nn as qnn
from brevitas.quant.scaled_int import (
    Int8AccumulatorAwareWeightQuant,
    Int8AccumulatorAwareZeroCenterWeightQuant,
    Int8WeightPerChannelFloat,
)
from torch import Tensor

from brevitas_a2q.quant._functional import budget_from_range
from brevitas_a2q.quant._quantizers import (
    Int8A2QPlusWeightPerChannelFloat,
    Int8A2QWeightPerChannelFloat,
    Int8ProjectedA2QWeightPerChannelFloat,
)

Step = Callable[[], None]
INPUT_BITS = 8
SHAPES = {"512x512x3x3": (512, 15), "16x16x3x3": (16, 300)}
LIMITS = {"512x512x3x3": {"a2q": 0.55, "a2q+": 0.55, "projection": 1.0},
          "16x16x3x3": {"a2q": 0.35, "a2q+": 0.35, "projection": 0.6}}  # fmt: skip
OURS = {
    "a2q": Int8A2QWeightPerChannelFloat,
    "a2q+": Int8A2QPlusWeightPerChannelFloat,
    "projection": Int8ProjectedA2QWeightPerChannelFloat,
}


def layer(channels: int, quantizer: type, accumulator_bits: int | None) -> qnn.QuantConv2d:
    """A 3x3 convolution with seeded weights and this weight quantizer."""
    torch.manual_seed(0)
    extra = {} if accumulator_bits is None else {"weight_accumulator_bit_width": accumulator_bits}
    return qnn.QuantConv2d(channels, channels, 3, bias=False, weight_quant=quantizer, **extra)


def steps(channels: int, accumulator_bits: int, signed: bool) -> dict[str, Step]:
    """One forward and backward pass of each quantizer on its own layer's weight."""
    bits = torch.tensor(float(INPUT_BITS))
    lo, hi = (-128, 127) if signed else (0, 255)

    def step(conv: qnn.QuantConv2d, quantize: Callable[[], Tensor]) -> Step:
        gradient = torch.randn_like(conv.weight)
        return lambda: quantize().backward(gradient)

    def upstream(quantizer: type) -> Step:
        conv = layer(channels, quantizer, accumulator_bits)
        return step(conv, lambda: conv.weight_quant.tensor_quant(conv.weight, bits, signed)[0])

    def ours(quantizer: type) -> Step:
        conv = layer(channels, quantizer, accumulator_bits)
        module, budget = conv.weight_quant.tensor_quant, budget_from_range(accumulator_bits, lo, hi)
        return step(conv, lambda: module(conv.weight, module.scale(conv.weight), budget)[0])

    plain = layer(channels, Int8WeightPerChannelFloat, None)
    return {
        "upstream a2q": upstream(Int8AccumulatorAwareWeightQuant),
        "upstream a2q+": upstream(Int8AccumulatorAwareZeroCenterWeightQuant),
        "upstream int8": step(plain, lambda: plain.weight_quant.tensor_quant(plain.weight)[0]),
        **{name: ours(quantizer) for name, quantizer in OURS.items()},
    }


def measure(runs: dict[str, Step], rounds: int) -> dict[str, dict[str, float]]:
    """Median milliseconds of each run and median ratio to upstream's A2Q, runs shuffled within each round."""
    taken: dict[str, list[float]] = {name: [] for name in runs}
    shuffled = random.Random(0)
    for number in range(rounds + 2):
        for name, run in shuffled.sample(list(runs.items()), len(runs)):
            start = time.perf_counter()
            run()
            if number >= 2:  # the first rounds warm up
                taken[name].append(1e3 * (time.perf_counter() - start))
    base = taken["upstream a2q"]
    return {
        name: {
            "ms": round(statistics.median(times), 3),
            "ratio": round(statistics.median(t / b for t, b in zip(times, base, strict=True)), 3),
        }
        for name, times in taken.items()
    }


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, help="rounds of each cell (default: 15 large, 300 small)")
    parser.add_argument("--shape", choices=SHAPES, action="append", help="only this shape; may be repeated")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results" / "quantizer_speed.json")
    options = parser.parse_args()
    torch.set_num_threads(1)
    cells = []
    for shape in options.shape or SHAPES:
        channels, rounds = SHAPES[shape]
        for accumulator_bits, signed in ((16, False), (14, False), (20, False), (32, False), (16, True), (20, True)):
            found = measure(steps(channels, accumulator_bits, signed), options.rounds or rounds)
            cells.append({"shape": shape, "P": accumulator_bits, "N": INPUT_BITS, "M": 8, "signed": signed, **found})
            print(f"{shape}  P={accumulator_bits:<2}  {'signed' if signed else 'unsigned'} inputs")
            for name, row in found.items():
                limit = LIMITS[shape].get(name)
                goal = "" if limit is None else f"  (goal {limit:.2f})"
                print(f"  {name:14s} {row['ms']:9.3f} ms  {row['ratio']:6.2f} x upstream a2q{goal}")
    machine = {
        "processor": platform.machine(),
        "torch": torch.__version__,
        "brevitas": brevitas.__version__,
        "threads": 1,
    }
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps({"machine": machine, "cells": cells}, indent=1) + "\n")


if __name__ == "__main__":
    main()
