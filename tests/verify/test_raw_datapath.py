"""Codes that keep their zero-point in the sum, run against a loop over Python's integers."""

from __future__ import annotations

import warnings
from itertools import product
from pathlib import Path
from typing import Any

import brevitas.nn as qnn
import numpy as np
import pytest
import torch
from brevitas.quant import Int8WeightPerChannelFloat, ShiftedUint8ActPerTensorFloat
from torch import Tensor, nn

from brevitas_a2q import certify, export_qonnx, simulate
from brevitas_a2q.errors import A2QError
from brevitas_a2q.quant import accumulator_aware

P = 6


def network(layer: nn.Module, shape: tuple[int, ...]) -> nn.Sequential:
    torch.manual_seed(0)
    act = qnn.QuantIdentity(act_quant=ShiftedUint8ActPerTensorFloat, bit_width=3, return_quant_tensor=True)
    model = nn.Sequential(act, layer)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # Brevitas does not compute the zero-point of the output
        model(torch.randn(16, *shape) + 0.8)
    return model.eval()


def parts(model: nn.Sequential, x: Tensor) -> tuple[np.ndarray, int, np.ndarray, float]:
    """Codes, their zero-point, the weights' integers as PyTorch has them, and the scale of the sums."""
    with torch.no_grad():
        quantized, weight = model[0](x), model[1].quant_weight()
    codes = (quantized.value.double() / quantized.scale.double()).round() + quantized.zero_point.double()
    integers = (weight.value.double() / weight.scale.double()).round()
    scale = quantized.scale.double() * weight.scale.double()
    return codes.long().numpy(), int(quantized.zero_point), integers.long().numpy(), scale.detach().numpy()


def wrapped(value: int, bits: int) -> int:
    return (value + (1 << (bits - 1))) % (1 << bits) - (1 << (bits - 1))


def loop(codes: np.ndarray, point: int, weights: np.ndarray, kind: str) -> tuple[np.ndarray, int]:
    """Wrapped sums less what the zero-point adds, and how many left P bits; 3x3 kernels, or a dense layer."""
    overflows, found = 0, {}
    images, channels = codes.shape[0], weights.shape[1 if kind == "transposed" else 0]
    side = {"dense": 1, "padded": codes.shape[-1], "transposed": 2 * codes.shape[-1] + 1}[kind]
    for n, c, i, j in product(range(images), range(channels), range(side), range(side)):
        total, added = 0, 0
        for k in range(codes.shape[1]):
            for a, b in [(0, 0)] if kind == "dense" else product(range(3), range(3)):
                if kind == "dense":
                    code, w = int(codes[n, k]), int(weights[c, k])
                elif kind == "padded":
                    y, x = i + a - 1, j + b - 1
                    inside = 0 <= y < codes.shape[2] and 0 <= x < codes.shape[3]
                    code, w = int(codes[n, k, y, x]) if inside else point, int(weights[c, k, a, b])
                else:
                    y, x = i - a, j - b
                    if y % 2 or x % 2 or not (0 <= y // 2 < codes.shape[2] and 0 <= x // 2 < codes.shape[3]):
                        continue
                    code, w = int(codes[n, k, y // 2, x // 2]), int(weights[k, c, a, b])
                total, added = total + code * w, added + point * w
        overflows += wrapped(total, P) != total
        found[n, c, i, j] = wrapped(total, P) - added
    result = np.array(list(found.values())).reshape(images, channels, side, side)
    return (result[:, :, 0, 0] if kind == "dense" else result), overflows


def layer_of(kind: str, **settings: Any) -> nn.Module:
    torch.manual_seed(0)
    settings = {"bias": False, "weight_quant": Int8WeightPerChannelFloat, "weight_bit_width": 4, **settings}
    if kind == "dense":
        return qnn.QuantLinear(40, 3, **settings)
    if kind == "padded":
        return qnn.QuantConv2d(4, 3, 3, padding=1, **settings)
    return qnn.QuantConvTranspose2d(4, 3, 3, stride=2, **settings)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", ["dense", "padded", "transposed"])
def test_raw_codes_against_a_loop(kind: str, tmp_path: Path) -> None:
    shape = (40,) if kind == "dense" else (4, 4, 4)
    model, x = network(layer_of(kind), shape), torch.randn(2, *shape, generator=torch.Generator().manual_seed(1)) + 0.8
    codes, point, weights, scale = parts(model, x)
    assert point > 0
    expected, overflows = loop(codes, point, weights, kind)
    assert overflows
    found = simulate(model, x, P, zero_point="raw")
    real = expected * (scale.reshape(-1) if kind == "dense" else scale.reshape(-1, 1, 1))
    np.testing.assert_allclose(found.outputs.numpy(), real, rtol=1e-5, atol=1e-5)
    assert sum(found.overflows.values()) == overflows
    assert sum(simulate(model, x, P).overflows.values()) != overflows  # of codes less their zero-point
    exact = simulate(model, x, zero_point="raw").outputs
    np.testing.assert_allclose(exact.numpy(), model(x).detach().numpy(), rtol=1e-4, atol=1e-4)
    if kind != "transposed":  # of which FINN's files know none with an output of this size
        path = export_qonnx(model, x[:1], tmp_path / "raw.onnx").path
        of_file = simulate(path, x.numpy(), P, zero_point="raw")
        assert sum(of_file.overflows.values()) == overflows
        np.testing.assert_allclose(of_file.outputs, real, rtol=1e-5, atol=1e-5)


@pytest.mark.filterwarnings("ignore")
def test_the_datapath_of_a_layer_is_simulated_and_reached_by_its_witness() -> None:
    quantizer = accumulator_aware(Int8WeightPerChannelFloat, "projected", 12, zero_point="raw")
    layer = qnn.QuantLinear(40, 3, bias=False, weight_quant=quantizer)
    nn.init.uniform_(layer.weight, -0.2, 1.0)
    model = network(layer, (40,))
    (found,) = certify(model, torch.zeros(1, 40)).layers
    assert found.zero_point == "raw"
    _, point, _, _ = parts(model, torch.zeros(1, 40))
    scale = model[0](torch.zeros(1, 40)).scale.detach()
    witnesses = np.stack([found.witness(end=end) for end in ("lower", "upper")])
    x = (torch.from_numpy(witnesses).float() - point) * scale
    bits = found.required_bit_width
    assert sum(simulate(model, x, bits, "check").overflows.values()) == 0
    assert sum(simulate(model, x, bits - 1, "check").overflows.values()) > 0


def test_other_names_are_refused() -> None:
    with pytest.raises(A2QError, match="'subtracted' or 'raw'"):
        simulate(nn.Identity(), torch.zeros(1), zero_point="sometimes")  # type: ignore[arg-type]
