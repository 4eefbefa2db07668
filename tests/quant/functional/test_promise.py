"""No channel of any method overflows, for any weights, types and widths, by the integers recovered from the output."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from brevitas_a2q.quant._functional import (
    Budget,
    a2q_plus_quantize,
    a2q_quantize,
    budget_use,
    make_budget,
    projected_quantize,
    sign_sums,
)

DTYPES = [torch.float64, torch.float32, torch.bfloat16, torch.float16]
INPUTS = [(1, False, 0, False), (4, False, 0, False), (4, True, 0, False), (8, False, 100, False), (8, True, 0, True),
          (16, False, 0, False), (16, True, 0, False)]  # fmt: skip
Quantizer = Callable[[Tensor, Tensor, Tensor, Budget, int, int], Tensor]
METHODS: dict[str, Quantizer] = {
    "a2q": a2q_quantize,
    "a2q_plus": a2q_plus_quantize,
    "projected": lambda w, s, t, b, low, high: projected_quantize(w, s, b, low, high),
}


def hard_rows(length: int, dtype: torch.dtype) -> Tensor:
    """Rows that upstream quantizers fail on, and ordinary ones; shape ``(C, length)``."""
    generator = torch.Generator().manual_seed(length)
    normal = torch.randn(8, length, generator=generator, dtype=torch.float64)
    info = torch.finfo(dtype)
    ones = torch.ones(1, length, dtype=torch.float64)
    one_hot = torch.nn.functional.one_hot(torch.tensor([length // 2]), length).double()
    rows = [normal[:2] * 0.05, normal[2:3].abs(), -normal[3:4].abs(), normal[4:5] ** 5, normal[5:6].round(), 0 * ones,
            0.1 * ones, -0.1 * ones, 0.1 * ones + 1e-7 * normal[6:7], one_hot, info.max * ones,
            info.max * normal.sign()[:1], info.tiny * normal[7:8], info.tiny * info.eps * ones, 3e4 * ones]  # fmt: skip
    return torch.cat(rows).clamp(-info.max, info.max).to(dtype)


def recovered(out: Tensor, scale: Tensor) -> Tensor:
    return (out.double() / scale.double()).round().to(torch.int64)


def check(method: str, dtype: torch.dtype, length: int, weight_bits: int, accumulator_bits: int) -> None:
    weight = hard_rows(length, dtype)
    q_max = 2 ** (weight_bits - 1) - 1
    largest = weight.double().abs().amax(1, keepdim=True)
    info = torch.finfo(dtype)
    for factor, q_min in ((1.0, -q_max), (0.02, -q_max - 1)):
        scale = (largest / q_max * factor).clamp(info.tiny, info.max / 2).to(dtype)
        norm = torch.log2(weight.double().abs().sum(1, keepdim=True) + info.tiny).to(dtype)
        for bits, signed, zero_point, narrow in INPUTS:
            budget = make_budget(accumulator_bits, bits, signed, zero_point, narrow)
            leaves = [value.clone().requires_grad_() for value in (weight, scale, norm)]
            out = METHODS[method](leaves[0], leaves[1], leaves[2], budget, q_min, q_max)
            codes = recovered(out.detach(), scale)
            assert out.isfinite().all()
            assert out.dtype == dtype
            assert budget.holds(*sign_sums(codes)).all()
            assert (budget_use(codes, budget) <= 1).all()
            assert codes.amin() >= q_min
            assert codes.amax() <= q_max
            gradients = torch.autograd.grad(out, leaves, torch.ones_like(out) * 1e-3, allow_unused=True)
            assert all(g is None or not g.isnan().any() for g in gradients)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize(("length", "weight_bits", "accumulator_bits"),
                         [(9, 4, 2), (1, 8, 12), (24, 2, 8), (64, 8, 16), (30, 16, 24), (9, 16, 64)])  # fmt: skip
def test_no_channel_overflows(
    method: str, dtype: torch.dtype, length: int, weight_bits: int, accumulator_bits: int
) -> None:
    check(method, dtype, length, weight_bits, accumulator_bits)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("dtype", "weight_bits"), [(torch.float32, 8), (torch.float32, 16), (torch.bfloat16, 8)])
def test_no_channel_overflows_at_65536_products(method: str, dtype: torch.dtype, weight_bits: int) -> None:
    weight = (torch.randn(3, 65536, generator=torch.Generator().manual_seed(0)) + 0.2).to(dtype)
    q_max = 2 ** (weight_bits - 1) - 1
    scale = weight.abs().amax(1, keepdim=True) / q_max
    norm = torch.log2(weight.float().abs().sum(1, keepdim=True)).to(dtype)
    for accumulator_bits, signed in ((16, False), (24, False), (24, True)):
        budget = make_budget(accumulator_bits, 8, signed)
        codes = recovered(METHODS[method](weight, scale, norm, budget, -q_max, q_max), scale)
        assert budget.holds(*sign_sums(codes)).all()
        assert (budget_use(codes, budget) > 0.4).all() or method != "projected"


@pytest.mark.parametrize("method", METHODS)
def test_bias_takes_its_share_and_may_leave_nothing(method: str) -> None:
    weight = torch.randn(6, 40, generator=torch.Generator().manual_seed(1))
    scale = weight.abs().amax(1, keepdim=True) / 7
    bias = torch.tensor([0, 1000, -1000, 2047, 5000, -5000])
    budget = make_budget(12, 4, False, bias=bias)
    norm = torch.log2(weight.abs().sum(1, keepdim=True))
    codes = recovered(METHODS[method](weight, scale, norm, budget, -7, 7), scale)
    assert budget.holds(*sign_sums(codes))[:4].all()
    assert codes[4:].eq(0).all()


@pytest.mark.parametrize("method", METHODS)
def test_every_tile_holds_its_own_budget(method: str) -> None:
    weight = torch.randn(5, 50, generator=torch.Generator().manual_seed(2))
    scale = weight.abs().amax(1, keepdim=True) / 7
    norm = torch.log2(weight.abs().sum(1, keepdim=True))
    budget = make_budget(9, 4, False)
    if method == "projected":
        out = projected_quantize(weight, scale, budget, -7, 7, tile=16)
    else:
        quantize = a2q_quantize if method == "a2q" else a2q_plus_quantize
        out = quantize(weight, scale, norm, budget, -7, 7, tile=16)
    tiles = recovered(out, scale).split(16, dim=1)
    assert all(budget.holds(*sign_sums(tile)).all() for tile in tiles)
    assert not budget.holds(*sign_sums(recovered(out, scale))).all() or method != "projected"


@pytest.mark.parametrize("method", METHODS)
def test_compiles_as_one_graph_with_the_same_result(method: str) -> None:
    weight = torch.randn(4, 36, generator=torch.Generator().manual_seed(3))
    scale = weight.abs().amax(1, keepdim=True) / 127
    norm = torch.log2(weight.abs().sum(1, keepdim=True))
    bits = torch.tensor(8.0)

    def quantize(w: Tensor, s: Tensor, t: Tensor) -> Tensor:
        return METHODS[method](w, s, t, make_budget(14, bits, False), -127, 127)

    results = []
    for run in (quantize, torch.compile(quantize, backend="aot_eager", fullgraph=True)):
        leaves = [value.clone().requires_grad_() for value in (weight, scale, norm)]
        out = run(*leaves)
        out.square().sum().backward()
        results.append([out.detach(), leaves[0].grad, leaves[1].grad])
    torch.testing.assert_close(*results)


@pytest.mark.parametrize("method", METHODS)
def test_autocast_changes_nothing(method: str) -> None:
    weight = torch.randn(4, 36, generator=torch.Generator().manual_seed(4))
    scale, norm = weight.abs().amax(1, keepdim=True) / 127, torch.log2(weight.abs().sum(1, keepdim=True))
    budget = make_budget(14, 8, False)
    plain = METHODS[method](weight, scale, norm, budget, -127, 127)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(METHODS[method](weight, scale, norm, budget, -127, 127), plain)


@pytest.mark.parametrize("method", METHODS)
def test_weights_that_are_not_finite_stay_visible(method: str) -> None:
    weight = torch.randn(4, 300, generator=torch.Generator().manual_seed(5))
    weight[0, 7], weight[1, 8], weight[2, 9] = torch.nan, torch.inf, -torch.inf
    scale, norm = torch.full((4, 1), 0.01), torch.full((4, 1), 8.0)
    for signed in (False, True):
        out = METHODS[method](weight, scale, norm, make_budget(12, 8, signed), -127, 127)
        assert out[0, 7].isnan()
        codes = (out.nan_to_num(nan=0.0) / scale).round().to(torch.int64)
        assert make_budget(12, 8, signed).holds(*sign_sums(codes)).all()
        whole = METHODS[method](weight[3:], scale[3:], norm[3:], make_budget(12, 8, signed), -127, 127)
        assert torch.equal(out[3:], whole)
