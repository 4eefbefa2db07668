"""Every layer type of Brevitas with one sum per output."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import brevitas.nn as qnn
import pytest
import torch
from brevitas.quant import Int8ActPerTensorFloat, Int16Bias
from torch import Tensor, nn

from brevitas_a2q.bounds import IntRange
from brevitas_a2q.quant import _quantizers as quantizers
from brevitas_a2q.quant._layers import accumulator_layers

LAYERS: dict[str, tuple[Callable[..., Any], tuple[int, ...]]] = {
    "linear": (lambda **s: qnn.QuantLinear(8, 6, **s), (2, 8)),
    "conv1d": (lambda **s: qnn.QuantConv1d(8, 6, 3, **s), (2, 8, 9)),
    "conv2d": (lambda **s: qnn.QuantConv2d(8, 6, 3, **s), (2, 8, 9, 9)),
    "conv3d": (lambda **s: qnn.QuantConv3d(8, 6, 3, **s), (2, 8, 4, 4, 4)),
    "grouped": (lambda **s: qnn.QuantConv2d(8, 6, 3, groups=2, **s), (2, 8, 9, 9)),
    "depthwise": (lambda **s: qnn.QuantConv2d(8, 8, 3, groups=8, **s), (2, 8, 9, 9)),
    "transposed1d": (lambda **s: qnn.QuantConvTranspose1d(8, 6, 3, stride=2, **s), (2, 8, 9)),
    "transposed2d": (lambda **s: qnn.QuantConvTranspose2d(8, 6, 3, stride=2, **s), (2, 8, 5, 5)),
    "transposed3d": (lambda **s: qnn.QuantConvTranspose3d(8, 6, 3, **s), (2, 8, 3, 3, 3)),
    "grouped transposed": (lambda **s: qnn.QuantConvTranspose2d(8, 6, 3, groups=2, **s), (2, 8, 5, 5)),
    "depthwise transposed": (lambda **s: qnn.QuantConvTranspose2d(8, 8, 3, groups=8, **s), (2, 8, 5, 5)),
}


def worst_case_input(layer: Any, shape: tuple[int, ...], channel: int, low: int, high: int) -> Tensor:
    """Integer input that drives one output entry of a channel as high as it goes, found by the gradient's sign."""
    x = torch.zeros(shape, requires_grad=True)
    weight = layer.quant_weight()
    codes = (weight.value / weight.scale).round().detach()
    out = layer.inner_forward_impl(x, codes, None)
    flat = out[0] if out.dim() == 2 else out[0].flatten(1)
    target = flat[channel] if flat.dim() == 1 else flat[channel, flat.shape[1] // 2]
    (gradient,) = torch.autograd.grad(target, x)
    return torch.where(gradient > 0, float(high), float(low)) * (gradient != 0)


@pytest.mark.parametrize("method", ["A2Q", "A2QPlus", "ProjectedA2Q"])
@pytest.mark.parametrize("kind", LAYERS)
def test_trains_and_holds(kind: str, method: str, no_overflow: Callable[..., None]) -> None:
    """B9: transposed and grouped transposed convolutions, with and without an integer bias."""
    torch.manual_seed(0)
    make, shape = LAYERS[kind]
    act = qnn.QuantReLU(bit_width=4, return_quant_tensor=True)
    for granularity in ("PerChannelFloat", "PerTensorFixedPoint"):
        for bias_quant in (None, Int16Bias):
            layer = make(
                bias=bias_quant is not None,
                bias_quant=bias_quant,
                weight_quant=getattr(quantizers, f"Int8{method}Weight{granularity}"),
                weight_bit_width=6,
                weight_accumulator_bit_width=11,
                return_quant_tensor=True,
            )
            out = layer(act(torch.randn(shape)))
            out.value.sum().backward()
            assert torch.isfinite(layer.weight.grad).all()
            assert float(out.bit_width) <= 11
            no_overflow(layer, IntRange(0, 15), 11, layer.weight_quant.integer_bias())


@pytest.mark.parametrize("kind", LAYERS)
def test_sums_of_the_layer_itself_stay_inside(kind: str) -> None:
    """The layer's own arithmetic, on the input that is worst for it, agrees with the bound on its weights."""
    torch.manual_seed(0)
    make, shape = LAYERS[kind]
    layer = make(
        bias=False,
        weight_quant=quantizers.Int8ProjectedA2QWeightPerChannelFloat,
        weight_bit_width=6,
        weight_accumulator_bit_width=9,
        weight_input_bit_width=4,
        weight_input_signed=False,
    )
    codes = (layer.quant_weight().value / layer.quant_weight().scale).round().detach()
    for channel in range(6):
        x = worst_case_input(layer, shape, channel, 0, 15)
        sums = layer.inner_forward_impl(x, codes, None)
        assert float(sums.max()) <= 255
        assert float(sums.min()) >= -256


def test_attention_projections() -> None:
    model = qnn.QuantMultiheadAttention(
        8,
        2,
        in_proj_input_quant=Int8ActPerTensorFloat,
        in_proj_weight_quant=quantizers.Int8ProjectedA2QWeightPerChannelFloat,
        in_proj_weight_accumulator_bit_width=14,
        out_proj_weight_quant=quantizers.Int8ProjectedA2QWeightPerChannelFloat,
        out_proj_weight_accumulator_bit_width=15,
    )
    x = torch.randn(3, 2, 8)
    model(x, x, x)[0].sum().backward()
    for name, layer in accumulator_layers(model):
        bits = {"in_proj": 14, "out_proj": 15}[name]
        assert int(layer.weight_quant.integer_weight().abs().sum(1).max()) * 128 <= 2 ** (bits - 1)


def test_output_width_is_the_accumulator() -> None:
    """B8, B9: upstream's output width ignores P, and claims 21 bits where a transposed convolution needs 25."""
    act = qnn.QuantReLU(bit_width=8, return_quant_tensor=True)
    for make, shape in ((qnn.QuantConv2d, (1, 8, 5, 5)), (qnn.QuantConvTranspose2d, (1, 8, 5, 5))):
        layer = make(
            8,
            8,
            3,
            stride=1,
            bias=False,
            weight_quant=quantizers.Int8ProjectedA2QWeightPerChannelFloat,
            weight_accumulator_bit_width=13,
            return_quant_tensor=True,
        )
        assert float(layer(act(torch.randn(shape))).bit_width) == 13


def test_layers_of_a_model_are_found_by_name() -> None:
    model = nn.Sequential(
        qnn.QuantLinear(4, 4, weight_quant=quantizers.Int8A2QWeightPerChannelFloat, weight_accumulator_bit_width=32),
        qnn.QuantLinear(4, 4),
        nn.Linear(4, 4),
    )
    assert [name for name, _ in accumulator_layers(model)] == ["0"]
