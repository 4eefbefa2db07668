"""Small networks with every kind of layer that an export meets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import brevitas.nn as qnn
import pytest
import torch
from brevitas.quant import Int8ActPerTensorFloat, Int8WeightPerChannelFloat, Int16Bias
from torch import Tensor, nn


class SmallNet(nn.Module):
    """Convolution, batch norm, depthwise convolution with a bias, pooling, linear layer: 2x6x6 in, 3 out."""

    def __init__(self, weight_quant: Any = Int8WeightPerChannelFloat, bias_quant: Any = None, **weights: Any) -> None:
        super().__init__()
        options = {"weight_quant": weight_quant, "weight_bit_width": 4, "weight_accumulator_bit_width": 32, **weights}
        self.quant = qnn.QuantIdentity(bit_width=8, return_quant_tensor=True)
        self.body = nn.Sequential(
            qnn.QuantConv2d(2, 4, 3, padding=1, bias=False, **options),
            nn.BatchNorm2d(4),
            qnn.QuantReLU(bit_width=4, return_quant_tensor=True),
        )
        self.depthwise = qnn.QuantConv2d(4, 4, 3, groups=4, bias=True, bias_quant=bias_quant, **options)
        self.relu = qnn.QuantReLU(bit_width=4, return_quant_tensor=True)
        self.pool = nn.MaxPool2d(2)
        self.head = qnn.QuantLinear(16, 3, bias=True, bias_quant=bias_quant, **options)

    def forward(self, x: Tensor) -> Any:
        x = self.relu(self.depthwise(self.body(self.quant(x))))
        return self.head(torch.flatten(self.pool(x), 1))


class ResidualNet(nn.Module):
    """A residual block whose two branches share a quantizer: 2x6x6 in, 2x6x6 out."""

    def __init__(self, weight_quant: Any = Int8WeightPerChannelFloat, **weights: Any) -> None:
        super().__init__()
        options = {"weight_quant": weight_quant, "weight_bit_width": 4, "weight_accumulator_bit_width": 32, **weights}
        self.quant = qnn.QuantIdentity(bit_width=8, return_quant_tensor=True)
        self.conv = qnn.QuantConv2d(2, 2, 3, padding=1, bias=False, **options)
        self.norm = nn.BatchNorm2d(2)
        self.shared = qnn.QuantIdentity(act_quant=Int8ActPerTensorFloat, bit_width=4, return_quant_tensor=True)
        self.last = qnn.QuantConv2d(2, 2, 1, bias=False, **options)

    def forward(self, x: Tensor) -> Any:
        x = self.quant(x)
        return self.last(self.shared(self.shared(self.norm(self.conv(x))) + self.shared(x)))


@pytest.fixture(scope="session")
def small_net() -> Callable[..., nn.Module]:
    """Builds a calibrated :class:`SmallNet` in evaluation mode; the same arguments give the same weights."""
    return lambda *args, **options: _calibrated(SmallNet, *args, **options)


@pytest.fixture(scope="session")
def residual_net() -> Callable[..., nn.Module]:
    """Builds a calibrated :class:`ResidualNet`."""
    return lambda *args, **options: _calibrated(ResidualNet, *args, **options)


@pytest.fixture(scope="session")
def image() -> Tensor:
    """One example input."""
    return torch.randn(1, 2, 6, 6, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="session")
def bias_quant() -> Any:
    """A bias quantizer of Brevitas."""
    return Int16Bias


def _calibrated(net: type[nn.Module], *args: Any, **options: Any) -> nn.Module:
    torch.manual_seed(0)
    model = net(*args, **options)
    with torch.no_grad():
        for _ in range(3):
            model(torch.randn(8, 2, 6, 6))
    return model.eval()
