"""Layers whose weights the model itself makes or changes while it runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import brevitas.nn as qnn
import pytest
import torch
from brevitas.quant import SignedBinaryWeightPerTensorConst
from torch import Tensor, nn
from torch.nn.utils import prune

from brevitas_a2q import certify
from brevitas_a2q.errors import ModelError

Change = Callable[[Any, Tensor], None]


class Changing(nn.Module):
    def __init__(self, change: Change | None = None) -> None:
        super().__init__()
        self.act = qnn.QuantIdentity(bit_width=4)
        self.layer = qnn.QuantConv2d(2, 2, 3, bias=False, weight_bit_width=4)
        self.change = change

    def forward(self, x: Tensor) -> Tensor:
        if self.change is not None:
            self.change(self.layer, x)
        return self.layer(self.act(x))  # type: ignore[no-any-return]


def _replace(layer: Any, x: Tensor) -> None:
    layer.weight = nn.Parameter(torch.randn(2, 2, 3, 3))


def _set_data(layer: Any, x: Tensor) -> None:
    layer.weight.data = torch.randn(2, 2, 3, 3)


@pytest.mark.parametrize(
    "change",
    [
        lambda layer, x: layer.weight.data.copy_(x[:1, :, :3, :3].expand(2, -1, -1, -1)),
        lambda layer, x: layer.weight.data.mul_(2),
        _replace,
        _set_data,
    ],
    ids=["of the input", "doubled", "replaced", "other data"],
)
def test_weights_of_the_next_run_are_not_certified(change: Change) -> None:
    with pytest.raises(ModelError, match="changes while the model runs"):
        certify(Changing(change).eval(), torch.zeros(1, 2, 4, 4))


@pytest.mark.parametrize("norm", [nn.utils.spectral_norm, nn.utils.parametrizations.weight_norm])
def test_weights_that_are_made_of_the_same_numbers_in_each_run_are(norm: Callable[[nn.Module], nn.Module]) -> None:
    model = Changing().eval()
    norm(model.layer)
    assert len(certify(model, torch.zeros(1, 2, 4, 4)).layers) == 1


def test_weights_that_brevitas_clamps_where_they_are_stay_so() -> None:
    model = Changing().eval()
    model.layer = qnn.QuantConv2d(2, 2, 3, bias=False, weight_quant=SignedBinaryWeightPerTensorConst).eval()
    assert len(certify(model, torch.zeros(1, 2, 4, 4)).layers) == 1


def test_quantizers_are_called_by_keyword_too() -> None:
    class Named(Changing):
        def forward(self, x: Tensor) -> Tensor:
            return self.layer(self.act.act_quant(x=x))  # type: ignore[no-any-return]

    found = certify(Named().eval(), torch.zeros(1, 2, 4, 4)).layers["layer"].input_range
    assert (found.lower, found.upper) == (-8, 7)


def test_pruned_weights_are_those_of_the_last_step() -> None:
    """Pruning makes them in each run, so that those of the run before are not the ones that were trained last."""
    model = Changing()
    prune.l1_unstructured(model.layer, "weight", amount=0.5)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    x = torch.randn(2, 2, 5, 5)
    model(x).square().sum().backward()
    optimizer.step()
    found = certify(model.eval(), x)
    assert found.uncovered == ()
    model(x)
    assert certify(model, x) == found
