"""The kernel of activations against plain tensor operations, value by value and in every layout."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from brevitas_a2q.quant._functional import selection
from brevitas_a2q.quant._functional.activation import Codes, quantize_activation
from brevitas_a2q.quant._functional.selection import MAGNITUDE, NEGATIVE, VALUE, kth_largest


def chain(x: Tensor, scale: Tensor, zero_point: Tensor) -> Tensor:
    """Signed four-bit codes of what a ReLU lets through, operation by operation."""
    u = torch.relu(x) / scale + zero_point
    codes = u + (torch.round(u) - u).detach() if u.requires_grad else torch.round(u)
    codes = torch.where(codes > 7, 7.0, codes.double()).to(codes.dtype)
    codes = torch.where(codes < -8, -8.0, codes.double()).to(codes.dtype)
    return (codes - zero_point) * scale


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("zero", [0.0, 3.0])
def test_every_sixteen_bit_value(dtype: torch.dtype, zero: float) -> None:
    x = torch.arange(-32768, 32768, dtype=torch.int32).to(torch.int16).view(dtype)
    x = x[~x.isnan()]
    scale, zero_point = torch.tensor(0.37), torch.tensor(zero)
    got = quantize_activation(x, scale, zero_point, torch.tensor(4.0), Codes(True, False), 0.0)
    assert torch.equal(got, chain(x, scale, zero_point))


def test_nan_and_limits_that_a_type_does_not_hold() -> None:
    one, zero = torch.tensor(1.0), torch.tensor(0.0)
    x = torch.tensor([math.nan, math.inf, 5000.0, -math.inf], dtype=torch.bfloat16)
    got = quantize_activation(x, one, zero, torch.tensor(10.0), Codes(False, False))
    assert got[0].isnan()
    assert got[1:].tolist() == [1020.0, 1020.0, 0.0]


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("per_channel", [False, True])
def test_gradients_against_float64(channels_last: bool, per_channel: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    x, weighting = (torch.randn(4, 6, 5, 3, generator=generator, dtype=torch.float64) for _ in range(2))
    if channels_last:
        x = x.contiguous(memory_format=torch.channels_last)
    shape = (1, 6, 1, 1) if per_channel else ()
    leaves = [x, torch.full(shape, 0.21, dtype=torch.float64), torch.full(shape, 2.0, dtype=torch.float64)]
    want, got = ([leaf.clone().requires_grad_() for leaf in leaves] for _ in range(2))
    (chain(*want) * weighting).sum().backward()
    out = quantize_activation(*got, torch.tensor(4.0), Codes(True, False), 0.0)
    assert out.stride() == x.stride()
    (out * weighting).sum().backward()
    for one, other in zip(got, want, strict=True):
        torch.testing.assert_close(one.grad, other.grad)


def test_parts_on_several_threads_give_the_same() -> None:
    x, scale, zero = torch.randn(3, 70_000), torch.tensor(0.2, requires_grad=True), torch.tensor(0.0)
    found = []
    before = torch.get_num_threads()
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            leaf = x.clone().requires_grad_()
            out = quantize_activation(leaf, scale, zero, torch.tensor(4.0), Codes(True, False))
            found.append((out.detach(), *torch.autograd.grad(out.square().sum(), (leaf, scale))))
    finally:
        torch.set_num_threads(before)
    assert torch.equal(found[0][0], found[1][0])
    assert torch.equal(found[0][1], found[1][1])
    torch.testing.assert_close(found[0][2], found[1][2])


@pytest.mark.parametrize("what", [VALUE, MAGNITUDE, NEGATIVE])
@pytest.mark.parametrize("count", [1, 17, 5000, 200_000])
def test_kth_largest_is_exact(what: int, count: int) -> None:
    x = torch.randn(count, generator=torch.Generator().manual_seed(count)).round(decimals=2)
    for values in (x, x.sort().values, x.bfloat16()):
        line = values.abs() if what == MAGNITUDE else values * what
        for k in {1, min(count, 40), count}:
            expected = line.float().kthvalue(count - k + 1).values.to(values.dtype)
            assert kth_largest(values, k, what)[1] == expected
            elsewhere, place = selection._anywhere(values, k, what, -math.inf, math.inf)
            assert elsewhere == expected == line[place]


def test_gradient_of_a_percentile_joins_that_of_the_tensor() -> None:
    x = torch.tensor([[1.0, -4.0], [3.0, 2.0]], requires_grad=True)
    passed, value = kth_largest(x, 2, MAGNITUDE)
    (passed.sum() * 10 + value * 5).backward()
    assert value == 3.0
    assert x.grad is not None
    assert x.grad.tolist() == [[10.0, 10.0], [15.0, 10.0]]
