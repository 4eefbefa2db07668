"""Integer biases are part of the sums that are solved for: chosen with the weights, judged in Python's integers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import brevitas.nn as qnn
import numpy as np
import pytest
import torch
from brevitas.quant import Int8WeightPerChannelFloat, Int16Bias, Int32Bias, Uint8ActPerTensorFloat
from torch import nn

from brevitas_a2q import certify, export_qonnx, quantize_post_training_
from brevitas_a2q.bounds import IntRange
from brevitas_a2q.ptq import PostTrainingConfig, restore_post_training_, save_post_training
from brevitas_a2q.ptq._integer_bias import BiasRoom, solve_beside_bias
from brevitas_a2q.ptq._problem import RowSolution
from brevitas_a2q.quant._layers import accumulator_layers


def network(bias: float = 0.3, bias_quant: Any = Int32Bias) -> nn.Module:
    """Three layers; the middle one has biases of this size."""
    torch.manual_seed(0)
    options: dict[str, Any] = {"weight_quant": Int8WeightPerChannelFloat, "bias": True, "bias_quant": bias_quant}

    def act(bits: int) -> nn.Module:
        return qnn.QuantReLU(act_quant=Uint8ActPerTensorFloat, bit_width=bits, return_quant_tensor=True)

    model = nn.Sequential(
        qnn.QuantIdentity(act_quant=Uint8ActPerTensorFloat, return_quant_tensor=True),
        *(qnn.QuantLinear(12, 48, **options), act(4)),
        *(qnn.QuantLinear(48, 8, **options), act(4)),
        qnn.QuantLinear(8, 4, **options),
    )
    with torch.no_grad():
        model[3].bias.copy_(bias * torch.linspace(-1, 1, 8))
    for _ in range(5):
        model(torch.rand(64, 12))
    return model.eval()


@pytest.mark.parametrize("bias", [0.3, 3.0])
@pytest.mark.parametrize(
    "settings",
    [{"method": "exchange"}, {"power_of_two": True}, {"scale": "tensor"}, {"tile": 16}],
    ids=["exchange", "powers of two", "one scale", "tiles"],
)
def test_weights_and_bias_fit_the_accumulator(bias: float, settings: dict[str, Any]) -> None:
    model, x = network(bias), torch.rand(256, 12)
    with torch.no_grad():
        before = model(x)
    report = quantize_post_training_(model, x, {"method": "projection", "accumulator_bit_width": 12, **settings})
    with torch.no_grad():
        error = float((model(x) - before).square().mean() / before.square().mean())

    assert report.rows[1].required_bit_width <= 12
    assert certify(model, x[:1]).holds
    assert error < 0.05
    proxy = dict(accumulator_layers(model))["3"].weight_quant
    if "tile" in settings:
        return
    for row, code in zip(proxy.integer_weight().tolist(), proxy.integer_bias().tolist(), strict=True):
        highest = 15 * sum(weight for weight in row if weight > 0) + max(code, 0)
        lowest = 15 * sum(weight for weight in row if weight < 0) + min(code, 0)
        assert lowest >= -(2**11)
        assert highest < 2**11


def test_it_is_exported_and_restored(tmp_path: Path) -> None:
    model, x = network(), torch.rand(64, 12)
    config = PostTrainingConfig(method="projection", accumulator_bit_width=14, skip_first_and_last=False)
    report = quantize_post_training_(model, x, config)
    save_post_training(model, report, x, tmp_path)
    again = network()
    restore_post_training_(again, tmp_path)

    assert torch.equal(again(x), model(x))
    certificate = export_qonnx(model, x[:1], tmp_path / "net.onnx").certificate
    assert certificate.holds
    assert certificate.targets == 3
    assert all(layer.bias_sha256 is not None for layer in certificate.layers)


def test_a_bias_of_a_narrow_type_of_its_own() -> None:
    model, x = network(0.3, Int16Bias), torch.rand(64, 12)
    quantize_post_training_(model, x, {"method": "projection", "accumulator_bit_width": 12})
    assert certify(model, x[:1]).holds


def test_a_layer_finds_room_for_a_bias_that_half_of_the_accumulator_does_not_hold() -> None:
    """At the scale that the weights alone would have, the bias is many times what fits; it is kept all the same."""
    solution = RowSolution(np.array([[5, -3, 0], [1, 1, 1]]), np.array([1e-3, 1.0]), np.zeros(2))
    room = BiasRoom(8, IntRange(0, 15), 0.1, 32, 7, shared_scale=False, power_of_two=False)
    wanted = np.array([2.0, -0.4])
    found, codes = solve_beside_bias(lambda taken: solution, lambda _: wanted, room)

    assert np.allclose(codes * found.scales * 0.1, wanted, rtol=0.02)
    assert found.scales[1] == 1.0
    for row, code in zip(found.codes.tolist(), codes.tolist(), strict=True):
        assert 15 * sum(weight for weight in row if weight > 0) + max(code, 0) < 128
        assert 15 * sum(weight for weight in row if weight < 0) + min(code, 0) >= -128


def test_the_bias_makes_up_for_what_weights_lose() -> None:
    model, reference, x = network(), network(), torch.rand(256, 12)
    quantize_post_training_(model, x, {"method": "projection", "accumulator_bit_width": 11})
    with torch.no_grad():
        found, wanted = (net[:4](x).mean(0) for net in (model, reference))
    assert float((found - wanted).abs().max()) < 0.05 * float(wanted.abs().max())
