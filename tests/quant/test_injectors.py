"""Extending Brevitas' quantizers and users' own."""

from __future__ import annotations

from typing import Any

import brevitas.nn as qnn
import brevitas.quant as bq
import pytest
import torch
from brevitas.quant import fixed_point, scaled_int, shifted_scaled_int
from brevitas.quant.binary import SignedBinaryWeightPerTensorConst
from brevitas.quant.ternary import SignedTernaryWeightPerTensorConst

from brevitas_a2q.errors import A2QError, ConfigError, ModelError
from brevitas_a2q.quant import _quantizers as quantizers
from brevitas_a2q.quant._accumulator_aware import accumulator_aware


class OwnQuantizer(bq.Int8WeightPerChannelFloat):
    """A user's subclass."""

    bit_width = 3
    narrow_range = False


INPUT = {"weight_input_bit_width": 4, "weight_input_signed": False}


@pytest.mark.parametrize("method", ["a2q", "a2q+", "projected"])
@pytest.mark.parametrize(
    "base",
    [
        bq.Int8WeightPerTensorFloat,
        bq.Int8WeightPerChannelFloat,
        fixed_point.Int8WeightPerTensorFixedPoint,
        fixed_point.Int8WeightPerChannelFixedPoint,
        scaled_int.Int8WeightPerChannelFloatMSE,
        fixed_point.Int8WeightPerTensorFixedPointMSE,
        SignedTernaryWeightPerTensorConst,
        OwnQuantizer,
    ],
    ids=lambda base: base.__name__,
)
def test_scale_width_and_granularity_are_kept(base: Any, method: str) -> None:
    torch.manual_seed(0)
    plain = qnn.QuantLinear(32, 6, bias=False, weight_quant=base)
    extended = qnn.QuantLinear(32, 6, bias=False, weight_quant=accumulator_aware(base, method, 10), **INPUT)
    extended.weight.data = plain.weight.data.clone()
    want, got = plain.quant_weight(), extended.quant_weight()
    assert torch.equal(got.scale, want.scale)
    assert torch.equal(got.bit_width, want.bit_width)
    codes = (got.value / got.scale).detach().round()
    assert float(codes.clamp_min(0).sum(1).max()) * 15 <= 511
    got.value.sum().backward()
    if method == "projected":
        wide = qnn.QuantLinear(32, 6, bias=False, weight_quant=accumulator_aware(base, method, 32), **INPUT)
        wide.weight.data = plain.weight.data.clone()
        torch.testing.assert_close(wide.quant_weight().value, want.value)


def test_not_narrow_uses_the_lowest_code() -> None:
    layer = qnn.QuantLinear(32, 6, weight_quant=accumulator_aware(OwnQuantizer, accumulator_bit_width=32), **INPUT)
    assert layer.weight_quant.tensor_quant.code_range == (-4, 3)


def test_keyword_goes_before_the_quantizers_own_width() -> None:
    quantizer = accumulator_aware(bq.Int8WeightPerChannelFloat, "a2q", accumulator_bit_width=14, tile=8)
    layer = qnn.QuantLinear(32, 6, weight_quant=quantizer, weight_accumulator_bit_width=11)
    assert (layer.weight_quant.accumulator_bit_width, layer.weight_quant.accumulator_tile) == (11, 8)
    with pytest.warns(UserWarning, match="no accumulator bit width was chosen"):
        default = qnn.QuantLinear(32, 6, weight_quant=accumulator_aware(bq.Int8WeightPerChannelFloat))
    assert (default.weight_quant.accumulator_bit_width, default.weight_quant.method) == (32, "projected")


def test_no_room_for_centring_means_a2q() -> None:
    quantizer = accumulator_aware(bq.Int8WeightPerChannelFloat, "a2q+", 32)
    assert qnn.QuantConv2d(8, 8, 3, groups=8, weight_quant=quantizer).weight_quant.method == "a2q"
    assert qnn.QuantLinear(1, 8, weight_quant=quantizer).weight_quant.method == "a2q"
    assert qnn.QuantConv2d(8, 8, 3, groups=4, weight_quant=quantizer).weight_quant.method == "a2q+"


def test_learned_bit_width() -> None:
    quantizer = accumulator_aware(bq.Int8WeightPerChannelFloat, accumulator_bit_width=10)
    layer = qnn.QuantLinear(32, 6, weight_quant=quantizer, weight_bit_width_impl_type="parameter", **INPUT)
    assert layer.weight_quant.tensor_quant.code_range == (-127, 127)
    layer.quant_weight().value.sum().backward()


@pytest.mark.parametrize(
    ("base", "message"),
    [
        (SignedBinaryWeightPerTensorConst, "is not an integer quantizer"),
        (shifted_scaled_int.ShiftedUint8WeightPerTensorFloat, "is asymmetric"),
        (shifted_scaled_int.ShiftedUint8WeightPerChannelFloat, "is asymmetric"),
        (scaled_int.Int4WeightPerTensorFloatDecoupled, "is not an integer quantizer with one scale"),
        (int, "expected a Brevitas weight quantizer"),
    ],
)
def test_other_quantizers_are_refused(base: Any, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        accumulator_aware(base)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"method": "a2q++"}, "found method = 'a2q\\+\\+'"),
        ({"accumulator_bit_width": 1}, "found accumulator_bit_width = 1"),
        ({"accumulator_bit_width": 65}, "from 2 to 64"),
        ({"tile": 0}, "found accumulator_tile = 0"),
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(A2QError, match=message):
        accumulator_aware(bq.Int8WeightPerChannelFloat, **settings)


def test_keywords_out_of_range_are_refused() -> None:
    for keyword, value in (("accumulator_bit_width", 1), ("accumulator_bit_width", 65), ("accumulator_tile", 0)):
        with pytest.raises(ConfigError, match=f"{keyword} = {value}"):
            qnn.QuantLinear(
                4,
                4,
                weight_quant=accumulator_aware(bq.Int8WeightPerChannelFloat, accumulator_bit_width=32),
                **{f"weight_{keyword}": value},
            )


def test_a_ready_made_quantizer_takes_other_settings() -> None:
    quantizer = accumulator_aware(quantizers.Int8ProjectedA2QWeightPerChannelFloat, "a2q", accumulator_bit_width=13)
    layer = qnn.QuantLinear(8, 2, weight_quant=quantizer, weight_input_bit_width=8, weight_input_signed=False)
    assert (layer.weight_quant.method, layer.weight_quant.accumulator_bit_width) == ("a2q", 13)
