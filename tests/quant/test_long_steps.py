"""Training at any rate, copies made before the first use, recomputation: nothing becomes NaN or starts over."""

from __future__ import annotations

import copy
from typing import Any

import brevitas.nn as qnn
import pytest
import torch
from torch import nn
from torch.optim.swa_utils import SWALR, AveragedModel, get_ema_multi_avg_fn, update_bn
from torch.utils.checkpoint import checkpoint

from brevitas_a2q import certify
from brevitas_a2q.bounds import IntRange
from brevitas_a2q.quant import _quantizers as quantizers
from brevitas_a2q.quant._scaling import LearnedScaling

METHODS = ("A2Q", "A2QPlus", "ProjectedA2Q")


def network(method: str, granularity: str = "PerChannelFloat") -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        qnn.QuantReLU(bit_width=4, scaling_impl_type="const", scaling_init=4.0, return_quant_tensor=True),
        qnn.QuantConv2d(
            4,
            8,
            3,
            bias=False,
            weight_quant=getattr(quantizers, f"Int8{method}Weight{granularity}"),
            weight_bit_width=4,
            weight_accumulator_bit_width=12,
        ),
    )


@pytest.mark.parametrize("granularity", ["PerChannelFloat", "PerTensorFixedPoint"])
@pytest.mark.parametrize("method", METHODS)
def test_an_unbounded_loss_at_a_large_rate(method: str, granularity: str) -> None:
    for seed, (name, rate) in enumerate([("SGD", 0.22), ("SGD", 10.0), ("AdamW", 1.0)]):
        model = network(method, granularity)
        layer: Any = model[1]
        torch.manual_seed(seed)
        layer.weight.data = (torch.rand(8, 4, 3, 3) * 2 - 1) * 10
        options = {"momentum": 0.9} if name == "SGD" else {}
        optimizer = getattr(torch.optim, name)(layer.parameters(), lr=rate, weight_decay=1e-4, **options)
        target = torch.randn(8, 4, 3, 3)
        model(torch.rand(2, 4, 6, 6))
        for _ in range(12):
            optimizer.zero_grad()
            (layer.quant_weight().value * target).sum().backward()
            optimizer.step()
            assert torch.isfinite(layer.quant_weight().value).all()
            assert torch.isfinite(layer.weight_quant.tensor_quant.scaling_impl.value).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16, torch.bfloat16], ids=str)
def test_the_gradient_of_an_exponent_is_finite_and_leads_inside(dtype: torch.dtype) -> None:
    scaling = network("A2Q").to(dtype)[1].weight_quant.tensor_quant.scaling_impl
    assert isinstance(scaling, LearnedScaling)
    scaling.init_done = True
    for exponent in (-1e4, -20.0, 0.0, 20.0, 1e4):
        for incoming in (1.0, -1.0, float("inf"), -float("inf")):
            scaling.value.data.fill_(exponent)
            scaling.value.grad = None
            scale = scaling(torch.zeros(1, dtype=dtype), 7.0)
            assert torch.isfinite(scale).all()
            assert (scale > 0).all()
            scale.backward(torch.full_like(scale, incoming))
            gradient = scaling.value.grad
            assert torch.isfinite(gradient.square()).all()
            if abs(exponent) == 1e4:
                assert bool((gradient * exponent >= 0).all())


@pytest.mark.parametrize("method", METHODS)
def test_an_average_made_before_the_first_use_is_one(method: str) -> None:
    model = network(method)
    average, x = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.9)), torch.rand(2, 4, 6, 6)
    optimizer = torch.optim.SGD(model.parameters(), 0.01)
    for _ in range(5):
        optimizer.zero_grad()
        (model(x) - 1).square().mean().backward()
        optimizer.step()
        average.update_parameters(model)
    before = [parameter.detach().clone() for parameter in average.module[1].weight_quant.parameters()]
    output = average.eval()(x).detach()
    after = list(average.module[1].weight_quant.parameters())
    assert all(torch.equal(*pair) for pair in zip(before, after, strict=True))
    assert float((output - model.eval()(x).detach()).abs().mean()) < 0.6 * float(output.abs().mean())


@pytest.mark.parametrize("use_buffers", [False, True])
@pytest.mark.parametrize("used_before", [False, True])
@pytest.mark.parametrize("method", METHODS)
def test_stochastic_weight_averaging(method: str, used_before: bool, use_buffers: bool) -> None:
    """An average of weights (and, where asked for, of what is stored beside them) keeps the accumulator's width."""
    torch.manual_seed(1)
    model = nn.Sequential(nn.BatchNorm2d(4), *network(method))
    batches = [torch.randn(2, 4, 6, 6) for _ in range(4)]
    if used_before:
        model(batches[0])
    average = AveragedModel(model, use_buffers=use_buffers)
    optimizer = torch.optim.SGD(model.parameters(), 0.05)
    schedule = SWALR(optimizer, swa_lr=0.5, anneal_epochs=2)
    for batch in batches:
        optimizer.zero_grad()
        (model(batch) - 1).square().mean().backward()
        optimizer.step()
        average.update_parameters(model)
        average(batch)  # evaluated between two updates, as after each epoch
        schedule.step()
    update_bn(batches, average)
    proxy = average.module[2].weight_quant
    assert int(average.n_averaged) == len(batches)
    assert proxy.input_range() == IntRange(0, 15)
    rows = proxy.integer_weight()
    assert rows.any()
    highest, lowest = 15 * rows.clamp_min(0).sum(1).max(), 15 * rows.clamp_max(0).sum(1).min()
    assert -(2**11) <= int(lowest) <= int(highest) < 2**11
    [layer] = certify(average, torch.zeros(1, 4, 6, 6)).layers
    assert layer.holds
    assert (min(layer.sums.lower), max(layer.sums.upper)) == (min(0, int(lowest)), max(0, int(highest)))


@pytest.mark.parametrize("reentrant", [False, True])
@pytest.mark.parametrize("method", METHODS)
def test_recomputation_around_the_first_forward(method: str, reentrant: bool) -> None:
    model, x = network(method), torch.rand(2, 4, 6, 6, requires_grad=True)
    plain = copy.deepcopy(model)
    for each, run in ((plain, plain), (model, lambda v: checkpoint(model, v, use_reentrant=reentrant))):
        run(x).square().mean().backward()
        assert each[1].weight.grad is not None
    for ours, theirs in zip(model[1].parameters(), plain[1].parameters(), strict=True):
        assert torch.equal(ours.grad, theirs.grad)


def test_memory_of_parameters_stays_resizable() -> None:
    """Sharded training frees the storage of what it gathered."""
    model = network("ProjectedA2Q")
    model(torch.rand(2, 4, 6, 6))
    assert model[1].weight.untyped_storage().resizable()
