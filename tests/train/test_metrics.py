"""Sparsity and entropy, against values that can be counted by hand."""

from __future__ import annotations

import brevitas.nn as qnn
import numpy as np
import pytest
import torch
from brevitas.quant import Int8ActPerTensorFloat, Int8WeightPerTensorFloat
from torch import nn

from brevitas_a2q.errors import ModelError
from brevitas_a2q.quant._quantizers import Int8ProjectedA2QWeightPerChannelFloat
from brevitas_a2q.train._metrics import LayerWeights, WeightStatistics, weight_statistics

CONSTRAINED = Int8ProjectedA2QWeightPerChannelFloat.let(accumulator_bit_width=32)


def layer(codes: list[int], bits: int = 4) -> LayerWeights:
    return LayerWeights("layer", np.array(codes), bits, True)


@pytest.mark.parametrize(
    ("codes", "zeros", "entropy"),
    [
        ([0, 0, 0, 0], 1.0, 0.0),
        ([5, 5], 0.0, 0.0),
        ([1, -1], 0.0, 1.0),
        ([0, 1, 2, 3], 0.25, 2.0),
        ([0, 0, 0, 1], 0.75, 0.8112781),
    ],
)
def test_one_layer(codes: list[int], zeros: float, entropy: float) -> None:
    found = WeightStatistics.of([layer(codes)])
    assert found is not None
    assert (found.zeros, found.entropy_bits) == (zeros, pytest.approx(entropy))
    assert found.compression == (pytest.approx(4 / entropy) if entropy else None)
    assert found.to_json()["compression"] == found.compression


def test_layers_are_pooled() -> None:
    """Two layers of one value each are not two sources of zero entropy, and their widths are weighted."""
    found = WeightStatistics.of([layer([0, 0, 0], 4), layer([7], 8)])
    assert found is not None
    assert (found.layers, found.weights, found.bit_width) == (2, 4, 5.0)
    assert found.entropy_bits == pytest.approx(0.8112781)
    assert WeightStatistics.of([]) is None


def test_hidden_layers_are_the_constrained_ones() -> None:
    act = {"input_quant": Int8ActPerTensorFloat}
    model = nn.Sequential(
        qnn.QuantLinear(4, 4, bias=False, **act),
        qnn.QuantLinear(4, 6, bias=False, weight_quant=CONSTRAINED, **act),
        qnn.QuantLinear(6, 2, bias=False, **act),
    ).eval()
    model(torch.rand(2, 4))
    hidden, everything = weight_statistics(model)
    assert (hidden.layers, hidden.weights, everything.layers, everything.weights) == (1, 24, 3, 52)


def test_without_constrained_layers_the_first_and_last_stand_apart() -> None:
    model = nn.Sequential(*(qnn.QuantLinear(2, 2, bias=False, weight_quant=Int8WeightPerTensorFloat) for _ in range(3)))
    with torch.no_grad():
        for linear, values in zip(model, ([1, 1], [0, 127], [1, 1]), strict=True):
            linear.weight.copy_(torch.tensor([values, values]))
    hidden, everything = weight_statistics(model)
    assert (hidden.zeros, everything.zeros) == (0.5, pytest.approx(1 / 6))
    assert model.training


def test_models_without_integers_are_refused() -> None:
    with pytest.raises(ModelError, match="found no quantized layer"):
        weight_statistics(nn.Sequential(nn.Linear(2, 2)))
    with pytest.raises(ModelError, match=r"layer 0: its weights are not quantized"):
        weight_statistics(nn.Sequential(qnn.QuantLinear(2, 2, weight_quant=None)))
