"""A sum that only a layer norm reads stays real: both are an island, its channels where transposes have put them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from brevitas_a2q import A2QConfig, constrain_, export_qonnx, hw


def test_the_last_residual_sum_of_a_convnext(tmp_path: Path) -> None:
    pytest.importorskip("torchvision")
    from torchvision.models.convnext import CNBlockConfig, ConvNeXt

    torch.manual_seed(0)
    model = ConvNeXt([CNBlockConfig(8, 16, 1), CNBlockConfig(16, None, 2)], num_classes=10).eval()
    images = torch.rand(2, 3, 32, 32)
    constrain_(model, A2QConfig(accumulator_bit_width=16, weight_bit_width=4, activation_bit_width=4), images)
    export_qonnx(model, images[:1], tmp_path / "model.onnx")
    made = hw.estimate(str(tmp_path / "model.onnx"), part="xcu250")
    sums = [line for line in made.warnings if "Add_" in line and "without a unit" in line]
    assert sums
    assert made.total.lut > 0
