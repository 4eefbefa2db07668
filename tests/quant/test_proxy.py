"""No overflow and no NaN, whatever the weights, types and widths; cases are rows of upstream's measured failures."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import brevitas.nn as qnn
import pytest
import torch
from brevitas.quant import Int8Bias, Int16Bias, Int32Bias
from torch import Tensor

from brevitas_a2q.bounds import input_range
from brevitas_a2q.quant import _quantizers as quantizers

METHODS = ("A2Q", "A2QPlus", "ProjectedA2Q")
DTYPES = (torch.float64, torch.float32, torch.bfloat16, torch.float16)
Check = Callable[..., None]

# weights of 12 channels and 48 products, by name
DISTRIBUTIONS: dict[str, Callable[[], Tensor]] = {
    "normal": lambda: torch.randn(12, 48),
    "skewed": lambda: torch.randn(12, 48) + 1,
    "positive": lambda: torch.rand(12, 48),
    "constant": lambda: torch.full((12, 48), 0.1),
    "nearly constant": lambda: 0.1 + 1e-7 * torch.randn(12, 48),
    "zero": lambda: torch.zeros(12, 48),
    "one weight": lambda: torch.eye(12, 48),
    "some channels zero": lambda: torch.randn(12, 48) * (torch.arange(12) % 3 > 0).unsqueeze(1),
    "huge": lambda: torch.randn(12, 48) * 1e4,
    "tiny": lambda: torch.randn(12, 48) * 1e-7,
    "subnormal": lambda: torch.randn(12, 48) * 1e-40,
    "heavy-tailed": lambda: torch.randn(12, 48) / torch.rand(12, 48).clamp_min(1e-3),
    "outlier": lambda: torch.randn(12, 48) + 100 * torch.eye(12, 48),
}


def layer_of(
    method: str, weight: Tensor, bits: int, weight_bits: int, input_bits: int, signed: bool, **settings: Any
) -> Any:
    layer = qnn.QuantLinear(
        weight.shape[1],
        weight.shape[0],
        bias=settings.get("bias_quant") is not None,
        weight_quant=getattr(quantizers, f"Int8{method}WeightPerChannelFloat"),
        weight_bit_width=weight_bits,
        weight_accumulator_bit_width=bits,
        weight_input_bit_width=input_bits,
        weight_input_signed=signed,
        weight_budget_aware_scale=False,
        **settings,
    )
    layer.weight.data = weight
    return layer


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("method", METHODS)
def test_any_type_and_distribution(method: str, dtype: torch.dtype, signed: bool, no_overflow: Check) -> None:
    """A1, A2, A3: constant, zero and extreme channels in every type, over widths."""
    torch.manual_seed(0)
    for weight in (make().to(dtype) for make in DISTRIBUTIONS.values()):
        for bits, weight_bits, input_bits in ((2, 4, 1), (10, 4, 4), (16, 8, 8), (26, 16, 7)):
            layer = layer_of(method, weight, bits, weight_bits, input_bits, signed)
            no_overflow(layer, input_range(input_bits, signed), bits)
            layer.weight_quant(layer.weight).value.sum().backward()
            assert torch.isfinite(layer.weight.grad).all()


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("method", METHODS)
def test_widest_types(method: str, signed: bool, no_overflow: Check) -> None:
    """P up to 64, N and M up to 16, over thousands of products."""
    torch.manual_seed(0)
    for bits, size in ((31, 4096), (32, 65_536), (33, 4096), (48, 4096), (64, 4096)):
        layer = layer_of(method, torch.randn(2, size) + 2, bits, 16, 16, signed)
        no_overflow(layer, input_range(16, signed), bits)


@pytest.mark.parametrize("method", METHODS)
def test_depthwise_filled_with_one_value(method: str, no_overflow: Check) -> None:
    """A1: depthwise 3x3 filled with 0.1, P=16, N=8: upstream's A2Q+ has a worst sum of -73,440."""
    layer = qnn.QuantConv2d(
        8,
        8,
        3,
        groups=8,
        bias=False,
        weight_quant=getattr(quantizers, f"Int8{method}WeightPerChannelFloat"),
        weight_accumulator_bit_width=16,
        weight_input_bit_width=8,
        weight_input_signed=False,
    )
    torch.nn.init.constant_(layer.weight, 0.1)
    no_overflow(layer, input_range(8, False), 16)
    assert (layer.quant_weight().value > 0).all()


@pytest.mark.parametrize("method", METHODS)
def test_one_product(method: str, no_overflow: Check) -> None:
    """A2: K = 1 is NaN in upstream's A2Q+."""
    layer = layer_of(method, torch.randn(5, 1), 10, 8, 4, False)
    no_overflow(layer, input_range(4, False), 10)
    assert layer.quant_weight().value.abs().sum() > 0


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("bias_quant", [Int8Bias, Int16Bias, Int32Bias])
def test_integer_bias_is_part_of_the_sum(method: str, bias_quant: Any, no_overflow: Check) -> None:
    """A4: an integer bias takes its share of the budget, also where it alone would have overflowed."""
    torch.manual_seed(1)
    for bits in (6, 12, 16):
        for scale in (0.1, 1e-3):
            layer = layer_of(
                method, torch.randn(12, 48) * 0.05, bits, 4, 4, False, bias_quant=bias_quant, return_quant_tensor=True
            )
            layer.bias.data = torch.linspace(-4, 4, 12)
            act = qnn.QuantReLU(bit_width=4, return_quant_tensor=True, max_val=scale * 15, scaling_impl_type="const")
            layer(act(torch.rand(3, 48)))
            bias = layer.weight_quant.integer_bias()
            assert layer.weight_quant.bias_covered
            assert torch.equal(bias, _bias_as_brevitas_adds_it(layer, act))
            no_overflow(layer, input_range(4, False), bits, bias)


def _bias_as_brevitas_adds_it(layer: Any, act: Any) -> Tensor:
    x = act(torch.rand(3, 48))
    weight = layer.quant_weight(x)
    bias = layer.bias_quant(layer.bias, x, weight)
    return (bias.value.detach().double() / bias.scale.detach().double()).round().to(torch.int64)


def test_float_bias_is_not_in_the_accumulator() -> None:
    layer = qnn.QuantLinear(
        4, 4, weight_quant=quantizers.Int8ProjectedA2QWeightPerChannelFloat, weight_accumulator_bit_width=32
    )
    assert not layer.weight_quant.bias_covered


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("zero_point", [-300, -7, 0, 100, 128, 255])
def test_input_zero_point(method: str, zero_point: int, no_overflow: Check) -> None:
    """A4: an input's zero-point widens what a weight can be multiplied by."""
    torch.manual_seed(2)
    for bits in (12, 16, 20):
        layer = layer_of(method, torch.randn(12, 48), bits, 8, 8, False, weight_input_zero_point=zero_point)
        no_overflow(layer, input_range(8, False, zero_point=zero_point), bits)


@pytest.mark.parametrize("method", METHODS)
def test_narrow_inputs_leave_more_budget(method: str, no_overflow: Check) -> None:
    """A4: a narrow range is taken as it is."""
    torch.manual_seed(3)
    weight = torch.randn(12, 48)
    full = layer_of(method, weight, 10, 8, 4, True)
    narrow = layer_of(method, weight, 10, 8, 4, True, weight_input_narrow_range=True)
    no_overflow(narrow, input_range(4, True, narrow_range=True), 10)
    use = [int((x.quant_weight().value / x.quant_weight().scale).abs().sum()) for x in (full, narrow)]
    assert use[1] >= use[0]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("tile", [1, 7, 16, 48, 100])
def test_every_tile_of_a_multi_stage_accumulator(method: str, tile: int) -> None:
    torch.manual_seed(4)
    layer = layer_of(method, torch.randn(12, 48), 10, 8, 4, False, weight_accumulator_tile=tile)
    codes = layer.weight_quant.integer_weight()
    for part in codes.split(tile, dim=1):
        assert int(part.clamp_min(0).sum(1).max()) * 15 <= 511
        assert int((-part.clamp_max(0)).sum(1).max()) * 15 <= 512
    assert layer.weight_quant.accumulator_tile == tile


@pytest.mark.parametrize("method", METHODS)
def test_autocast(method: str, no_overflow: Check) -> None:
    """A: autocast to bfloat16."""
    torch.manual_seed(5)
    layer = layer_of(method, torch.randn(12, 48) + 0.5, 12, 8, 4, False)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        layer(torch.rand(2, 48)).sum().backward()
        no_overflow(layer, input_range(4, False), 12)
    assert torch.isfinite(layer.weight.grad).all()


@pytest.mark.parametrize("method", METHODS)
def test_after_steps_at_any_rate(method: str, no_overflow: Check) -> None:
    """Optimizer steps move weights, scale and norm anywhere; the integers stay in range."""
    torch.manual_seed(6)
    for rate in (1e-3, 1.0, 1e3):
        layer = layer_of(method, torch.randn(12, 48), 11, 4, 4, False)
        optimizer = torch.optim.Adam(layer.parameters(), lr=rate)
        for _ in range(3):
            optimizer.zero_grad()
            layer(torch.rand(4, 48)).mean().tanh().backward()
            optimizer.step()
            no_overflow(layer, input_range(4, False), 11)


def test_projection_uses_the_budget_to_the_unit() -> None:
    """B7: rounding to zero leaves half of it unused."""
    torch.manual_seed(7)
    layer = layer_of("ProjectedA2Q", torch.randn(12, 48), 10, 8, 4, False)
    codes = layer.weight_quant.integer_weight()
    assert (codes.clamp_min(0).sum(1) == 511 // 15).all()
    assert (codes.clamp_max(0).sum(1) == -(512 // 15)).all()
