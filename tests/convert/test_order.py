"""First and last are what a model computes first and last."""

from __future__ import annotations

import brevitas.nn as qnn
import pytest
import torch
from brevitas.quant import Int8ActPerTensorFloat
from torch import Tensor, nn

from brevitas_a2q import A2QConfig, constrain_
from brevitas_a2q.convert._order import first_and_last


@pytest.mark.parametrize(
    ("calls", "expected"),
    [
        ([], {"a", "tail.c"}),
        (["x", "y"], {"a", "tail.c"}),
        (["b", "a", "b"], {"b"}),
        (["tail", "b", "a"], {"tail.b", "a"}),
        (["tail"], {"tail.b", "tail.c"}),
    ],
)
def test_by_calls_or_as_defined(calls: list[str], expected: set[str]) -> None:
    assert first_and_last(["a", "ab", "b", "tail.b", "tail.c"], calls) == expected


class HeadFirst(nn.Module):
    """Defines its head before its body, and a layer that it never calls behind both."""

    def __init__(self, linear: type[nn.Module], **options: object) -> None:
        super().__init__()
        self.head, self.stem = linear(8, 2, bias=True, **options), linear(4, 8, bias=True, **options)
        self.body, self.unused = linear(8, 8, bias=True, **options), linear(8, 8, bias=True, **options)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.relu(self.body(torch.relu(self.stem(x)))))


@pytest.mark.parametrize("quantized", [False, True])
def test_a_model_that_defines_its_head_first(quantized: bool) -> None:
    options = {"input_quant": Int8ActPerTensorFloat}
    model = HeadFirst(qnn.QuantLinear, **options) if quantized else HeadFirst(nn.Linear)
    report = constrain_(model, A2QConfig(12), torch.rand(8, 4))
    assert {row.name for row in report.skipped if row.skipped_because == "first or last layer"} == {"stem", "head"}
    assert "body" in {row.name for row in report.constrained}
