"""Images that are no multiple of a pool's kernel, and padding of -1 and 1: the words of the QONNX executor."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from brevitas_a2q.rtl._build import BuildReport, build
from brevitas_a2q.rtl._simulators import Simulator

OPTIONS: dict[str, Any] = {"part": "xczu7ev", "target_fps": 200e6 / 300}
QONNX = "qonnx.custom_op.general"


def _built(path: Path, out: Path, simulator: Simulator) -> BuildReport:
    if simulator.name != "icarus":
        pytest.skip("left to Icarus, which has nothing to compile")
    report = build(path, out, simulate=5, gap=300, stall=300, simulator=simulator.name, **OPTIONS)
    assert report.simulation is not None
    assert report.simulation.equal, report.simulation.differences
    assert report.executor is not None
    assert report.executor.integers
    assert report.executor.equal, report.executor.differences
    return report


@pytest.mark.parametrize(
    ("size", "kernel", "signed", "ceil"),
    [
        ((5, 5), (2, 2), 0, 0),
        ((5, 5), (2, 2), 0, 1),
        ((7, 6), (3, 2), 1, 0),
        ((4, 7), (2, 3), 1, 0),
        ((8, 5), (3, 5), 0, 1),
    ],
)
def test_max_pools_of_any_image(
    builder: Callable[..., Any],
    size: tuple[int, int],
    kernel: tuple[int, int],
    signed: int,
    ceil: int,
    simulator: Simulator,
    tmp_path: Path,
) -> None:
    b = builder((1, 2, *size))
    x = b.node("Conv", b.quant("x", signed=1), b.weights(np.array([[3, -2], [1, 4], [-5, 2]]).reshape(3, 2, 1, 1)))
    x = b.quant(x, 1.0, 4, signed)
    x = b.node("MaxPool", x, kernel_shape=list(kernel), strides=list(kernel), ceil_mode=ceil)
    b.quant(b.node("Conv", x, b.weights(np.array([[1, -2, 3], [2, 2, -1]]).reshape(2, 3, 1, 1))), 2.0, 4, 1)
    report = _built(b.save(), tmp_path / "out", simulator)
    assert any(unit.kind == "Pool" for unit in report.accelerator.netlist.graph.units)  # behind a window


@pytest.mark.parametrize("pads", [[1, 1, 1, 1], [0, 1, 2, 0]])
@pytest.mark.parametrize("op", ["Conv", "ConvTranspose"])
def test_padding_of_bipolar_integers(
    builder: Callable[..., Any], op: str, pads: list[int], simulator: Simulator, tmp_path: Path
) -> None:
    b = builder((1, 2, 4, 4))
    rng = np.random.default_rng(0)
    x = b.node("Conv", b.quant("x", signed=1), b.weights(rng.integers(-7, 8, (3, 2, 1, 1))))
    x = b.node("BipolarQuant", x, b.constant(np.float32(1.0)), domain=QONNX)
    strides = {"strides": [2, 2]} if op == "ConvTranspose" else {}
    shape = (3, 2, 3, 3) if op == "ConvTranspose" else (2, 3, 3, 3)
    weights = b.weights(rng.integers(-3, 4, shape))
    b.quant(b.node(op, x, weights, kernel_shape=[3, 3], pads=pads, **strides), 1.0, 5, 1)
    graph = _built(b.save(), tmp_path / "out", simulator).accelerator.netlist.graph
    wide = {unit.kind: (unit.input_type.name, unit.output_type.name) for unit in graph.units[1:-1]}
    assert ("BIPOLAR", "INT2") in wide.values()
    assert graph.units[-1].input_type.name == "INT2"
