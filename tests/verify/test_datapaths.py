"""A zero-point can be subtracted before the products or from the sum: the certificate says which it speaks of."""

from __future__ import annotations

import warnings

import brevitas.nn as qnn
import pytest
import torch
from brevitas.quant import Int8WeightPerTensorFloat, ShiftedUint8ActPerTensorFloat
from torch import nn

from brevitas_a2q.quant._quantizers import Int8A2QPlusWeightPerChannelFloat, Int8ProjectedA2QWeightPerChannelFloat
from brevitas_a2q.verify._certify import certify


@pytest.mark.parametrize("quantizer", [Int8A2QPlusWeightPerChannelFloat, Int8ProjectedA2QWeightPerChannelFloat])
def test_sums_of_raw_codes_are_named_and_right(quantizer: object) -> None:
    torch.manual_seed(0)
    act = qnn.QuantIdentity(act_quant=ShiftedUint8ActPerTensorFloat, bit_width=3, return_quant_tensor=True)
    layer = qnn.QuantLinear(400, 6, bias=False, weight_quant=quantizer, weight_accumulator_bit_width=14)
    model = nn.Sequential(act, layer)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # Brevitas does not compute the zero-point of the output
        model(torch.randn(8, 400) + 0.8)
        (found,) = certify(model.eval(), torch.zeros(1, 400)).layers
        codes = layer.weight_quant.integer_weight()
    plus, minus = 7 * codes.clamp_min(0).sum(1), 7 * codes.clamp_max(0).sum(1)
    low, high = int(minus.min()), int(plus.max())
    (note,) = found.notes
    assert f"[{low}, {high}]" in note
    assert ("held too" in note) == (low >= -(2**13) and high < 2**13)
    assert found.holds


@pytest.mark.parametrize(("size", "bits"), [(1, 10), (2, 12), (5, 13)])
def test_taps_in_the_padding_are_no_part_of_a_sum(size: int, bits: int) -> None:
    act = qnn.QuantReLU(bit_width=4, return_quant_tensor=True)
    conv = qnn.QuantConv2d(4, 3, 3, padding=1, bias=False, weight_quant=Int8WeightPerTensorFloat, weight_bit_width=4)
    nn.init.constant_(conv.weight, 1.0)
    model = nn.Sequential(act, conv)
    model(torch.rand(1, 4, size, size))
    (found,) = certify(model.eval(), torch.rand(1, 4, size, size)).layers
    assert found.required_bit_width == bits
    taps = torch.tensor(found.witness()).reshape(4, 3, 3)
    assert int((7 * taps).sum()) == found.upper
    assert int((taps.amax(0) > 0).sum()) == min(size, 3) ** 2
