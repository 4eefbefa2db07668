"""One scale, penalty, initialization, and the report of how full each accumulator is."""

from __future__ import annotations

from typing import Any

import brevitas.nn as qnn
import pytest
import torch
from torch import Tensor, nn

from brevitas_a2q.bounds import IntRange
from brevitas_a2q.quant import _quantizers as quantizers
from brevitas_a2q.quant._euclidean import project_centred
from brevitas_a2q.quant._init import ep_init_, scale_init_
from brevitas_a2q.quant._penalty import a2q_penalty
from brevitas_a2q.quant._state import accumulator_state


def model(
    method: str, bits: int = 12, weight_bits: int = 6, make: Any = qnn.QuantConv2d, **settings: Any
) -> nn.Sequential:
    torch.manual_seed(0)
    quantizer = getattr(quantizers, f"Int8{method}WeightPerChannelFloat")
    layer = make(
        16,
        8,
        3,
        bias=False,
        weight_quant=quantizer,
        weight_bit_width=6,
        weight_accumulator_bit_width=bits,
        **settings,
    )
    return nn.Sequential(qnn.QuantReLU(bit_width=4, return_quant_tensor=True), layer)


X = torch.randn(2, 16, 7, 7, generator=torch.Generator().manual_seed(0))


def error(layer: Any, weight: Tensor) -> float:
    return float((layer.quant_weight().value.detach() - weight).square().sum() / weight.square().sum())


@pytest.mark.parametrize("method", ["A2Q", "A2QPlus", "ProjectedA2Q"])
def test_one_scale(method: str) -> None:
    """B6: upstream's two copies of ``s`` are 4-5x apart after 500 Adam steps; here there is one."""
    net = model(method)
    optimizer = torch.optim.Adam(net.parameters(), lr=0.01)
    for _ in range(20):
        optimizer.zero_grad()
        net(X).square().mean().backward()
        optimizer.step()
    scales = [name for name, _ in net[1].weight_quant.named_parameters() if "scaling" in name]
    assert scales == ["tensor_quant.scaling_impl.value"]
    weight = net[1].quant_weight()
    ratio = weight.value / weight.scale
    torch.testing.assert_close(ratio, ratio.round(), rtol=0, atol=1e-3)


def test_penalty_is_the_excess_of_norms_in_bits() -> None:
    net = model("A2Q", bits=10)
    net(X)
    layer = net[1]
    proxy, scale = layer.weight_quant, layer.quant_weight().scale.flatten()
    cap = torch.log2(scale * ((2**9 - 1) // 15))
    expected = (proxy.tensor_quant.log_norm.flatten() - cap).clamp_min(0).sum()
    torch.testing.assert_close(a2q_penalty(net), 1e-3 * expected)
    torch.testing.assert_close(a2q_penalty(net, strength=2.0), 2 * expected)
    a2q_penalty(net).backward()
    assert (proxy.tensor_quant.log_norm.grad > 0).all()
    assert (proxy.tensor_quant.scaling_impl.value.grad < 0).all()


def test_penalty_brings_norms_below_their_cap() -> None:
    net = model("A2Q", bits=10)
    net(X)
    optimizer = torch.optim.SGD(net.parameters(), lr=1.0)
    for _ in range(20):
        optimizer.zero_grad()
        a2q_penalty(net, strength=0.5).backward()
        optimizer.step()
    assert accumulator_state(net).layers[0].capped_channels == 0


@pytest.mark.parametrize(
    "net", [nn.Linear(2, 2), nn.ReLU(), model("ProjectedA2Q")], ids=["float", "empty", "projected"]
)
def test_penalty_of_other_models_is_a_zero_with_a_gradient(net: nn.Module) -> None:
    penalty = a2q_penalty(net)
    penalty.backward()
    assert float(penalty.detach()) == 0


@pytest.mark.parametrize(
    ("kind", "groups"), [(qnn.QuantConv2d, 1), (qnn.QuantConv2d, 4), (qnn.QuantConvTranspose2d, 4)]
)
@pytest.mark.parametrize("method", ["A2Q", "A2QPlus"])
def test_ep_init_is_closer_to_the_float_weights(method: str, kind: Any, groups: int) -> None:
    """B10: all layer types, and norms that fit after centring."""
    net = model(method, bits=11, make=kind, groups=groups)
    weight = net[1].weight.detach().clone()
    net(X)
    before = error(net[1], weight)
    assert ep_init_(net, X) == ["1"]
    assert error(net[1], weight) < before
    proxy = net[1].weight_quant
    scale, budget = proxy.scale_and_budget(net[1].weight)
    assert (proxy.tensor_quant.norm_excess(proxy.layout.per_channel(scale), budget) <= 1e-5).all()
    rows = proxy.layout.rows(net[1].weight.detach()).double()
    centred = rows - rows.mean(1, keepdim=True) * proxy.tensor_quant.centred
    norm = proxy.tensor_quant.log_norm.exp2().flatten().double()
    torch.testing.assert_close(centred.abs().sum(1), norm, rtol=1e-4, atol=0)


def test_centred_projection_is_centred_and_fits() -> None:
    rows = torch.randn(20, 50, dtype=torch.float64) + 0.7
    for radius in (0.1, 3.0, 1e3):
        out = project_centred(rows, torch.full((20, 1), radius, dtype=torch.float64))
        assert float(out.sum(1).abs().max()) < 1e-9
        assert float(out.abs().sum(1).max()) <= radius * (1 + 1e-12)


@pytest.mark.parametrize("method", ["A2Q", "A2QPlus", "ProjectedA2Q"])
@pytest.mark.parametrize("scale", ["Float", "FixedPoint"])
def test_scale_search_loses_less(method: str, scale: str) -> None:
    """B7: scales that cover the largest weight leave nothing at a narrow accumulator."""
    torch.manual_seed(0)
    quantizer = getattr(quantizers, f"Int8{method}WeightPerChannel{scale}")
    layer = qnn.QuantLinear(
        144,
        8,
        bias=False,
        weight_quant=quantizer,
        weight_accumulator_bit_width=14,
        weight_input_bit_width=4,
        weight_input_signed=False,
        weight_budget_aware_scale=False,
    )
    weight = layer.weight.detach().clone()
    before, start = error(layer, weight), layer.quant_weight().scale.detach().clone()
    assert scale_init_(layer) == [""]
    assert error(layer, weight) < before
    if scale == "FixedPoint":
        steps = (layer.quant_weight().scale / start).log2()
        assert torch.equal(steps, steps.round())


def test_projection_starts_at_the_better_scale_by_itself() -> None:
    """B7: at K=576, W4A4 and P=11 upstream starts all zero (use 0, error 1.0)."""
    torch.manual_seed(0)
    layer = qnn.QuantLinear(
        576,
        16,
        bias=False,
        weight_quant=quantizers.Int8ProjectedA2QWeightPerChannelFloat,
        weight_bit_width=4,
        weight_accumulator_bit_width=11,
        weight_input_bit_width=4,
        weight_input_signed=False,
    )
    layer.weight.data.normal_()
    assert error(layer, layer.weight.detach()) < 0.60
    state = accumulator_state(layer).layers[0]
    assert state.mean_use is not None
    assert state.mean_use > 0.98


def test_state_tells_use_and_what_is_not_covered() -> None:
    net = model("A2Q", bits=10)
    row = accumulator_state(net).layers[0]
    assert (row.inputs, row.mean_use) == (None, None)
    net(X)
    row = accumulator_state(net).layers[0]
    codes = net[1].weight_quant.integer_weight()
    use = torch.maximum(codes.clamp_min(0).sum(1) * 15 / 511, -codes.clamp_max(0).sum(1) * 15 / 512)
    assert row.inputs == IntRange(0, 15)
    assert row.max_use == pytest.approx(float(use.max()))
    assert row.zero_weights == pytest.approx(float((codes == 0).double().mean()))
    assert row.bias_covered
    assert "max use" in str(accumulator_state(net))
    fc = qnn.QuantLinear(4, 4, weight_quant=quantizers.Int8A2QWeightPerChannelFloat, weight_accumulator_bit_width=32)
    assert not accumulator_state(fc).layers[0].bias_covered


def test_norms_per_tile() -> None:
    net = model("A2Q", bits=10, weight_accumulator_tile=48)
    net(X)
    ep_init_(net)
    assert net[1].weight_quant.tensor_quant.log_norm.shape == (8, 3)
    for part in net[1].weight_quant.integer_weight().split(48, dim=1):
        assert int(part.abs().sum(1).max()) <= 511 // 15
