"""Keyword arguments of a layer are obeyed or refused by name, never lost."""

from __future__ import annotations

from typing import Any

import brevitas.nn as qnn
import pytest
import torch

import brevitas_a2q
from brevitas_a2q import accumulator_aware
from brevitas_a2q.errors import ConfigError

METHODS = {
    "projected": "Int8ProjectedA2QWeightPerChannelFloat",
    "a2q": "Int8A2QWeightPerChannelFloat",
    "a2q+": "Int8A2QPlusWeightPerChannelFloat",
}
WIDE = {"weight_input_bit_width": 4, "weight_input_signed": False, "weight_accumulator_bit_width": 14}


def layer(method: str, **keywords: Any) -> qnn.QuantLinear:
    torch.manual_seed(0)
    made = qnn.QuantLinear(16, 4, bias=False, weight_quant=getattr(brevitas_a2q, METHODS[method]), **WIDE, **keywords)
    return made.eval()


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    ("keywords", "said"),
    [
        ({"weight_quant_type": "FP"}, "weight_quant_type = 'FP'"),
        ({"weight_quant_type": "BINARY"}, "weight_quant_type = 'BINARY'"),
        ({"weight_quant_type": "TERNARY"}, "weight_quant_type = 'TERNARY'"),
        ({"weight_quant_delay_steps": 3}, "weight_quant_delay_steps = 3"),
        ({"weight_float_to_int_impl_type": "FLOOR"}, "FloorSte"),
        ({"weight_float_to_int_impl_type": "CEIL"}, "CeilSte"),
        ({"weight_float_to_int_impl_type": "STOCHASTIC_ROUND"}, "StochasticRoundSte"),
        ({"weight_bit_width": 1}, "weight_bit_width = 1"),
    ],
)
def test_what_cannot_be_obeyed_is_refused(method: str, keywords: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said) as caught:
        layer(method, **keywords)
    assert caught.value.expected


def test_rounding_towards_zero_is_that_of_a2q() -> None:
    assert layer("a2q", weight_float_to_int_impl_type="ROUND_TO_ZERO").quant_weight().value.abs().sum() > 0
    with pytest.raises(ConfigError, match="RoundToZeroSte"):
        layer("projected", weight_float_to_int_impl_type="ROUND_TO_ZERO")


def test_a_method_with_its_own_rounding_replaces_that_of_a_base_of_another() -> None:
    base = accumulator_aware(brevitas_a2q.Int8A2QWeightPerChannelFloat, "projected").let(
        float_to_int_impl_type="ROUND_TO_ZERO"
    )
    made = qnn.QuantLinear(16, 4, bias=False, weight_quant=accumulator_aware(base, "projected"), **WIDE)
    assert made.quant_weight().value.abs().sum() > 0


@pytest.mark.parametrize("method", METHODS)
def test_these_are_obeyed(method: str) -> None:
    assert layer(method, weight_bit_width=3).quant_weight().int().abs().max() <= 3
    assert layer(method, weight_signed=False).quant_weight().int().min() >= 0
    assert layer(method, weight_bit_width=1, weight_narrow_range=False).quant_weight().int().unique().tolist()[-1] == 0
    assert layer(method, weight_scaling_per_output_type="TENSOR").quant_weight().scale.numel() == 1
    scale = layer(method, weight_restrict_scaling_type="POWER_OF_TWO").quant_weight().scale
    assert torch.equal(scale.log2(), scale.log2().round())


@pytest.mark.parametrize("method", METHODS)
def test_a_width_that_nobody_chose_is_told(method: str) -> None:
    with pytest.warns(UserWarning, match="no accumulator bit width was chosen, so it is 32"):
        made = qnn.QuantLinear(16, 4, bias=False, weight_quant=getattr(brevitas_a2q, METHODS[method]))
    assert made.weight_quant.accumulator_bit_width == 32
