"""Rows of weights, and the parameters behind the slices that Brevitas hands over."""

from __future__ import annotations

from typing import Any

import brevitas.nn as qnn
import pytest
import torch
from torch import Tensor, nn

from brevitas_a2q import Int8ProjectedA2QWeightPerChannelFloat
from brevitas_a2q.quant._layout import WeightLayout, unsliced

LAYERS: list[Any] = [
    nn.Conv2d(4, 6, (3, 2), groups=2),
    nn.Linear(5, 3),
    nn.ConvTranspose2d(4, 6, 3, groups=2),
    nn.ConvTranspose2d(4, 6, (4, 3), stride=(2, 1), groups=2),
    nn.ConvTranspose1d(4, 6, 5, stride=2, dilation=2),
]


@pytest.mark.parametrize("layer", LAYERS, ids=str)
def test_rows_and_back(layer: Any) -> None:
    if isinstance(layer, nn.modules.conv._ConvTransposeNd):
        layer.output_channel_dim = 1
    layout, shape = WeightLayout.of(layer), tuple(layer.weight.shape)
    rows = layout.rows(layer.weight)
    assert rows.shape == (layout.channels(shape), layout.dot_product_size(shape))
    assert sum(layout.pieces(rows.shape[1])) == rows.shape[1]
    assert torch.equal(layout.weight(rows, shape), layer.weight)


def test_only_slices_of_everything_are_passed_over() -> None:
    weight = nn.Parameter(torch.randn(4, 3))
    assert unsliced(weight[:]) is weight
    for other in (weight, weight[:2], weight.detach(), weight * 1, (weight * 1)[:], weight[:].T):
        assert unsliced(other) is other


def test_gradients_of_weights_lie_as_the_weights_do() -> None:
    """A slice in between gave contiguous ones, of which torch made copies."""
    known = {"weight_accumulator_bit_width": 14, "weight_input_bit_width": 4, "weight_input_signed": False}
    layer = qnn.QuantConv2d(3, 4, 3, weight_quant=Int8ProjectedA2QWeightPerChannelFloat, bias=False, **known)
    layer = layer.to(memory_format=torch.channels_last)
    found: list[tuple[int, ...]] = []

    def remember(grad: Tensor) -> None:
        found.append(grad.stride())

    layer.weight.register_hook(remember)
    layer(torch.rand(2, 3, 5, 5)).sum().backward()
    assert found == [layer.weight.stride()]
    assert layer.weight.stride()[1] == 1
