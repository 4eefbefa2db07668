"""ESPCN and U-Net: shapes, the layers of the papers, and the way from training to an estimate."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from brevitas_a2q import a2q_penalty, certify, export_qonnx, hw
from brevitas_a2q.errors import ConfigError
from brevitas_a2q.models import QuantSpec, build_model
from brevitas_a2q.models._spec import Method
from brevitas_a2q.quant._layers import accumulator_layers
from brevitas_a2q.train import calibrate

UPSAMPLINGS = ("resize", "subpixel")


def convolutions(model: nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(m.weight.shape) for name, m in model.named_modules() if isinstance(m, nn.Conv2d)}


@pytest.mark.parametrize("upsampling", UPSAMPLINGS)
@pytest.mark.parametrize("factor", [2, 3])
@pytest.mark.parametrize("name", ["espcn", "unet"])
def test_images_grow_by_the_factor(name: str, factor: int, upsampling: str) -> None:
    for spec in (None, QuantSpec("a2q", 4, 4, 16)):
        model = build_model(name, spec, upscale_factor=factor, upsampling=upsampling, width=4).eval()
        enlarged = model(torch.rand(2, 3, 8, 12))
        assert enlarged.shape == (2, 3, 8 * factor, 12 * factor)
        assert enlarged.min() >= 0


@pytest.mark.parametrize(("upsampling", "outputs"), [("resize", 3), ("subpixel", 27)])
def test_espcn_has_the_layers_of_the_published_one(upsampling: str, outputs: int) -> None:
    # Brevitas' example: 3-64 of 5x5, 64-64, 64-32 and 32-(3, or 3 f^2) of 3x3.
    found = convolutions(build_model("espcn", upscale_factor=3, upsampling=upsampling))
    assert list(found.values()) == [(64, 3, 5, 5), (64, 64, 3, 3), (32, 64, 3, 3), (outputs, 32, 3, 3)]


def test_unet_has_three_encoders_and_three_decoders() -> None:
    found = convolutions(build_model("unet"))
    assert [shape[:2] for shape in found.values()] == [
        *[(32, 3), (32, 32), (64, 32), (128, 64)],
        *[(64, 128), (32, 64), (32, 32), (3, 32)],
    ]


@pytest.mark.parametrize("name", ["espcn", "unet"])
def test_first_and_last_layers_are_unconstrained_with_eight_bits(name: str) -> None:
    model = build_model(name, QuantSpec("projected", 4, 3, 12), width=4)
    model(torch.rand(1, 3, 8, 8))
    names = list(convolutions(model))
    assert [layer for layer, _ in accumulator_layers(model)] == names[1:-1]
    layers = dict(model.named_modules())
    assert {int(layers[layer].quant_weight().bit_width) for layer in (names[0], names[-1])} == {8}
    assert {int(layers[layer].quant_weight().bit_width) for layer in names[1:-1]} == {4}


def test_summands_of_skip_connections_share_their_scale() -> None:
    model = build_model("unet", QuantSpec("a2q", 4, 4, 16), width=4)
    calibrate(model, torch.rand(2, 3, 8, 8))
    operands: list[Any] = []
    model.eval()
    for skip in (model.skip1, model.skip2):
        skip.activation.register_forward_hook(lambda _, __, out: operands.append(out))
    model(torch.rand(1, 3, 8, 8))  # the first call runs more than once, to learn which integers arrive
    operands.clear()
    model(torch.rand(1, 3, 8, 8))
    full, half, half_decoded, full_decoded = operands
    for encoded, decoded in ((full, full_decoded), (half, half_decoded)):
        assert torch.equal(encoded.scale, decoded.scale)
        assert {int(encoded.bit_width), int(decoded.bit_width)} == {4}
        assert not encoded.signed


def trained(name: str, spec: QuantSpec, factor: int, upsampling: str) -> tuple[nn.Module, torch.Tensor, list[float]]:
    """A small network after a few steps, images for it, and its losses."""
    torch.manual_seed(0)
    model = build_model(name, spec, upscale_factor=factor, upsampling=upsampling, width=4)
    small, large = torch.rand(4, 3, 8, 8), torch.rand(4, 3, 8 * factor, 8 * factor)
    calibrate(model, small)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    model.train()
    losses = []
    for _ in range(4):
        task = F.mse_loss(model(small), large)
        optimizer.zero_grad()
        (task + a2q_penalty(model, 1e-3)).backward()
        optimizer.step()
        losses.append(task.item())
    return model.eval(), small, losses


@pytest.mark.parametrize("method", ["none", "a2q", "a2q+", "projected"])
@pytest.mark.parametrize("name", ["espcn", "unet"])
def test_every_method_trains_and_keeps_its_promise(name: str, method: Method) -> None:
    spec = QuantSpec(method, 4, 4, 10)
    model, images, losses = trained(name, spec, 3, "resize")
    assert losses[-1] < losses[0]
    certificate = certify(model, images)
    assert certificate.holds
    hidden = certificate.layers[1:-1]
    assert all(layer.required_bit_width <= 10 for layer in hidden) or method == "none"


@pytest.mark.parametrize(
    ("name", "factor", "upsampling"),
    [("espcn", 2, "subpixel"), ("espcn", 3, "resize"), ("unet", 2, "resize"), ("unet", 3, "subpixel")],
)
def test_files_compute_the_same_and_have_a_price(name: str, factor: int, upsampling: str, tmp_path: Path) -> None:
    model, images, _ = trained(name, QuantSpec("projected", 4, 4, 12), factor, upsampling)
    path = tmp_path / "network.onnx"
    assert export_qonnx(model, images[:1], path).checks["integers equal"] > 0
    assert certify(path).holds
    for cost_model in ("synthesis", "finn-main") if upsampling == "resize" else ("synthesis",):
        estimate = hw.estimate(path, part="xc7z020clg400-1", target_fps=100, model=cost_model)
        assert estimate.total.lut > 0
        assert not estimate.warnings


def test_options_that_it_does_not_take_are_refused() -> None:
    for factor in (4, 2.0, "2", True):
        with pytest.raises(ConfigError, match=f"upscale_factor = {factor!r}"):
            build_model("espcn", upscale_factor=factor)
    with pytest.raises(ConfigError, match=r"upsampling = 'nearest'.*resize, subpixel"):
        build_model("unet", upsampling="nearest")
    with pytest.raises(ConfigError, match=r"unknown option 'upscale'.*did you mean 'upscale_factor'"):
        build_model("espcn", upscale=2)
    with pytest.raises(ConfigError, match="width = 0"):
        build_model("unet", width=0)


def test_weights_start_from_he_and_outputs_from_grey() -> None:
    torch.manual_seed(0)
    model = build_model("espcn")
    assert model.features[4].weight.std().item() == pytest.approx((2 / 576) ** 0.5, rel=0.02)
    enlarged = model(torch.rand(4, 3, 16, 16))
    assert enlarged.mean().item() == pytest.approx(0.5, abs=0.05)
    assert (enlarged == 0).sum() == 0
