"""Graphs and a folded design of each, and which simulators are here."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1] / "hw"))

from brevitas_a2q.errors import RtlError
from brevitas_a2q.rtl._simulators import Simulator, find_simulator


@pytest.fixture(scope="session")
def simulator() -> Simulator:
    """The simulator that has least to compile for a small graph."""
    for name in ("icarus", "cxxrtl", "verilator"):
        try:
            return find_simulator(name)
        except RtlError:
            continue
    pytest.skip("no simulator is installed")


@pytest.fixture(scope="session")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two convolutions (one depthwise), a pool and a dense layer on images of 6 x 6."""
    import brevitas.nn as qnn
    import torch
    from torch import nn

    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("network") / "small.onnx"
    options: dict[str, Any] = {"weight_bit_width": 4, "bias": False}
    model = nn.Sequential(
        qnn.QuantIdentity(bit_width=4, return_quant_tensor=True),
        qnn.QuantConv2d(2, 4, 3, padding=1, **options),
        nn.BatchNorm2d(4),
        qnn.QuantReLU(bit_width=3, return_quant_tensor=True),
        qnn.QuantConv2d(4, 4, 3, groups=4, **options),
        qnn.QuantReLU(bit_width=3, return_quant_tensor=True),
        nn.MaxPool2d(2),
        nn.Flatten(),
        qnn.QuantLinear(16, 3, **options),
    )
    model(torch.randn(16, 2, 6, 6))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Brevitas' and torch's, about themselves
        from brevitas.export import export_qonnx

        export_qonnx(model.eval(), torch.randn(1, 2, 6, 6), export_path=str(path), dynamo=False)
    return path
