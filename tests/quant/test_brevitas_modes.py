"""Brevitas' own ways of running a model: calibration, bias correction, inference mode, other types, compilation."""

from __future__ import annotations

import warnings
from typing import Any

import brevitas.nn as qnn
import pytest
import torch
from brevitas.inject.enum import ScalingImplType
from brevitas.quant import Int8WeightPerChannelFloat, Int32Bias
from torch import Tensor, nn

from brevitas_a2q.errors import ModelError
from brevitas_a2q.quant import _quantizers as quantizers
from brevitas_a2q.quant._layers import accumulator_layers, fixed_input_ranges

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # deprecations of their own, and an optional package
    from brevitas.export.inference.manager import quant_inference_mode
    from brevitas.graph.calibrate import bias_correction_mode, calibration_mode
    from brevitas.graph.gpfq import gpfq_mode
    from brevitas.graph.gptq import gptq_mode
    from brevitas.graph.quantize import layerwise_quantize, preprocess_for_quantize, quantize
from brevitas.quant import Int8ActPerTensorFloat

METHODS = ("A2Q", "A2QPlus", "ProjectedA2Q")


def model(method: str, bias_quant: Any = Int32Bias) -> nn.Sequential:
    torch.manual_seed(0)
    quantizer = getattr(quantizers, f"Int8{method}WeightPerChannelFloat")
    return nn.Sequential(
        qnn.QuantIdentity(return_quant_tensor=True),
        qnn.QuantConv2d(3, 6, 3, bias=False, weight_quant=quantizer, weight_accumulator_bit_width=18),
        nn.BatchNorm2d(6),
        qnn.QuantReLU(bit_width=4, return_quant_tensor=True),
        qnn.QuantConv2d(
            6, 6, 3, bias_quant=bias_quant, weight_quant=quantizer, weight_bit_width=4, weight_accumulator_bit_width=12
        ),
        nn.Flatten(),
    )


def holds(net: nn.Module) -> None:
    for _, layer in accumulator_layers(net):
        proxy = layer.weight_quant
        codes, inputs, top = proxy.integer_weight(), proxy.input_range(), 2 ** (proxy.accumulator_bit_width - 1)
        bias = proxy.integer_bias() if proxy.integer_bias() is not None else torch.zeros(len(codes), dtype=torch.int64)
        plus, minus = codes.clamp_min(0).sum(1), (-codes.clamp_max(0)).sum(1)
        assert int((plus * inputs.hi - minus * inputs.lo + bias.clamp_min(0)).max()) < top
        assert int((minus * inputs.hi - plus * inputs.lo - bias.clamp_max(0)).max()) <= top


@pytest.mark.parametrize("method", METHODS)
def test_calibration_and_bias_correction(method: str) -> None:
    net, x = model(method).eval(), torch.randn(2, 3, 8, 8)
    with torch.no_grad():
        with calibration_mode(net):
            net(x)
        with bias_correction_mode(net):
            net(x)
    assert net[1].bias is not None  # added by bias correction
    net(x)
    holds(net)


@pytest.mark.parametrize("cache", [False, True])
@pytest.mark.parametrize("method", METHODS)
def test_inference_mode(method: str, cache: bool) -> None:
    """B9: quant_inference_mode."""
    net, x = model(method).eval(), torch.randn(2, 3, 8, 8)
    expected = net(x)
    with torch.no_grad(), quant_inference_mode(net, cache_quant_weight=cache):
        net(x)
        assert torch.equal(net(x), expected)
    assert torch.equal(net(x), expected)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("method", METHODS)
def test_whole_model_in_another_type(method: str, dtype: torch.dtype) -> None:
    """A: types reached by `.to`, before and after the first step."""
    x = torch.randn(2, 3, 8, 8)
    for early in (True, False):
        net = model(method)
        if not early:
            net(x)
        net.to(dtype)
        out = net(x.to(dtype))
        out.float().sum().backward()
        assert out.dtype == dtype
        assert all(torch.isfinite(p.grad).all() for p in net.parameters() if p.grad is not None)
        holds(net)


class FrozenScale(Int8WeightPerChannelFloat):
    """Brevitas' own weights, at a scale that does not follow them; as that of the projection."""

    scaling_impl_type = ScalingImplType.PARAMETER_FROM_STATS


def one_layer(weight_quant: Any, groups: int = 1, **settings: Any) -> tuple[nn.Module, Any, Tensor]:
    """A network whose second layer has a weight quantizer, that layer, and correlated inputs."""
    torch.manual_seed(0)
    act = qnn.QuantReLU(bit_width=4, return_quant_tensor=True)
    layer = qnn.QuantConv1d(
        48, 8, 1, groups=groups, bias=False, weight_quant=weight_quant, weight_bit_width=6, **settings
    )
    x = torch.randn(256, 8) @ torch.randn(8, 48) + 0.3 * torch.randn(256, 48)
    net = nn.Sequential(act, layer).eval()
    net(x[..., None])
    return net, layer, x[..., None]


def after_gpfq(net: nn.Module, x: Tensor) -> Tensor:
    with torch.no_grad(), fixed_input_ranges(net), gpfq_mode(net) as session:
        for _ in range(session.num_layers):
            session.model(x)
            session.update()
    return net(x).detach()


def test_gpfq_as_with_brevitas_own_quantizer() -> None:
    """B9: it refuses quantizers that need an input; with the known range they need not be given one."""
    kind = quantizers.Int8ProjectedA2QWeightPerChannelFloat
    own, _, x = one_layer(FrozenScale)
    expected = after_gpfq(own, x)
    wide, _, _ = one_layer(kind, weight_accumulator_bit_width=24)
    assert torch.allclose(after_gpfq(wide, x), expected, atol=1e-5)
    narrow, layer, _ = one_layer(kind, weight_accumulator_bit_width=10)
    before = layer.weight.detach().clone()
    after_gpfq(narrow, x)
    assert not torch.equal(layer.weight, before)
    holds(narrow)


@pytest.mark.parametrize("groups", [1, 4])
def test_gptq_is_refused_by_name(groups: int) -> None:
    """What it spreads over other columns the projection of the whole row would undo."""
    kind = quantizers.Int8ProjectedA2QWeightPerChannelFloat
    net, layer, x = one_layer(kind, groups, weight_accumulator_bit_width=12)
    layer.weight_quant.layer_name = "net.1"
    before = net(x)
    with torch.no_grad(), fixed_input_ranges(net), gptq_mode(net) as session:
        session.model(x)
        with pytest.raises(ModelError, match=r"(?s)net.1.*GPTQ.*quantize_post_training_"):
            session.update()
    layer._forward_pre_hooks.clear()
    assert torch.equal(net(x), before)


def test_layerwise_and_graph_quantization() -> None:
    torch.manual_seed(0)
    float_model = nn.Sequential(nn.Conv2d(3, 6, 3), nn.ReLU(), nn.Conv2d(6, 6, 3), nn.ReLU(), nn.Conv2d(6, 4, 3))
    settings = {
        "weight_quant": quantizers.Int8ProjectedA2QWeightPerChannelFloat,
        "weight_accumulator_bit_width": 14,
        "bias_quant": Int32Bias,
    }
    x = torch.randn(2, 3, 12, 12)
    layers = {nn.Conv2d: (qnn.QuantConv2d, {**settings, "input_quant": Int8ActPerTensorFloat})}
    layerwise = layerwise_quantize(nn.Sequential(*float_model), layers)
    layerwise(x)
    holds(layerwise)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the tracer uses what torch deprecates
        graph = preprocess_for_quantize(float_model)
        graph = quantize(
            graph, compute_layer_map={nn.Conv2d: (qnn.QuantConv2d, {**settings, "return_quant_tensor": True})}
        )
    graph(x)
    assert len(list(accumulator_layers(graph))) == 3
    holds(graph)


@pytest.mark.parametrize("method", ["A2Q", "ProjectedA2Q"])
@pytest.mark.torch28
def test_compiled_equals_eager(method: str) -> None:
    torch._dynamo.reset()
    net, x = model(method, bias_quant=None)[3:], torch.randn(2, 6, 6, 6)
    net(x)
    net.eval()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Brevitas reads values inside of the graph, which torch comments on
        compiled = torch.compile(net, backend="eager")
        torch.testing.assert_close(compiled(x), net(x))
    compiled(x).sum().backward()
    assert torch.isfinite(net[1].weight.grad).all()
    holds(net)
