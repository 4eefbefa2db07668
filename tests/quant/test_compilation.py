"""Quantized networks are one graph to a compiler, and compute what they compute without one."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import brevitas.nn as qnn
import pytest
import torch
from brevitas.export.inference import quant_inference_mode
from brevitas.quant import Int8ActPerTensorFloat, Int32Bias, Uint8ActPerTensorFloat
from torch import Tensor, nn
from torch._dynamo.testing import CompileCounterWithBackend

from brevitas_a2q.models import QuantSpec, build_model
from brevitas_a2q.models._layers import LayerFactory
from brevitas_a2q.models._registry import MODELS
from brevitas_a2q.models._resnet import _BasicBlock
from brevitas_a2q.quant import _compilation
from brevitas_a2q.quant._activations import fused
from brevitas_a2q.quant._compilation import makes_plain_weights

pytestmark = pytest.mark.torch28

STEPS = 3  # that collect statistics


class Graphs:
    """A compiler that runs what it is given, and counts."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, graph: Any, inputs: Any) -> Callable[..., Any]:
        self.count += 1
        return graph.forward  # type: ignore[no-any-return]


def network(name: str, method: Any, **options: Any) -> nn.Module:
    torch.manual_seed(0)
    return collect_few(build_model(name, QuantSpec(method, 4, 4, 12), **options))


def collect_few(model: nn.Module) -> nn.Module:
    """Statistics of so few steps."""
    for module in model.modules():
        if hasattr(module, "collect_stats_steps"):
            module.collect_stats_steps = STEPS  # type: ignore[assignment]
    return model


def images(name: str) -> Tensor:
    return torch.rand(4, *MODELS[name].input_shape)


def test_a_graph_while_statistics_are_collected_and_one_after() -> None:
    """The same losses, gradients and states as without a compiler, step by step."""
    torch._dynamo.reset()
    plain = network("digits-cnn", "projected")
    x = images("digits-cnn")
    plain.eval()(x)  # so that ranges and scales of weights are known
    plain.train()
    fast, graphs = copy.deepcopy(plain), Graphs()
    fast.eval()(x)
    fast.train()
    run = torch.compile(fast, backend=graphs, fullgraph=True)
    for step in range(STEPS + 2):
        for model, forward in ((plain, plain), (fast, run)):
            model.zero_grad()
            forward(x).square().mean().backward()
            with torch.no_grad():
                for parameter in model.parameters():
                    parameter -= 0 if parameter.grad is None else 0.1 * parameter.grad
        assert graphs.count == 1 + (step >= STEPS)
        for (key, value), other in zip(plain.state_dict().items(), fast.state_dict().values(), strict=True):
            torch.testing.assert_close(value, other, msg=lambda text, key=key: f"{key}: {text}")


class _Shared(nn.Module):
    """One quantizer for both operands of a sum, as residual networks have it: it is called twice in a step."""

    def __init__(self) -> None:
        super().__init__()
        self.shared, self.last = (qnn.QuantReLU(act_quant=fused(Uint8ActPerTensorFloat)) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.last(self.shared(x) + self.shared(1.5 * x))
        return out


@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
def test_a_quantizer_that_is_called_twice_waits_for_the_others(backend: str) -> None:
    """Its statistics are over in the middle of a step; the graph is left when all are."""
    torch._dynamo.reset()
    plain = collect_few(_Shared())
    fast, counting = copy.deepcopy(plain), CompileCounterWithBackend(backend)
    run = torch.compile(fast, backend=counting, fullgraph=True)
    generator = torch.Generator().manual_seed(0)
    for step in range(STEPS + 2):
        x = torch.randn(3, 4, 5, 5, generator=generator)
        for model, forward in ((plain, plain), (fast, run)):
            model.zero_grad()
            forward(x).square().mean().backward()
            with torch.no_grad():
                for parameter in model.parameters():
                    parameter -= 0.1 * parameter.grad if parameter.grad is not None else 0
        assert counting.frame_count == 1 + (step >= STEPS)
        for one, other in zip(fast.state_dict().values(), plain.state_dict().values(), strict=True):
            assert torch.equal(one, other)


@pytest.mark.parametrize("training", [True, False])
def test_sums_of_a_residual_block(training: bool) -> None:
    torch._dynamo.reset()
    torch.manual_seed(0)
    layers = LayerFactory(QuantSpec("a2q+", 4, 4, 12))
    model = collect_few(nn.Sequential(layers.relu(), _BasicBlock(layers, 4, 6, 2), _BasicBlock(layers, 6, 6, 1)))
    x = torch.randn(4, 4, 8, 8)
    for _ in range(STEPS + 1):
        model(x)
    model.train(training)
    expected = copy.deepcopy(model)(x)
    graphs = Graphs()
    run = torch.compile(model, backend=graphs, fullgraph=True)
    for ours, theirs in zip(run(x), expected, strict=True):
        torch.testing.assert_close(ours, theirs)
    run(x).value.sum().backward()
    assert graphs.count == 1


@pytest.mark.parametrize("options", [{"return_quant_tensor": True}, {"bias": True, "bias_quant": Int32Bias}])
def test_weights_keep_their_type_where_it_counts(options: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def layer(**chosen: Any) -> nn.Module:
        return qnn.QuantLinear(6, 3, **{"bias": False, **chosen}, input_quant=Int8ActPerTensorFloat)  # type: ignore[no-any-return]

    assert not makes_plain_weights(layer())
    monkeypatch.setattr(_compilation, "is_dynamo_compiling", lambda: True)
    assert makes_plain_weights(layer())
    assert not makes_plain_weights(layer(**options))


def test_brevitas_finds_its_handlers_for_every_layer() -> None:
    """Its inference mode goes by the exact class of a quantizer."""
    model, x = network("digits-cnn", "projected"), images("digits-cnn")
    model(x)
    model.eval()
    with torch.no_grad():
        expected = model(x)
        with quant_inference_mode(model):
            model(x)  # in which what does not change is kept
            torch.testing.assert_close(model(x), expected)
