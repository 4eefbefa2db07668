"""Models that go another way where gradients are on."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import brevitas.nn as qnn
import pytest
import torch
from torch import Tensor, is_grad_enabled, nn

from brevitas_a2q import certify
from brevitas_a2q._trace import questions
from brevitas_a2q.bounds import IntRange
from brevitas_a2q.quant import Int8ProjectedA2QWeightPerTensorFloat


class Asking(nn.Module):
    """Doubles its integers where the answer is yes."""

    def __init__(self, ask: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self.ask = ask
        self.act = qnn.QuantReLU(bit_width=4, return_quant_tensor=True)
        weights: Any = {"weight_quant": Int8ProjectedA2QWeightPerTensorFloat, "weight_accumulator_bit_width": 10}
        self.layer = qnn.QuantLinear(4, 4, bias=False, **weights)

    def forward(self, x: Tensor) -> Tensor:
        x = self.act(x).value
        return self.layer(x + x if self.ask(x) else x)


QUESTIONS: dict[str, Callable[[Tensor], Any]] = {
    "with gradients": lambda x: torch.is_grad_enabled(),
    "without": lambda x: not torch.is_grad_enabled(),
    "required": lambda x: x.requires_grad,
    "function": lambda x: x.grad_fn is not None,
}


@pytest.mark.parametrize("name", QUESTIONS)
def test_both_ways_are_certified_and_within_the_budget(name: str) -> None:
    model, x = Asking(QUESTIONS[name]), torch.rand(3, 4)
    model(x)
    model.eval()
    certificate = certify(model, x)
    assert (certificate.holds, certificate.uncovered) == (True, ())
    assert certificate.layers["layer"].input_range.upper == 30
    assert model.layer.weight_quant.remembered_range() == IntRange(0, 30)


def test_a_model_that_does_not_run_with_gradients_is_listed() -> None:
    model = Asking(lambda x: x.requires_grad and x.numpy().sum() > 0)
    certificate = certify(model.eval(), torch.rand(3, 4))
    assert any(
        "test_questions.py" in line and "asks whether gradients are on" in line for line in certificate.uncovered
    )


def test_pytorchs_own_function_is_back_behind_the_last_trace_of_any_thread() -> None:
    before, told = torch.is_grad_enabled, list[str]()
    inside, outside = threading.Event(), threading.Event()

    def other() -> None:
        with questions.questions(lambda: told.append("other")):
            inside.set()
            outside.wait()
            torch.is_grad_enabled()

    thread = threading.Thread(target=other)
    with questions.questions(lambda: told.append("first")):
        thread.start()
        inside.wait()
        torch.is_grad_enabled()
    outside.set()
    thread.join()
    assert told == ["first", "other"]
    assert torch.is_grad_enabled is before is is_grad_enabled
