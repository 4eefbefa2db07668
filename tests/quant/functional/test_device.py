"""Tensor operations for accelerators give what the kernels for processors give, forward and backward."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from brevitas_a2q.quant._functional import Budget, budget_from_range, device, host, make_budget, selection, sign_sums
from brevitas_a2q.quant._kernels.repair import enforce

INPUTS = {"unsigned": (0, 255), "negative": (-255, 0), "signed": (-128, 127), "zero-point": (-100, 155)}


def rows(dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor]:
    """Weights of different spreads, some beyond the largest code, and scales."""
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(12, 200, generator=generator, dtype=torch.float64)
    weight[3] = weight[3].abs()
    weight[4] = weight[4] ** 3
    weight[5] = 0
    scale = (weight.abs().amax(1, keepdim=True) / 127).clamp_min(1e-3) * torch.linspace(0.1, 2, 12).unsqueeze(1)
    return weight.to(dtype), scale.to(dtype)


def check_gradients(method: str, *arguments: Tensor | bool) -> None:
    found = [getattr(where, f"{method}_gradients")(*arguments) for where in (host, device)]
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(theirs.double(), ours.double(), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("inputs", INPUTS.values(), ids=INPUTS.keys())
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("bits", [10, 14, 17, 22, 32])
def test_projection(inputs: tuple[int, int], dtype: torch.dtype, bits: int) -> None:
    weight, scale = rows(dtype)
    budget = budget_from_range(bits, *inputs)
    (out, codes, normals), (out_too, codes_too, normals_too) = (
        where.project(weight, scale, budget, -128, 127) for where in (host, device)
    )
    u = (weight / scale).double()
    distance, distance_too = ((part.double() - u).square().sum(1) for part in (codes, codes_too))
    torch.testing.assert_close(distance_too, distance, rtol=1e-6, atol=1e-6)  # equal gains may go to different weights
    if dtype != torch.bfloat16:  # in which many weights gain the same
        assert torch.equal(codes_too, codes)
        assert torch.equal(out_too, out)
        assert torch.equal(normals_too, normals)
    grad = torch.randn(weight.shape, generator=torch.Generator().manual_seed(1)).to(dtype)
    check_gradients("project", grad, weight, scale, codes, normals)


@pytest.mark.parametrize("centred", [False, True], ids=["a2q", "a2q+"])
@pytest.mark.parametrize("bits", [10, 14, 22])
def test_normalization(centred: bool, bits: int) -> None:
    weight, scale = rows(torch.float64)
    norm = weight.abs().sum(1, keepdim=True).clamp_min(1e-9).log2()
    budget = budget_from_range(bits, 0, 255)
    (out, codes, columns), (out_too, codes_too, columns_too) = (
        where.normalize(weight, scale, norm, budget, -127, 127, centred) for where in (host, device)
    )
    torch.testing.assert_close(columns_too, columns)
    assert torch.equal(codes_too, codes)
    assert torch.equal(out_too, out)
    grad = torch.randn(weight.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    check_gradients("normalize", grad, weight, scale, codes, columns, centred)


class Reads(TorchDispatchMode):
    """Notes every operation for which a processor would wait for an accelerator."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func.overloadpacket.__name__ in ("_local_scalar_dense", "nonzero", "equal", "masked_select"):
            self.found.append(str(func))
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("inputs", INPUTS.values(), ids=INPUTS.keys())
@pytest.mark.parametrize("bits", [10, 32])
def test_nothing_is_read_back(bits: int, inputs: tuple[int, int]) -> None:
    weight, scale = rows()
    budget, norm = budget_from_range(bits, *inputs), torch.zeros(12, 1)
    assert budget.couples_signs == (inputs[0] < 0 < inputs[1])  # read once for every budget, and budgets are kept
    with Reads() as reads:
        assert int(torch.ones(())) == 1
    assert reads.found == ["aten._local_scalar_dense.default"]
    with Reads() as reads:
        _, codes, normals = device.project(weight, scale, budget, -127, 127)
        device.project_gradients(weight, weight, scale, codes, normals)
        _, codes, columns = device.normalize(weight, scale, norm, budget, -127, 127, True)
        device.normalize_gradients(weight, weight, scale, codes, columns, True)
    assert reads.found == []


@pytest.mark.parametrize("k", [3, 1500])
def test_percentiles_are_not_read_back(k: int) -> None:
    operator = torch.library.Library("brevitas_a2q", "IMPL")
    operator.impl("kth_largest", selection._anywhere, "CPU", allow_override=True)
    x = torch.randn(40, 50, requires_grad=True)
    with Reads() as reads:
        passed, value = selection.kth_largest(x, k, selection.MAGNITUDE)
        (passed.sum() + 3 * value).backward()
    assert reads.found == []
    operator._destroy()
    assert x.grad is not None
    assert x.grad.flatten().sort().values[[0, -1]].tolist() in ([-2.0, 1.0], [1.0, 4.0])


def test_repair_trims_only_what_overflows() -> None:
    budget = make_budget(6, 2, False)
    codes = torch.tensor([[5.0, 6.0, -4.0], [1.0, 2.0, -3.0], [9.0, 0.0, -20.0]])
    assert device.enforce(codes, budget).tolist() == [[5, 5, -4], [1, 2, -3], [9, 0, -10]]
    signed = make_budget(6, 2, True)
    assert signed.holds(*sign_sums(device.enforce(codes, signed))).all()


def test_kernels_repair_alike() -> None:
    generator = torch.Generator().manual_seed(2)
    codes = torch.randint(-40, 41, (50, 9), generator=generator, dtype=torch.int16)
    bias = torch.randint(-90, 90, (50,), generator=generator)
    for lo, hi in INPUTS.values():
        budget = budget_from_range(16, lo, hi, bias * 300)
        repaired = device.enforce(codes, budget)
        assert budget.holds(*sign_sums(repaired))[(budget.upper >= 0) & (budget.lower >= 0)].all()
        for row, want, limits in zip(codes, repaired, zip(budget.upper, budget.lower, strict=True), strict=True):
            found = row.clone()
            enforce(found.numpy(), hi, -lo, int(limits[0]), int(limits[1]))
            assert torch.equal(found, want)


def test_kernels_take_a_budget_for_each_row() -> None:
    weight, scale = rows()
    bias = torch.linspace(-30000, 30000, 12).long()
    budget = budget_from_range(16, -8, 7, bias)
    whole = host.project(weight, scale, budget, -7, 7)[1]
    for row in range(12):
        own = Budget(*(limit[row : row + 1] if limit.dim() else limit for limit in budget))
        assert torch.equal(host.project(weight[row : row + 1], scale[row : row + 1], own, -7, 7)[1][0], whole[row])


def test_threads_change_nothing() -> None:
    generator = torch.Generator().manual_seed(6)
    weight, grad = torch.randn(2, 130, 4096, generator=generator).unbind()
    scale, norm = weight.abs().amax(1, keepdim=True) / 127, weight.abs().sum(1, keepdim=True).log2()
    budget, threads = budget_from_range(16, -128, 127, torch.arange(130)), torch.get_num_threads()
    results = []
    for count in (1, 3):
        torch.set_num_threads(count)
        try:
            _, codes, normals = host.project(weight, scale, budget, -127, 127)
            _, too, columns = host.normalize(weight, scale, norm, budget, -127, 127, True)
            gradients = host.project_gradients(grad, weight, scale, codes, normals)
            results.append([codes, too, *gradients, *host.normalize_gradients(grad, weight, scale, too, columns, True)])
        finally:
            torch.set_num_threads(threads)
    assert all(torch.equal(*pair) for pair in zip(*results, strict=True))


def test_rows_whose_signs_share_a_budget_are_as_near_as_by_the_kernel() -> None:
    """Of all lengths, spreads, and inputs, with weights that are equal to each other and NaN among them."""
    generator = torch.Generator().manual_seed(5)
    for case in range(60):
        length = int(torch.randint(1, 400, (), generator=generator))
        weight = torch.randn(6, length, generator=generator) * 10 ** float(torch.rand((), generator=generator) * 3 - 1)
        weight[0] = weight[0].sign() * 3
        weight[1] = (weight[1] * 2).round() / 2
        weight[2, 0] = torch.nan
        ends = torch.randint(1, 300, (2,), generator=generator).tolist()
        budget = budget_from_range(int(torch.randint(4, 20, (), generator=generator)), -ends[0], ends[1])
        scale = torch.rand(6, 1, generator=generator) + 0.05
        (out, codes, _), (out_too, codes_too, _) = (
            where.project(weight, scale, budget, -128, 127) for where in (host, device)
        )
        assert budget.holds(*sign_sums(codes_too)).all()
        torch.testing.assert_close(out_too.isnan(), out.isnan())
        u = (weight / scale).double().nan_to_num(0.0)
        distance, distance_too = ((part.double() - u).square().sum(1) for part in (codes, codes_too))
        torch.testing.assert_close(distance_too, distance, rtol=1e-9, atol=1e-6, msg=f"case {case}")
