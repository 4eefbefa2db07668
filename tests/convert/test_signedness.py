"""Which tensors of a float model are never negative: by running it, and by what the converter makes of it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from brevitas.nn.quant_layer import QuantNonLinearActLayer
from torch import Tensor, nn

from brevitas_a2q import A2QConfig, constrain_
from brevitas_a2q.convert._signedness import never_negative
from brevitas_a2q.convert._tracing import trace

UNSIGNED: dict[str, Callable[[Tensor], Tensor]] = {
    "clamp method": lambda x: x.clamp(0, 6),
    "clamp": lambda x: torch.clamp(x, min=0),
    "clip": lambda x: x.clip(0.0, 6.0),
    "clamp_min": lambda x: x.clamp_min(0),
    "hardtanh": lambda x: F.hardtanh(x, 0.0, 6.0),
    "relu_": lambda x: F.relu_(x + 1),
    "relu_ method": lambda x: x.relu_(),
    "relu6": F.relu6,
    "abs": lambda x: x.abs(),
    "sigmoid": torch.sigmoid,
    "softplus": F.softplus,
    "softmax": lambda x: x.softmax(1),
    "larger": lambda x: torch.maximum(x, x.clamp(0, 6)),
    "sum": lambda x: F.relu(x) + F.relu(-x),
    "mean": lambda x: F.relu(x).mean((2, 3), keepdim=True),
    "average pool": lambda x: F.avg_pool2d(F.relu(x), 2, divisor_override=3),
    "flattened": lambda x: F.relu(x).view(x.size(0), -1),
    "flattened to its own size": lambda x: F.relu(x).view(-1, 4 * 7 * 7),
    "part": lambda x: F.relu(x)[:, :2],
    "dropout": lambda x: F.dropout(F.relu(x)),
    "bilinear": lambda x: F.interpolate(F.relu(x), scale_factor=2, mode="bilinear"),
}
SIGNED: dict[str, Callable[[Tensor], Tensor]] = {
    "clamp": lambda x: x.clamp(-1, 6),
    "no lower limit": lambda x: x.clamp(max=6),
    "hardtanh": lambda x: F.hardtanh(x),
    "difference": lambda x: F.relu(x) - F.relu(-x),
    "shifted": lambda x: F.relu(x) - 0.1,
    "negative": lambda x: F.relu(x) * -2,
    "elu": F.elu,
    "silu": F.silu,
    "joined": lambda x: torch.cat([x, F.relu(x)], 1),
    "bicubic": lambda x: F.interpolate(F.relu(x), scale_factor=2, mode="bicubic"),
}


class Net(nn.Module):
    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


def is_unsigned(function: Callable[[Tensor], Tensor]) -> bool:
    net = Net(function)
    graph = trace(net)
    assert graph is not None
    tensors = [node for node in graph.nodes if node.target != "size"]
    found = never_negative(graph, dict(net.named_modules()), tensors, lambda node: node.target == "view")
    *_, last, _ = graph.nodes
    return last in found


@pytest.mark.parametrize("name", UNSIGNED)
def test_never_negative(name: str) -> None:
    assert is_unsigned(UNSIGNED[name])
    assert float(UNSIGNED[name](torch.randn(2, 4, 7, 7)).min()) >= 0


@pytest.mark.parametrize("name", SIGNED)
def test_perhaps_negative(name: str) -> None:
    assert not is_unsigned(SIGNED[name])
    torch.manual_seed(0)
    assert float(SIGNED[name](5 * torch.randn(2, 4, 7, 7)).min()) < 0


def test_a_parameter_may_turn_negative() -> None:
    class Shifted(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.offset = nn.Parameter(torch.ones(4, 1, 1))

        def forward(self, x: Tensor) -> Tensor:
            return F.relu(x) + self.offset

    net = Shifted()
    graph = trace(net)
    assert graph is not None
    found = never_negative(graph, {"": net}, [n for n in graph.nodes if n.op != "get_attr"], lambda _: False)
    assert [node.name for node in found] == ["relu"]


@pytest.mark.parametrize(
    "activation", [lambda x: x.clamp(0, 6), lambda x: F.hardtanh(x, 0.0, 6.0), lambda x: F.relu_(x), F.relu]
)
def test_a_converted_model_spends_no_bit_on_the_sign(activation: Callable[[Tensor], Tensor]) -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.second(activation(self.first(x)))

    net = Two()
    constrain_(net, A2QConfig(accumulator_bit_width=16))
    quantizers = [m for m in net.modules() if isinstance(m, QuantNonLinearActLayer)]
    assert [bool(q.act_quant.is_signed) for q in quantizers] == [True, False]
