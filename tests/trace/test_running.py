"""A model that runs inside of its own run leaves that one as it was."""

from __future__ import annotations

from typing import Any

import brevitas.nn as qnn
import torch
from torch import Tensor, nn

from brevitas_a2q import certify
from brevitas_a2q.quant import Int8ProjectedA2QWeightPerTensorFloat


class Upsampling(nn.Module):
    """A transposed convolution that is asked for one of the two sizes that its stride allows."""

    def __init__(self) -> None:
        super().__init__()
        self.act = qnn.QuantReLU(bit_width=4, return_quant_tensor=True)
        weights: Any = {"weight_quant": Int8ProjectedA2QWeightPerTensorFloat, "weight_accumulator_bit_width": 10}
        self.layer = qnn.QuantConvTranspose2d(4, 4, 3, stride=2, bias=False, **weights)

    def forward(self, x: Tensor) -> Any:
        return self.layer(self.act(x), output_size=[12, 12])


def test_a_run_that_learns_leaves_the_size_that_was_asked_for() -> None:
    model = Upsampling()
    for _ in range(2):
        assert model(torch.rand(1, 4, 5, 5)).shape[2:] == (12, 12)
    assert certify(model, torch.rand(3, 4, 5, 5)).holds
