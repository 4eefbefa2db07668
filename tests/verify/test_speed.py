"""Wrapping is fast: near the float network's own time, and far from a loop over products."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from brevitas_a2q import export_qonnx
from brevitas_a2q.ir.reader import read_network
from brevitas_a2q.models import QuantSpec, build_model
from brevitas_a2q.verify.network_simulation import NetworkSimulator
from brevitas_a2q.verify.simulation import Settings


def best(run: Callable[[], Any], repeats: int) -> float:
    """Shortest of several times, which other programs disturb least."""
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        run()
        times.append(time.perf_counter() - started)
    return min(times)


def test_wrap_is_within_three_times_float_and_twenty_times_faster_than_a_loop(tmp_path: Path) -> None:
    torch.manual_seed(0)
    images = torch.rand(512, 1, 8, 8)
    floating, model = build_model("digits-cnn").eval(), build_model("digits-cnn", QuantSpec(method="none"))
    model(images[:64])
    export_qonnx(model.eval(), images[:1], tmp_path / "digits.onnx")
    network = NetworkSimulator(read_network(tmp_path / "digits.onnx"))
    array, settings = images.numpy(), Settings(11, "wrap")
    result = network.run(array, settings)
    assert sum(result.overflows.values()) > 0
    simulated = best(lambda: network.run(array, settings), 9)
    with torch.no_grad():
        assert simulated < 3 * best(lambda: floating(images), 9)

    layer = network.network.dot_product_layers()[1]
    x = np.random.default_rng(0).integers(0, 16, layer.dot_product_size)

    def loop() -> None:
        for row in layer.weights:
            value = 0
            for weight, code in zip(row.tolist(), x.tolist(), strict=True):
                value = (value + weight * code + 1024) % 2048 - 1024

    per_addition = best(loop, 9) / layer.weights.size
    assert 20 * simulated / result.additions < per_addition
