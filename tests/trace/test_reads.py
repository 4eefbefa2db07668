"""Values that a model reads to decide what it computes, and what hooks or hands make of integers, are named."""

from __future__ import annotations

from typing import Any

import brevitas.nn as qnn
import numpy as np
import pytest
import torch
from brevitas.quant import Int8WeightPerTensorFloat
from torch import Tensor, nn

from brevitas_a2q.errors import ModelError
from brevitas_a2q.verify._certify import certify


class Reading(nn.Module):
    """Reads its activations in one way, and goes on by what it has read."""

    def __init__(self, read: Any) -> None:
        super().__init__()
        self.act = qnn.QuantReLU(bit_width=4, return_quant_tensor=True)
        self.layer = qnn.QuantLinear(8, 4, bias=False, weight_quant=Int8WeightPerTensorFloat)
        self.read = read

    def forward(self, x: Tensor) -> Tensor:
        quantized = self.act(x)
        y = self.layer(quantized)
        return y if self.read(quantized.value) else -y


@pytest.mark.parametrize(
    "read",
    [
        lambda v: sum(v.tolist()[0]) > 0,
        lambda v: v.numpy().sum() > 0,
        lambda v: np.asarray(v).sum() > 0,
        lambda v: v.sum().item() > 0,
        lambda v: v.sum() > 0,
        lambda v: max(v[0]) > 0,
        lambda v: len(torch.nonzero(v)) > 3,
        lambda v: len(v[v > 0]) > 3,
        lambda v: torch.from_dlpack(v).sum() > 0,
        lambda v: len(torch.unique(v)) > 3,
    ],
    ids=["tolist", "numpy", "array", "item", "bool", "iteration", "nonzero", "mask", "dlpack", "unique"],
)
def test_values_that_are_read_are_named(read: Any) -> None:
    found = certify(Reading(read).eval(), torch.rand(2, 8))
    assert any("test_reads.py:" in line and "reads values of the input" in line for line in found.uncovered)


def test_shapes_and_sizes_are_no_values() -> None:
    found = certify(Reading(lambda v: v.shape[0] > 1 and v[0].numel() > 3 and v.dim() == 2).eval(), torch.rand(2, 8))
    assert found.uncovered == ()


def test_numbers_made_of_what_was_read_are_no_constants() -> None:
    class Copied(Reading):
        def forward(self, x: Tensor) -> Tensor:
            copied = torch.from_numpy(self.act(x).value.numpy() * 1.0)
            return self.layer(self.act(copied + copied))

    found = certify(Copied(None).eval(), torch.zeros(2, 8))
    assert (found.layers[0].input_range.lower, found.layers[0].input_range.upper) == (0, 15)


@pytest.mark.parametrize("inside", [False, True], ids=["proxy", "inside"])
def test_what_hooks_make_of_a_quantizers_integers_is_not_known(inside: bool) -> None:
    model = Reading(lambda _: True).eval()
    proxy = model.act.act_quant
    hooked = proxy.fused_activation_quant_proxy if inside else proxy

    def doubled(_: Any, __: Any, output: Any) -> None:
        (output[0] if inside else output.value).mul_(2)

    hooked.register_forward_hook(doubled)
    with pytest.raises(ModelError, match="hooks of act"):
        certify(model, torch.zeros(2, 8))


def test_weights_that_are_multiplied_by_hand_are_named() -> None:
    class ByHand(Reading):
        def forward(self, x: Tensor) -> Tensor:
            quantized = self.act(x)
            other = torch.nn.functional.linear(quantized.value, self.layer.quant_weight().value)
            return self.layer(quantized) + other

    found = certify(ByHand(None).eval(), torch.rand(2, 8))
    assert found.layers[0].name == "layer"
    assert "layer: its weights are multiplied outside of it, in ByHand" in found.uncovered
    assert any("integers and quantized weights by mm" in line for line in found.uncovered)
