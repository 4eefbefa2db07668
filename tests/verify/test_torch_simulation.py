"""Models with limited accumulators: as before where nothing overflows, and where it does, what the sums wrap to."""

from __future__ import annotations

from typing import Any

import brevitas.nn as qnn
import pytest
import torch
from brevitas.quant import Int8ActPerTensorFloat, Int8WeightPerTensorFloat
from torch import Tensor, nn

from brevitas_a2q.errors import A2QError
from brevitas_a2q.verify._certify import certify
from brevitas_a2q.verify._simulate import simulate


@pytest.mark.parametrize("overflow", ["wrap", "saturate", "check"])
def test_wide_accumulators_change_nothing(zoo: nn.Module, images: Tensor, overflow: Any) -> None:
    with torch.no_grad():
        expected = zoo(images)
    outputs, overflows = simulate(zoo, images, 32, overflow)
    assert torch.allclose(outputs, expected, atol=1e-6)
    assert set(overflows) == {"conv", "depthwise", "transposed", "linear"}
    assert not any(overflows.values())


def test_its_own_targets_hold_where_the_certificate_does(zoo: nn.Module, images: Tensor) -> None:
    assert certify(zoo, images).holds
    result = simulate(zoo, images, overflow="check")
    assert not any(result.overflows.values())
    layers = {layer.name: layer for layer in certify(zoo, images).layers}
    sizes = {"conv": 5 * 8 * 64, "depthwise": 5 * 8 * 16, "transposed": 5 * 6 * 10 * 10, "linear": 5 * 5}
    assert result.dot_products == sizes
    pixels, taps = 5 * 4 * 4, 8 * 3 * 3 * 3  # of the transposed convolution: each pixel meets its group's channels
    whole = sum(sizes[n] * layers[n].inputs for n in sizes if n != "transposed") + sizes["conv"]  # an integer bias
    assert whole < result.additions <= whole + pixels * taps


LAYERS = {
    "linear": lambda o: qnn.QuantLinear(4, 6, **o),
    "conv": lambda o: qnn.QuantConv2d(4, 6, 3, padding=1, stride=2, **o),
    "same": lambda o: qnn.QuantConv2d(4, 6, 3, padding="same", stride=2, **o),
    "conv1d": lambda o: qnn.QuantConv1d(4, 6, 3, dilation=2, groups=2, **o),
    "transposed": lambda o: qnn.QuantConvTranspose2d(4, 6, 3, padding=1, stride=2, output_padding=1, **o),
}
SHAPES = {
    "linear": (3, 7, 4),
    "conv": (3, 4, 9, 8),
    "same": (3, 4, 9, 8),
    "conv1d": (3, 4, 12),
    "transposed": (3, 4, 5, 5),
}


@pytest.mark.parametrize("kind", LAYERS)
def test_outputs_are_the_wrapped_sums(kind: str) -> None:
    torch.manual_seed(1)
    options = {
        "input_quant": Int8ActPerTensorFloat,
        "weight_quant": Int8WeightPerTensorFloat,
        "weight_bit_width": 4,
        "input_bit_width": 4,
        "bias": False,
    }
    layer = LAYERS[kind](options)
    x = torch.randn(SHAPES[kind])
    layer(x)
    layer.eval()
    with torch.no_grad():
        exact = layer(x)
    scale = (layer.input_quant(x).scale * layer.quant_weight().scale).detach()
    sums = (exact.double() / scale.double()).round().long()
    wrapped = (sums + 16) % 32 - 16
    result = simulate(layer, x, 5)
    assert torch.equal((result.outputs.double() / scale.double()).round().long(), wrapped)
    assert sum(result.overflows.values()) == int((wrapped != sums).sum()) > 0


def test_layers_that_return_quant_tensors_keep_their_type() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(
        qnn.QuantIdentity(bit_width=4, return_quant_tensor=True),
        qnn.QuantLinear(16, 8, bias=False, return_quant_tensor=True),
    )
    model(torch.randn(4, 16))
    outputs, overflows = simulate(model.eval(), torch.randn(4, 16), 8, "saturate")
    assert outputs.scale.numel() == 1
    assert int((outputs.value / outputs.scale).round().abs().max()) <= 128
    assert overflows["1"] > 0


def test_widths_go_by_name(zoo: nn.Module, images: Tensor) -> None:
    result = simulate(zoo, images, {"depthwise": 4})
    assert [name for name, count in result.overflows.items() if count] == ["depthwise"]
    with pytest.raises(A2QError, match="found a width for 'deepwise'; expected names among conv, depthwise"):
        simulate(zoo, images, {"deepwise": 4})


def test_a_layer_that_runs_twice_is_bounded_by_its_inputs_of_each_time() -> None:
    torch.manual_seed(0)
    linear = qnn.QuantLinear(16, 4, bias=False, weight_quant=Int8WeightPerTensorFloat, weight_bit_width=4)
    quant = qnn.QuantIdentity(bit_width=4, scaling_impl_type="const", scaling_init=8.0, return_quant_tensor=True)

    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.quant, self.linear = quant, linear

        def forward(self, x: Tensor) -> Any:
            x = self.quant(x)
            return self.linear(torch.relu(x)), self.linear(x + x)

    model = Twice().eval()
    x = 20 * torch.randn(64, 16)
    with torch.no_grad():
        exact = model(x)
    scale = linear.quant_weight().scale.detach()
    (once, twice), overflows = simulate(model, x, 9, "wrap")
    for found, expected in ((once, exact[0]), (twice, exact[1])):
        sums = (expected / scale).round().long()
        wrapped = (sums + 256) % 512 - 256
        assert torch.equal((found / scale).round().long(), wrapped)
    assert overflows["linear"] > 0


def test_tiles_of_a_strided_transposed_convolution_are_those_of_its_phases(zoo: nn.Module, images: Tensor) -> None:
    exact, counted = simulate(zoo, images, 20, "check").outputs, simulate(zoo, images, 20, "check", tile=4)
    assert torch.equal(counted.outputs, exact)
    assert not any(counted.overflows.values())
