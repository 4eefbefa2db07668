"""Batch norms are folded where that changes nothing: not where a layer or a norm has another part to play."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from brevitas_a2q.convert._batch_norm import fold_batch_norms_

FORWARDS: dict[str, tuple[Callable[..., Tensor], int]] = {
    "one behind each": (lambda net, x: net.m(net.d(net.n(net.c(x)))), 2),
    "a layer that runs twice": (lambda net, x: net.m(net.c(net.n(net.c(x)))), 0),
    "a norm that runs twice": (lambda net, x: net.n(net.d(net.n(net.c(x)))), 0),
    "a layer that is read twice": (lambda net, x: net.n(y := net.c(x)) + y, 0),
    "weights multiplied elsewhere": (lambda net, x: net.n(net.c(x)) + F.conv2d(x, net.c.weight), 0),
    "a norm's numbers used elsewhere": (lambda net, x: net.n(net.c(x)) * net.n.weight[0], 0),
}


@pytest.mark.parametrize("case", FORWARDS)
def test_folding_changes_no_output(case: str) -> None:
    forward, folded = FORWARDS[case]

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.c, self.d = nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1)
            self.n, self.m = nn.BatchNorm2d(3), nn.BatchNorm2d(3)

        def forward(self, x: Tensor) -> Tensor:
            return forward(self, x)

    torch.manual_seed(0)
    model, x = Net().eval(), torch.randn(2, 3, 4, 4)
    with torch.no_grad():
        for norm in (model.n, model.m):
            for tensor in (norm.running_mean, norm.weight, norm.bias):
                tensor.normal_()
            norm.running_var.uniform_(0.5, 2)
        before = model(x)
        assert fold_batch_norms_(model) == folded
        assert torch.allclose(model(x), before, atol=1e-5)
