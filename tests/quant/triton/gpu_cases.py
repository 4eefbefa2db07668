"""Kernels for GPUs against those for processors: on a GPU, or by Triton's interpreter; ``test_kernels`` starts it."""

from __future__ import annotations

import itertools
import math
import os
from typing import Any

import pytest
import torch
from torch import Tensor

if INTERPRETED := os.environ.get("TRITON_INTERPRET") == "1":
    from triton.runtime import interpreter

    _READY = set[str]()

    def _call(self: Any, *args: Any, **kwargs: Any) -> Any:
        # As the interpreter's own, which prepares the language again in every call of a function, and takes most of its
        # time for that.
        if self.fn.__module__ not in _READY:
            _READY.add(self.fn.__module__)
            interpreter._patch_lang(self.fn)
        return self.rewrite()(*args, **kwargs)

    interpreter.InterpretedFunction.__call__ = _call

from brevitas_a2q.quant._functional import (
    activation,
    activation_gpu,
    activation_host,
    budget_from_range,
    gpu,
    host,
    make_budget,
    projected_quantize,
)
from brevitas_a2q.quant._functional.budget import Budget, sign_sums

pytestmark = pytest.mark.filterwarnings("ignore:.*encountered in:RuntimeWarning")  # of NumPy, for inf and NaN
DEVICE = "cpu" if INTERPRETED else "cuda"
FLOATS = [torch.float32, torch.bfloat16, torch.float64, torch.float16]
SPECIAL = [math.nan, math.inf, -math.inf, 0.0, -0.0, 1e-30, -1e-30, 0.25, -0.75, 6.0]
INPUTS = {"unsigned": (0, 255), "negative": (-255, 0), "signed": (-128, 127), "zero-point": (-3, 250)}


def there(value: Any) -> Any:
    return value.to(DEVICE) if isinstance(value, Tensor) else value


def both(on_gpu: Any, on_host: Any, *args: Any) -> tuple[Any, Any]:
    """Results of a function on a GPU and on a processor."""
    found = on_gpu(*map(there, args))
    return ([one.cpu() for one in found] if isinstance(found, tuple) else found.cpu()), on_host(*args)


def same(ours: Tensor, theirs: Tensor) -> bool:
    """Bit for bit, but for the sign of zeros and the kind of NaN."""
    return torch.equal(ours.isnan(), theirs.isnan()) and torch.equal(ours.nan_to_num(0.0), theirs.nan_to_num(0.0))


# --- activations ------------------------------------------------------------------------------------------------------


def activations(dtype: torch.dtype, layout: torch.memory_format, per_channel: bool) -> tuple[Tensor, ...]:
    """Values, gradients, scale, zero-point."""
    generator = torch.Generator().manual_seed(0)
    x, grad = (torch.randn(2, 5, 4, 3, generator=generator) * 3).to(dtype), torch.randn(2, 5, 4, 3).to(dtype)
    x.view(-1)[: len(SPECIAL)] = torch.tensor(SPECIAL).to(dtype)
    grad.view(-1)[20:23] = torch.tensor(SPECIAL[:3]).to(dtype)
    scale = torch.linspace(0.2, 0.9, 5).view(1, 5, 1, 1).to(dtype) if per_channel else torch.tensor(0.37)
    zero = torch.arange(5.0).view(1, 5, 1, 1).to(dtype) if per_channel else torch.tensor(3.0)
    return x.contiguous(memory_format=layout), grad, scale, zero


@pytest.mark.parametrize(
    ("dtype", "rounding"), [*itertools.product(FLOATS[:2], range(5)), *zip(FLOATS[2:], (3, 0), strict=True)]
)
def test_activations(dtype: torch.dtype, rounding: int) -> None:
    for layout, per_channel in itertools.product((torch.contiguous_format, torch.channels_last), (False, True)):
        x, grad, scale, zero = activations(dtype, layout, per_channel)
        how = rounding % 2 == 0, per_channel, rounding, -math.inf if per_channel else 0.0, 6.0
        bits = torch.tensor(10.0 if rounding == 1 else 4.0)
        ours, theirs = both(activation_gpu.quantize, activation_host.quantize, x, scale, zero, bits, *how)
        assert same(ours, theirs)
        assert ours.stride() == theirs.stride()
        ours, theirs = both(activation_gpu.gradients, activation_host.gradients, grad, x, scale, zero, bits, *how)
        assert same(ours[0], theirs[0])
        finite = x.nan_to_num(0.0, 5.0, -5.0), grad.nan_to_num(0.0, 1.0, -1.0)
        again, expected = both(
            activation_gpu.gradients, activation_host.gradients, finite[1], finite[0], scale, zero, bits, *how
        )
        for one, other, special, wanted in zip(again[1:], expected[1:], ours[1:], theirs[1:], strict=True):
            torch.testing.assert_close(one, other)
            torch.testing.assert_close(special, wanted, equal_nan=True)


def test_large_and_empty_tensors(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several tiles, with places of 64 bits."""
    scale, zero, bits = torch.tensor(0.1), torch.tensor(0.0), torch.tensor(4.0)
    how = False, False, 0, 0.0, math.inf
    for far in (0, 1 << 31):
        monkeypatch.setattr(activation_gpu, "_FAR", far)
        for x in (
            torch.randn(3000),
            torch.randn(2, 70, 9, 2).contiguous(memory_format=torch.channels_last),
            torch.randn(0, 3),
        ):
            s = scale.expand(1, x.shape[1], 1, 1).contiguous() if x.dim() == 4 else scale
            ours, theirs = both(activation_gpu.quantize, activation_host.quantize, x, s, zero, bits, *how)
            assert torch.equal(ours, theirs)
            ours, theirs = both(activation_gpu.gradients, activation_host.gradients, x, x, s, zero, bits, *how)
            assert torch.equal(ours[0], theirs[0])
            for one, other in zip(ours[1:], theirs[1:], strict=True):
                torch.testing.assert_close(one, other)


# --- weights ----------------------------------------------------------------------------------------------------------


def rows(dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor]:
    """Weights of different spreads, some beyond the largest code, some equal, and scales."""
    weight = torch.randn(5, 36, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    weight[1] = weight[1] ** 3
    weight[2] = (weight[2] * 2).round() / 2
    weight[3] = 0
    weight[4, 7] = torch.nan
    scale = (weight.nan_to_num(0.0).abs().amax(1, keepdim=True) / 127).clamp_min(1e-3)
    return weight.to(dtype), (scale * torch.linspace(0.1, 2, 5).unsqueeze(1)).to(dtype)


def check_projection(weight: Tensor, scale: Tensor, budget: Budget) -> None:
    args = weight, scale, budget.table, -128, 127
    (out, codes, normals), theirs = both(
        gpu.project, lambda w, s, table, *limits: host.project(w, s, Budget.of_table(table), *limits), *args
    )
    assert torch.equal(codes, theirs[1])
    assert same(out, theirs[0])
    assert out.stride() == theirs[0].stride()
    assert torch.equal(normals, theirs[2])
    grad = torch.randn(weight.shape, generator=torch.Generator().manual_seed(1)).to(weight.dtype)
    ours, expected = both(
        gpu.project_gradients, host.project_gradients, grad, weight.nan_to_num(0.0), scale, codes, normals
    )
    for one, other in zip(ours, expected, strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("inputs", INPUTS.values(), ids=INPUTS.keys())
def test_projection(inputs: tuple[int, int]) -> None:
    few = slice(None, None, 2 if inputs[0] < 0 < inputs[1] else 1)  # of which every one takes a second
    check_projection(*(part[few] for part in rows()), budget_from_range(13, *inputs))


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_projection_in_other_types(dtype: torch.dtype) -> None:
    check_projection(*rows(dtype), budget_from_range(12, 0, 255))


def test_projection_beside_a_bias_and_in_channels_last() -> None:
    """A budget for each row, one of which the bias alone overflows; units that gain the same."""
    weight, scale = rows()
    budget = budget_from_range(12, 0, 15, torch.tensor([0, 900, -900, 5000, 40]))
    weight = weight.round(decimals=1).view(5, 4, 3, 3)
    check_projection(weight.contiguous(memory_format=torch.channels_last), scale, budget)


def test_rows_longer_than_a_block() -> None:
    weight = torch.randn(1, 2100, generator=torch.Generator().manual_seed(3))
    scale, budget = weight.abs().amax(1, keepdim=True) / 127, budget_from_range(18, -127, 128)
    check_projection(weight, scale, budget)
    codes = gpu.project(*map(there, (weight, scale, budget.table)), -127, 127)[1].cpu()
    assert budget.holds(*sign_sums(codes)).all()


@pytest.mark.parametrize("centred", [False, True], ids=["a2q", "a2q+"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("bits", [10, 22])
def test_normalization(centred: bool, dtype: torch.dtype, bits: int) -> None:
    weight, scale = rows(dtype)
    weight[3, :2] = 1e-30
    norm = weight.nan_to_num(0.0).abs().sum(1, keepdim=True).clamp_min(1e-9).log2()
    table = budget_from_range(bits, 0, 255).table
    ours, theirs = both(
        gpu.normalize,
        lambda w, s, n, limits, *how: host.normalize(w, s, n, Budget.of_table(limits), *how),
        *(weight, scale, norm, table, -127, 127, centred),
    )
    assert torch.equal(ours[1], theirs[1])
    assert same(ours[0], theirs[0])
    torch.testing.assert_close(ours[2], theirs[2])
    grad = torch.randn(weight.shape, generator=torch.Generator().manual_seed(1), dtype=dtype)
    args = grad, weight.nan_to_num(0.0), scale, ours[1], theirs[2].nan_to_num(0.0), centred
    for one, other in zip(*both(gpu.normalize_gradients, host.normalize_gradients, *args), strict=True):
        torch.testing.assert_close(one, other)


# --- as operators -----------------------------------------------------------------------------------------------------


def operators() -> dict[str, tuple[Any, ...]]:
    """Their arguments."""
    number, generator = torch.tensor, torch.Generator().manual_seed(4)
    how = False, False, activation.Codes(False, False).rounding, 0.0, 6.0
    weight = torch.randn(2, 3, 3, 3, generator=generator, requires_grad=True)
    scale, limits = torch.full((2, 1, 1, 1), 0.3, requires_grad=True), make_budget(8, 4, False).table
    return {
        "quantize_activation": (weight, number(0.2, requires_grad=True), number(0.0), number(4.0), *how),
        "project": (weight, scale, limits, -7, 7),
        "normalize": (weight, scale, torch.zeros(2, 1, requires_grad=True), limits, -7, 7, True),
    }


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning")  # of opcheck's
@pytest.mark.filterwarnings("ignore:Warning only once for all operators:UserWarning")
@pytest.mark.parametrize("name", operators())
def test_operators_pass_opcheck(name: str) -> None:
    args = operators()[name]
    library: Any = torch.library.Library("brevitas_a2q", "IMPL")
    if INTERPRETED:  # in the place of the kernels for processors
        kernels = {
            "quantize_activation": activation_gpu.quantize,
            "quantize_activation_gradients": activation_gpu.gradients,
            **{each: getattr(gpu, each) for each in gpu.__all__},
        }
        for each in (kernel for kernel in kernels if kernel.startswith(name)):
            library.impl(each, kernels[each], "CPU", allow_override=True)
    torch.library.opcheck(getattr(torch.ops.brevitas_a2q, name).default, tuple(map(there, args)))
    library._destroy()


@pytest.mark.skipif(INTERPRETED, reason="needs a GPU")
def test_launches_are_captured_in_a_graph() -> None:
    scale, bits = there(torch.tensor(0.1)), there(torch.tensor(4.0))
    x, weight = (torch.randn(8, 40, 3, 3, device=DEVICE, requires_grad=True) for _ in range(2))
    budget = budget_from_range(12, -8, 7).to(torch.device(DEVICE))
    codes = activation.Codes(False, False)

    def step() -> tuple[Tensor, ...]:
        y = activation.quantize_activation(x, scale, torch.zeros_like(scale), bits, codes, 0.0)
        q = projected_quantize(weight, scale, budget, -7, 7)
        return y, q, *torch.autograd.grad((y * q).sum(), (x, weight))

    expected = step()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        found = step()
    graph.replay()
    assert all(torch.equal(*pair) for pair in zip(found, expected, strict=True))
