"""Integer biases of every width and type: their codes leave room, whatever the scale."""

from __future__ import annotations

from typing import Any

import brevitas.nn as qnn
import pytest
import torch
from brevitas.quant import Int8Bias, Int16Bias, Int32Bias
from brevitas.quant_tensor import IntQuantTensor
from torch import Tensor

from brevitas_a2q.bounds import accumulator_range
from brevitas_a2q.quant import _quantizers as quantizers

METHODS = ("A2Q", "A2QPlus", "ProjectedA2Q")
DTYPES = (torch.float32, torch.float64, torch.bfloat16, torch.float16)


def layer_of(method: str, bias: Any, dtype: torch.dtype, bits: int = 12) -> Any:
    torch.manual_seed(0)
    return qnn.QuantLinear(
        32,
        6,
        bias=True,
        bias_quant=bias,
        dtype=dtype,
        weight_quant=getattr(quantizers, f"Int8{method}WeightPerChannelFloat"),
        weight_bit_width=7,
        weight_accumulator_bit_width=bits,
        weight_input_bit_width=4,
        weight_input_signed=False,
    ).eval()


def input_of(dtype: torch.dtype, scale: float = 0.05) -> IntQuantTensor:
    values = torch.zeros(1, 32, dtype=dtype), torch.tensor(scale, dtype=dtype), torch.tensor(0.0, dtype=dtype)
    return IntQuantTensor(*values, torch.tensor(4.0), False, False)


def codes_of(value: Any) -> Tensor:
    assert torch.isfinite(value.value).all()
    assert torch.isfinite(value.scale).all()
    return (value.value.detach().double() / value.scale.detach().double()).nan_to_num(0.0).round().long()


def check(layer: Any, x: IntQuantTensor, bits: int) -> None:
    weight = layer.quant_weight(x)
    rows, bias = codes_of(weight), codes_of(layer.bias_quant(layer.bias, x, weight)).flatten()
    allowed = accumulator_range(bits)
    high = (15 * rows.clamp_min(0)).sum(1) + bias.clamp_min(0)
    low = (15 * rows.clamp_max(0)).sum(1) + bias.clamp_max(0)
    assert int(high.max()) in allowed
    assert int(low.min()) in allowed


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("bias", [Int8Bias, Int16Bias, Int32Bias], ids=["int8", "int16", "int32"])
@pytest.mark.parametrize("method", METHODS)
def test_at_every_exponent_of_the_scale(method: str, bias: Any, dtype: torch.dtype) -> None:
    reach = 16 if dtype == torch.float16 else 1100 if dtype == torch.float64 else 126
    for bits in (6, 12, 24):
        layer, x = layer_of(method, bias, dtype, bits), input_of(dtype)
        layer.bias.data = torch.tensor([3.0, -3.0, 0.1, -1.0, 300.0, 0.0], dtype=dtype)
        layer.quant_weight(x)
        for exponent in (-reach, -0.8 * reach, -0.4 * reach, 0, reach):
            layer.weight_quant.tensor_quant.scaling_impl.value.data.fill_(exponent)
            check(layer, x, bits)
            layer.zero_grad()
            layer.quant_weight(x).value.float().sum().backward()
            for name, parameter in layer.named_parameters():
                assert parameter.grad is None or torch.isfinite(parameter.grad).all(), name


def test_a_bias_that_no_scale_makes_small_enough_is_limited_by_name() -> None:
    layer, x = layer_of("A2Q", Int32Bias, torch.float16, 6), input_of(torch.float16, 1e-4)
    layer.bias.data.fill_(6e4)
    seen: list[Any] = []
    layer.bias_quant.register_forward_hook(lambda module, args, output: seen.append(output))
    with pytest.warns(
        UserWarning, match=r"layer QuantLinear.*its bias has no room in 6 accumulator bits.*limited to 15"
    ):
        layer.quant_weight(x)
    check(layer, x, 6)  # told once; warnings are errors here
    assert codes_of(seen[-1]).abs().max() == 15  # hooks are given what is added


def test_scales_of_two_types_multiply_as_in_brevitas() -> None:
    layer, x = layer_of("ProjectedA2Q", Int32Bias, torch.float16), input_of(torch.float32, 0.013)
    layer.bias.data = torch.linspace(-30, 30, 6).half()
    check(layer, x, 12)
    weight = layer.quant_weight(x)
    assert torch.equal(layer.weight_quant.integer_bias(), codes_of(layer.bias_quant(layer.bias, x, weight)).flatten())


@pytest.mark.parametrize("bias", [Int8Bias, Int16Bias, Int32Bias], ids=["int8", "int16", "int32"])
@pytest.mark.parametrize("method", METHODS)
def test_the_gradient_of_the_inputs_scale_is_finite(method: str, bias: Any) -> None:
    """Where a bias over the square of its scale is more than the type holds."""
    layer, x = layer_of(method, bias, torch.float16, bits=20), input_of(torch.float16, 0.001)
    scale = x.scale.clone().requires_grad_()
    layer(x.set(scale=scale, value=x.value + scale)).sum().backward()
    assert scale.grad is not None
    assert torch.isfinite(scale.grad)
    for name, parameter in layer.named_parameters():
        assert parameter.grad is None or torch.isfinite(parameter.grad).all(), name
