"""Adaptive average pools of any size are exported, and compute what PyTorch computes."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest
import torch
from torch import nn

from brevitas_a2q import A2QConfig, certify, constrain_, export_qonnx


@pytest.mark.parametrize(("side", "out"), [(1, 3), (2, (4, 6)), (5, 3), (6, (4, None)), (4, 2)])
def test_pools_are_exported(side: int, out: int | tuple[int | None, ...], tmp_path: Path) -> None:
    """The round trip executes the file in qonnx and compares every quantizer's integers."""
    torch.manual_seed(0)
    height, width = (out, out) if isinstance(out, int) else (size or side for size in out)
    model = nn.Sequential(
        nn.Conv2d(3, 4, 1), nn.ReLU(), nn.Conv2d(4, 4, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(out), nn.Flatten(),
        nn.Linear(4 * height * width, 5), nn.ReLU(), nn.Linear(5, 2),
    ).eval()  # fmt: skip
    images = torch.rand(8, 3, side, side)
    constrain_(model, A2QConfig(accumulator_bit_width=14), images)
    report = export_qonnx(model, images[:1], tmp_path / "model.onnx")
    assert report.round_trip.codes
    assert certify(tmp_path / "model.onnx").holds
    kinds = {node.op_type for node in onnx.load(tmp_path / "model.onnx").graph.node}
    assert ("Resize" in kinds) == (side in (1, 2))
    assert nn.functional.adaptive_avg_pool2d.__module__ == "torch.nn.functional"
