"""Each method computes its formula, forward and backward."""

from __future__ import annotations

import math
from typing import Any

import brevitas.nn as qnn
import pytest
import torch
from brevitas.quant.scaled_int import Int8WeightPerChannelFloat
from torch import Tensor

from brevitas_a2q.bounds import a2q_budget, a2q_plus_budget
from brevitas_a2q.quant._functional import (
    a2q_plus_quantize,
    a2q_quantize,
    log2_norm_cap,
    make_budget,
    projected_codes,
    projected_quantize,
)
from brevitas_a2q.quant._functional.euclidean import project_l1_ball


def leaves(*shape: int, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    weight = torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    scale = weight.abs().amax(1, keepdim=True) / 31.3  # no weight on the edge between two integers
    norm = weight.abs().sum(1, keepdim=True).log2()
    return tuple(value.requires_grad_() for value in (weight, scale, norm))  # type: ignore[return-value]


def straight_through(value: Tensor, rounded: Tensor) -> Tensor:
    return value + (rounded - value).detach()


def reference(weight: Tensor, scale: Tensor, norm: Tensor, cap: int, centred: bool) -> Tensor:
    """A2Q written with autograd, from the papers' formulas."""
    v = weight - weight.mean(1, keepdim=True) if centred else weight
    g = 2.0 ** torch.minimum(norm, torch.log2(scale) + math.log2(cap))
    u = g * v / v.abs().sum(1, keepdim=True) / scale
    return scale * straight_through(u, u.trunc())


@pytest.mark.parametrize("centred", [False, True], ids=["a2q", "a2q+"])
@pytest.mark.parametrize("accumulator_bits", [14, 30], ids=["capped", "free"])
def test_a2q_equals_its_formula(centred: bool, accumulator_bits: int) -> None:
    budget, inputs = make_budget(accumulator_bits, 8, False), leaves(5, 60)
    cap = 2 * int(budget.centred_cap) if centred else int(budget.l1_cap)
    weighting = torch.randn(5, 60, dtype=torch.float64, generator=torch.Generator().manual_seed(9))
    ours = (a2q_plus_quantize if centred else a2q_quantize)(*inputs, budget, -127, 127)
    theirs = reference(*inputs, cap, centred)
    torch.testing.assert_close(ours, theirs)
    got, want = (torch.autograd.grad((out * weighting).sum(), inputs) for out in (ours, theirs))
    torch.testing.assert_close(got, want)


@pytest.mark.parametrize(("accumulator_bits", "input_bits", "signed"), [(16, 8, False), (16, 8, True), (12, 4, False)])
def test_caps_are_at_least_the_published_ones(accumulator_bits: int, input_bits: int, signed: bool) -> None:
    budget, one = make_budget(accumulator_bits, input_bits, signed), torch.ones(1, 1, dtype=torch.float64)
    assert 2.0 ** float(log2_norm_cap(one, budget)) >= a2q_budget(accumulator_bits, input_bits, signed) - 1e-6
    plus = 2.0 ** float(log2_norm_cap(one, budget, centred=True))
    assert plus >= 2 * (a2q_plus_budget(accumulator_bits, input_bits) // 2) - 1e-6


def test_a2q_plus_of_one_weight_is_a2q() -> None:
    budget, inputs = make_budget(12, 4, False), leaves(6, 1)
    assert torch.equal(a2q_plus_quantize(*inputs, budget, -7, 7), a2q_quantize(*inputs, budget, -7, 7))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_projection_is_plain_rounding_where_nothing_binds(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    layer: Any = qnn.QuantLinear(50, 7, bias=False, weight_quant=Int8WeightPerChannelFloat).to(dtype)
    plain = layer.quant_weight()
    scale, weighting = plain.scale.detach(), torch.randn(7, 50).to(dtype)
    weight = layer.weight.detach().clone().requires_grad_()
    out = projected_quantize(weight, scale, make_budget(32, 8, False), -127, 127)
    assert torch.equal(out, plain.value)
    (gradient,) = torch.autograd.grad(out, weight, weighting)
    assert torch.equal(gradient, weighting)


def test_gradient_leaves_the_normal_of_the_binding_face() -> None:
    weight, scale, _ = leaves(4, 80)
    weighting = torch.randn(4, 80, dtype=torch.float64, generator=torch.Generator().manual_seed(8))
    budget = make_budget(12, 4, False)
    out = projected_quantize(weight, scale, budget, -127, 127)
    (gradient,) = torch.autograd.grad(out, weight, weighting)
    codes = projected_codes(weight, scale, budget, -127, 127)
    for side in (codes > 0, codes < 0):
        mean = (weighting * side).sum(1, keepdim=True) / side.sum(1, keepdim=True)
        torch.testing.assert_close(gradient[side], (weighting - mean)[side])
    assert torch.equal(gradient[codes == 0], weighting[codes == 0])


def test_gradient_leaves_the_normal_of_a_shared_limit() -> None:
    weight = leaves(3, 80)[0].detach().abs().requires_grad_()  # positive weights: one limit binds, on one sign
    scale = weight.detach().amax(1, keepdim=True) / 31
    weighting = torch.randn(3, 80, dtype=torch.float64, generator=torch.Generator().manual_seed(8))
    budget = make_budget(12, 4, True)
    (gradient,) = torch.autograd.grad(projected_quantize(weight, scale, budget, -127, 127), weight, weighting)
    active = projected_codes(weight, scale, budget, -127, 127) > 0
    torch.testing.assert_close((gradient * active).sum(1), torch.zeros(3, dtype=torch.float64))
    assert torch.equal(gradient[~active], weighting[~active])


def test_scale_of_the_whole_tensor_gets_the_sum_of_the_channels() -> None:
    weight, _, norm = leaves(4, 30)
    shared, each = torch.full((), 0.05, dtype=torch.float64), torch.full((4, 1), 0.05, dtype=torch.float64)
    for quantize in (
        lambda s: projected_quantize(weight, s, make_budget(12, 4, False), -7, 7),
        lambda s: a2q_quantize(weight, s, norm, make_budget(12, 4, False), -7, 7),
    ):
        whole, parts = (
            torch.autograd.grad(quantize(s).square().sum(), s)[0]
            for s in (shared.requires_grad_(), each.requires_grad_())
        )
        torch.testing.assert_close(whole, parts.sum())


def test_l1_ball_projection_is_nearest() -> None:
    weight = torch.randn(20, 15, dtype=torch.float64, generator=torch.Generator().manual_seed(5))
    radius = torch.linspace(0, 20, 20, dtype=torch.float64).unsqueeze(1)
    nearest = project_l1_ball(weight, radius)
    assert (nearest.abs().sum(1, keepdim=True) <= radius + 1e-12).all()
    # Optimal if no point of the ball lies further along the residual (variational inequality).
    residual = weight - nearest
    reach = radius.squeeze(1) * residual.abs().amax(1)
    torch.testing.assert_close((residual * nearest).sum(1), reach)
