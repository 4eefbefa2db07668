"""Activation scales of converted float models: set from what is given, and missed aloud where nothing is."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from brevitas_a2q import A2QConfig, certify, constrain_, export_qonnx
from brevitas_a2q.data import load_data
from brevitas_a2q.errors import DataError
from brevitas_a2q.export import check_finn
from brevitas_a2q.quant._calibrate import scales_without_data

CONFIG = A2QConfig(accumulator_bit_width=20, weight_bit_width=8, activation_bit_width=8)


@pytest.fixture(scope="module")
def trained() -> tuple[nn.Module, Tensor, Tensor, Tensor]:
    """A float network for handwritten digits, training images, test images and labels."""
    data = load_data("digits")
    images = [part.float() / 16 if part.dtype == torch.uint8 else part for part in (data.x_train, data.x_test)]
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(images[0].shape[1], 16, 3, padding=1), nn.ReLU6(), nn.MaxPool2d(2), nn.Conv2d(16, 24, 3), nn.ReLU(),
        nn.Conv2d(24, 24, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(24, 10),
    )  # fmt: skip
    optimizer = torch.optim.Adam(model.parameters(), 0.01)
    for _ in range(60):
        part = torch.randint(0, len(images[0]), (128,))
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(images[0][part]), data.y_train[part]).backward()
        optimizer.step()
    return model.eval(), images[0], images[1], data.y_test


def _accuracy(model: nn.Module, images: Tensor, labels: Tensor) -> float:
    with torch.no_grad():
        return float((model(images).argmax(1) == labels).float().mean())


@pytest.mark.parametrize("form", ["tensor", "loader", "generator"])
def test_accuracy_survives(form: str, trained: tuple[nn.Module, Tensor, Tensor, Tensor]) -> None:
    import copy

    model, known, images, labels = copy.deepcopy(trained[0]), *trained[1:]
    before = _accuracy(model, images, labels)
    some = known[:256]
    loader = DataLoader(TensorDataset(some, torch.zeros(256)), batch_size=64)
    given = {"tensor": some, "loader": loader, "generator": (part for part in some.split(100))}[form]
    report = constrain_(model, CONFIG, given)
    assert not model.training
    assert not any(module.training for module in model.modules())
    assert report.without_data == ()
    assert "no data" not in str(report)
    assert before > 0.8
    assert _accuracy(model, images, labels) > before - 0.03


def test_what_has_seen_no_data_is_said(trained: tuple[nn.Module, Tensor, Tensor, Tensor], tmp_path: Path) -> None:
    import copy

    model = copy.deepcopy(trained[0])
    report = constrain_(model, CONFIG)
    assert len(report.without_data) == 5 == len(scales_without_data(model))
    assert "scales of 5 activation quantizers have seen no data" in str(report)
    certificate = certify(model, trained[1][:2])
    assert certificate.holds
    assert any("no data" in assumption.text for assumption in certificate.assumptions)
    exported = export_qonnx(model, trained[1][:2], tmp_path / "network.onnx")
    assert "no data" in str(exported)
    # A state that was calibrated brings its scales along.
    other = copy.deepcopy(trained[0])
    constrain_(other, CONFIG, trained[1][:64])
    model.load_state_dict(other.state_dict())
    assert scales_without_data(model) == ()
    assert not certify(model, trained[1][:2]).assumptions


def test_what_we_convert_is_what_finn_takes(trained: tuple[nn.Module, Tensor, Tensor, Tensor], tmp_path: Path) -> None:
    import copy

    model = copy.deepcopy(trained[0])
    wanted = copy.deepcopy(trained[0])
    constrain_(model, CONFIG, trained[1][:256])
    assert type(model[1]) is nn.ReLU  # it clips at 6 by its quantizer
    quantizer = model.value_quantizers["_1"]
    top = float(quantizer.act_quant.scale().detach()) * 255
    assert top <= 6 + 1e-4
    x = torch.linspace(-9, 9, 200)
    clipped = quantizer(torch.relu(x)).value
    torch.testing.assert_close(clipped, quantizer(nn.functional.relu6(x)).value)
    assert wanted[1](x).max() == 6
    assert model.value_quantizers["_6"].act_quant.is_signed  # behind the average pool
    export_qonnx(model, trained[1][:2], tmp_path / "network.onnx")
    rules = {finding.rule for finding in check_finn(tmp_path / "network.onnx")}
    assert "FINN-02" not in rules


@pytest.mark.parametrize("inputs", [iter(()), iter([{"x": torch.zeros(1, 1, 8, 8)}])])
def test_loaders_that_give_nothing_usable(inputs: object) -> None:
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Conv2d(2, 2, 3))
    with pytest.raises(DataError):
        constrain_(model, CONFIG, inputs)
