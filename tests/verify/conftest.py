"""Networks whose every kind of layer a certificate or a simulation meets."""

from __future__ import annotations

from typing import Any

import brevitas.nn as qnn
import pytest
import torch
from brevitas.quant import (
    Int8AccumulatorAwareWeightQuant,
    Int8ActPerTensorFloat,
    Int8WeightPerChannelFloat,
    Int8WeightPerTensorFloat,
    Int16Bias,
)
from torch import Tensor, nn


class Zoo(nn.Module):
    """Conv with integer bias and A2Q of Brevitas, depthwise conv, residual sum, transposed conv, two linear layers."""

    def __init__(self) -> None:
        super().__init__()
        four: dict[str, Any] = {"weight_bit_width": 4, "weight_quant": Int8WeightPerChannelFloat}
        self.quant = qnn.QuantIdentity(bit_width=4, return_quant_tensor=True)
        self.conv = qnn.QuantConv2d(
            3,
            8,
            3,
            padding=1,
            weight_quant=Int8AccumulatorAwareWeightQuant,
            weight_bit_width=4,
            weight_accumulator_bit_width=12,
            bias_quant=Int16Bias,
        )
        self.relu = qnn.QuantReLU(bit_width=4)
        self.pool = nn.MaxPool2d(2)
        self.depthwise = qnn.QuantConv2d(8, 8, 3, groups=8, padding=1, **four)
        # Brevitas cannot scale a grouped transposed convolution per channel (UPSTREAM row 9).
        plain = {**four, "weight_quant": Int8WeightPerTensorFloat, "bias": False}
        self.transposed = qnn.QuantConvTranspose2d(8, 6, 3, stride=2, groups=2, output_padding=1, **plain)
        self.hidden = qnn.QuantIdentity(act_quant=Int8ActPerTensorFloat, bit_width=4, return_quant_tensor=True)
        self.linear = qnn.QuantLinear(6, 5, bias=True, **four)
        self.head = nn.Linear(5, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool(self.relu(self.conv(self.quant(x))))
        x = self.transposed(x + self.relu(self.depthwise(x)))
        x = self.linear(-self.hidden(x).value.amax((2, 3)))
        scores: Tensor = self.head(x)
        return scores


@pytest.fixture
def zoo() -> nn.Module:
    """A :class:`Zoo` with calibrated quantizers, in evaluation mode."""
    torch.manual_seed(0)
    model = Zoo()
    for _ in range(4):
        model(torch.randn(4, 3, 8, 8))
    return model.eval()


@pytest.fixture
def images() -> Tensor:
    return torch.randn(5, 3, 8, 8, generator=torch.Generator().manual_seed(1))
