"""Weights are quantized once while nothing changes, and again after anything has."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import brevitas.nn as qnn
import pytest
import torch
from brevitas.quant import Int8ActPerTensorFloat
from torch import Tensor, nn

from brevitas_a2q import Int8A2QWeightPerChannelFloat, Int8ProjectedA2QWeightPerChannelFloat, certify
from brevitas_a2q.errors import A2QError
from brevitas_a2q.quant._held import held_weights


def layer(quantizer: Any = Int8A2QWeightPerChannelFloat) -> Any:
    torch.manual_seed(0)
    made = qnn.QuantLinear(
        16, 4, bias=False, input_quant=Int8ActPerTensorFloat, weight_quant=quantizer, weight_accumulator_bit_width=12,
    )  # fmt: skip
    made(torch.randn(8, 16))
    return made.eval()


def counted(model: Any, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    calls, quantize = [0], model.weight_quant.tensor_quant.forward

    def count(*given: Any) -> Any:
        calls[0] += 1
        return quantize(*given)

    monkeypatch.setattr(model.weight_quant.tensor_quant, "forward", count)
    return calls


def test_once_inside_and_every_time_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    model, x = layer(), torch.randn(8, 16)
    calls = counted(model, monkeypatch)
    wanted = model(x)
    with held_weights():
        assert torch.equal(model(x), wanted)
        with held_weights():
            assert torch.equal(model(x), wanted)
    assert calls == [2]
    model(x)
    assert calls == [3]


def weights_behind_the_back(model: Any) -> None:
    model.weight.data.mul_(-0.5)  # torch counts no version of this


def parameters_of_the_quantizer(model: Any) -> None:
    with torch.no_grad():
        for parameter in model.weight_quant.tensor_quant.parameters():
            parameter.sub_(1.0)


def the_result(model: Any) -> None:
    model.quant_weight().value.data.mul_(3)


@pytest.mark.parametrize("change", [weights_behind_the_back, parameters_of_the_quantizer, the_result])
@pytest.mark.parametrize("quantizer", [Int8A2QWeightPerChannelFloat, Int8ProjectedA2QWeightPerChannelFloat])
def test_what_changes_is_seen(change: Callable[[Any], None], quantizer: Any) -> None:
    held, fresh, x = layer(quantizer), layer(quantizer), torch.randn(8, 16)
    with held_weights():
        held(x)
        change(held)
        found = held(x)
    fresh(x)
    change(fresh)
    assert torch.equal(found, fresh(x))


class Stateful(nn.Module):
    """Runs its layer twice, with other weights the second time."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = layer()

    def forward(self, x: Tensor) -> Tensor:
        first = self.layer(x)
        self.layer.weight.data.neg_()
        return first + self.layer(x)


def test_no_certificate_speaks_of_weights_that_the_model_changes() -> None:
    """The next run has other weights again; held ones are made anew within the run all the same."""
    model, x = Stateful().eval(), torch.randn(8, 16)
    with pytest.raises(A2QError, match="weight changes while the model runs"):
        certify(model, x)
    with held_weights():
        held = model(x)
    assert torch.equal(held, torch.zeros_like(held))
