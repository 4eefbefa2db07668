"""Layers of Brevitas models as integers: the certificate's ends against the model's own outputs."""

from __future__ import annotations

from typing import Any

import brevitas.nn as qnn
import numpy as np
import pytest
import torch
from brevitas.quant import Int8ActPerTensorFloat, Int8Bias, Int8WeightPerChannelFloat, Int8WeightPerTensorFloat
from torch import Tensor, nn

from brevitas_a2q.errors import ModelError
from brevitas_a2q.quant._quantizers import Int8ProjectedA2QWeightPerTensorFloat
from brevitas_a2q.verify._certify import certify
from brevitas_a2q.verify._torch_model import layers_of


def test_every_layer_is_found_with_its_products_and_inputs(zoo: nn.Module, images: Tensor) -> None:
    certificate = certify(zoo, images)
    found = {layer.name: (layer.op, layer.inputs, layer.accumulator_bit_width) for layer in certificate.layers}
    assert found == {
        "conv": ("Conv", 27, 12),
        "depthwise": ("Conv", 9, None),
        "transposed": ("ConvTranspose", 16, None),  # 4 channels of a group, at most 2 x 2 taps of stride 2 meet
        "linear": ("MatMul", 6, None),
    }
    ranges = {layer.name: (layer.input_range.lower, layer.input_range.upper) for layer in certificate.layers}
    assert ranges == {"conv": (-8, 7), "depthwise": (0, 15), "transposed": (0, 30), "linear": (-7, 8)}
    assert certificate.uncovered == ("head: float",)


def test_the_model_is_left_as_it_was(zoo: nn.Module, images: Tensor) -> None:
    zoo.train()
    zoo.relu.eval()
    modes = [module.training for module in zoo.modules()]
    state = {name: value.clone() for name, value in zoo.state_dict().items()}
    certify(zoo, images)
    assert [module.training for module in zoo.modules()] == modes
    assert all(torch.equal(value, state[name]) for name, value in zoo.state_dict().items())
    assert not any("inner_forward_impl" in vars(module) for module in zoo.modules())


def test_integer_bias_is_part_of_the_sum_and_float_bias_is_not(zoo: nn.Module, images: Tensor) -> None:
    layers = {layer.name: layer for layer in layers_of(zoo, images)}
    conv = zoo.conv
    scale = zoo.quant(images).scale * conv.quant_weight(zoo.quant(images)).scale.flatten()
    assert layers["conv"].bias is not None
    assert np.array_equal(layers["conv"].bias, (conv.bias / scale).round().long().numpy())
    assert np.abs(layers["conv"].bias).max() > 0
    assert layers["linear"].bias is None
    assert layers["linear"].notes == ("its bias is not an integer and is added after the accumulator",)


@pytest.mark.parametrize(
    ("kernel", "stride", "dilation", "groups"), [(3, 2, 1, 1), (4, 2, 1, 2), (3, 1, 2, 1), (2, 3, 1, 1), (5, 2, 3, 2)]
)
def test_witness_of_a_transposed_convolution_is_reached(kernel: int, stride: int, dilation: int, groups: int) -> None:
    torch.manual_seed(kernel)
    options: dict[str, Any] = {
        "weight_quant": Int8WeightPerTensorFloat,
        "input_quant": Int8ActPerTensorFloat,
        "weight_bit_width": 4,
        "input_bit_width": 4,
    }
    geometry: dict[str, Any] = {"stride": stride, "dilation": dilation, "groups": groups}
    layer = qnn.QuantConvTranspose2d(4, 6, kernel, bias=False, **geometry, **options)
    layer(torch.randn(1, 4, 9, 9))
    certified = certify(layer.eval(), torch.randn(1, 4, 9, 9)).layers[0]
    weight = layer.quant_weight()
    codes = (weight.value / weight.scale).round().detach().double()
    # Any image whose every tap is at its extreme for one output: the largest sum over all sign patterns of phases.
    reach = torch.nn.functional.conv_transpose2d(
        torch.ones(1, 4, 9, 9).double(), codes.abs(), None, stride, 0, 0, groups, dilation
    )
    positive = torch.nn.functional.conv_transpose2d(
        torch.ones(1, 4, 9, 9).double(), codes.clamp_min(0), None, stride, 0, 0, groups, dilation
    )
    high = positive * 7 + (reach - positive) * 8
    low = -positive * 8 - (reach - positive) * 7
    assert max(certified.sums.upper) == int(high.max())
    assert min(certified.sums.lower) == int(low.min())


def test_attention_has_its_projections(images: Tensor) -> None:
    attention = qnn.QuantMultiheadAttention(
        16, 2, batch_first=True, in_proj_input_quant=Int8ActPerTensorFloat, out_proj_input_quant=Int8ActPerTensorFloat
    )
    x = torch.randn(2, 5, 16)
    attention(x, x, x)
    certificate = certify(attention, (x, x, x))
    assert certificate.uncovered == ("QuantMultiheadAttention: products of two activations",)
    assert [(layer.name, layer.inputs) for layer in certificate.layers] == [("in_proj", 16), ("out_proj", 16)]


def test_a_layer_that_runs_twice_has_the_union_of_its_inputs() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.quant = qnn.QuantIdentity(bit_width=4, return_quant_tensor=True)
            self.linear = qnn.QuantLinear(4, 4, bias=False)

        def forward(self, x: Tensor) -> Any:
            x = self.quant(x)
            return self.linear(x) + self.linear(torch.relu(x))

    layer = layers_of(Twice(), torch.randn(2, 4))[0]
    assert (layer.x_lo.item(), layer.x_hi.item()) == (-8, 7)


@pytest.mark.parametrize("aware", [False, True])
def test_calls_whose_integers_differ_are_listed_one_by_one(aware: bool) -> None:
    """An integer bias has other codes at the scale of another input; so have weights that leave room for it."""

    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = (qnn.QuantReLU(bit_width=n, return_quant_tensor=True) for n in (6, 2))
            weights = {"weight_quant": Int8WeightPerTensorFloat}
            if aware:
                weights = {"weight_quant": Int8ProjectedA2QWeightPerTensorFloat, "weight_accumulator_bit_width": 10}
            self.layer = qnn.QuantConv2d(4, 4, 1, bias=True, bias_quant=Int8Bias, **weights)

        def forward(self, x: Tensor) -> Any:
            return self.layer(self.first(x)) + self.layer(self.second(9 * x)) + self.layer(self.first(x + 1))

    torch.manual_seed(0)
    model = Twice()
    model(torch.rand(2, 4, 6, 6))
    found = certify(model.eval(), torch.zeros(1, 4, 6, 6))
    assert [layer.name for layer in found.layers] == ["layer", "layer (call 2)"]
    assert [layer.input_range.upper for layer in found.layers] == [63, 3]
    assert found.layers[0].bias_sha256 != found.layers[1].bias_sha256
    assert found.uncovered == ()
    assert not aware or found.holds


def quantized(layer: nn.Module) -> nn.Module:
    return nn.Sequential(qnn.QuantIdentity(return_quant_tensor=True), layer)


class Squashed(nn.Module):
    def forward(self, x: Any) -> Any:
        return x.set(value=torch.sigmoid(x.value))


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (nn.Sequential(nn.Linear(4, 4)), "model Sequential: found no quantized layer"),
        (nn.Sequential(qnn.QuantLinear(4, 4, bias=False)), "layer 0: found an input whose integers cannot be bounded"),
        (quantized(qnn.QuantLinear(4, 4, bias=False, weight_quant=None)), "layer 1: its weights are not integers"),
        (
            nn.Sequential(qnn.QuantIdentity(return_quant_tensor=True), Squashed(), qnn.QuantLinear(4, 4, bias=False)),
            "layer 2: found an input whose integers cannot be bounded.*QuantIdentity",
        ),
    ],
)
def test_layers_that_cannot_be_certified_are_named(model: nn.Module, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        certify(model, torch.randn(2, 4))


def test_example_inputs_are_asked_for() -> None:
    with pytest.raises(ModelError, match=r"expected certify\(model, example_inputs\)"):
        certify(quantized(qnn.QuantLinear(4, 4, bias=False)))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_integers_are_recovered_in_every_precision(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    linear = qnn.QuantLinear(
        64, 8, bias=False, input_quant=Int8ActPerTensorFloat, weight_quant=Int8WeightPerChannelFloat
    )
    linear(torch.randn(4, 64))
    layer = layers_of(linear.eval().to(dtype), torch.randn(4, 64, dtype=dtype))[0]
    assert np.abs(layer.weights).max() == 127


def test_what_is_not_covered_is_said() -> None:
    model = quantized(qnn.QuantLinear(4, 4, bias=False))
    model.add_module("unused", nn.ModuleDict({"linear": qnn.QuantLinear(4, 4), "lstm": qnn.QuantLSTM(4, 4)}))
    model.forward = lambda x: model[1](model[0](x))  # type: ignore[method-assign]
    assert certify(model, np.zeros((2, 4))).uncovered == (
        "unused.linear: did not run on the example",
        "unused.lstm: recurrent",
    )


@pytest.mark.filterwarnings("ignore:No quant bias cache")
def test_an_integer_bias_behind_inputs_of_a_scale_per_channel() -> None:
    """It is an integer at the scale of each channel's own sums."""

    class PerChannel(Int8ActPerTensorFloat):
        scaling_per_output_channel = True
        per_channel_broadcastable_shape = (1, 4, 1, 1)
        scaling_stats_permute_dims = (1, 0, 2, 3)

    torch.manual_seed(0)
    act = qnn.QuantIdentity(act_quant=PerChannel, bit_width=4, return_quant_tensor=True)
    layer = qnn.QuantConv2d(4, 4, 3, groups=4, bias=True, bias_quant=Int8Bias, weight_quant=Int8WeightPerTensorFloat)
    layer.bias.data.fill_(5.0)
    model = nn.Sequential(act, layer)
    model(torch.randn(4, 4, 6, 6) * torch.tensor([1.0, 2.0, 3.0, 4.0]).reshape(1, 4, 1, 1))
    model.eval()
    made: list[Any] = []
    layer.bias_quant.register_forward_hook(lambda _, __, bias: made.append(bias))
    (found,) = certify(model, torch.zeros(1, 4, 6, 6)).layers
    codes = (made[-1].value / made[-1].scale).detach().round().flatten().long().tolist()
    rows = (layer.quant_weight().value / layer.quant_weight().scale).detach().round().long().reshape(4, -1).tolist()
    assert found.notes == ()
    assert list(found.sums.upper) == [
        sum(max(-8 * w, 7 * w) for w in row) + max(0, b) for row, b in zip(rows, codes, strict=True)
    ]
