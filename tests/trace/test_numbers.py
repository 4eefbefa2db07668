"""A number of a model that its computation depends on, and that training has changed too often to be watched."""

from __future__ import annotations

import warnings
from typing import Any

import brevitas.nn as qnn
import pytest
import torch
from torch import nn

from brevitas_a2q import certify
from brevitas_a2q.quant import Int8ProjectedA2QWeightPerTensorFloat


class Times(nn.Module):
    times = 1

    def forward(self, x: Any) -> Any:
        return sum([x] * self.times)


def test_a_certificate_looks_at_numbers_that_are_looked_at_no_more() -> None:
    """One that had many values while the model was trained may have another now: weights follow, aloud."""
    torch.manual_seed(0)
    between, options = Times(), {"weight_quant": Int8ProjectedA2QWeightPerTensorFloat, "bias": False}
    layer = qnn.QuantConv2d(4, 4, 3, weight_accumulator_bit_width=10, **options)
    net = nn.Sequential(qnn.QuantIdentity(bit_width=3, signed=False), between, layer)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its inputs have changed
        for between.times in range(1, 8):
            net(torch.rand(2, 4, 6, 6))
    between.times = 30
    with pytest.warns(UserWarning, match=r"have changed from \[0, \d+\] to \[0, 210\]; its weights follow"):
        certificate = certify(net.eval(), torch.rand(2, 4, 6, 6))
    assert certificate.holds
    assert certificate.layers["2"].input_range.upper == 210
