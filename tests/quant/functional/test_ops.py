"""What torch asks of registered operators: schema, shapes, gradients, and that compilers may trace them."""

from __future__ import annotations

import math
from typing import Any

import brevitas.nn as qnn
import pytest
import torch
from brevitas.quant import Uint8ActPerTensorFloat

from brevitas_a2q.quant import _compilation
from brevitas_a2q.quant._activations import fused
from brevitas_a2q.quant._functional import activation_device, activation_host, make_budget, projected_quantize
from brevitas_a2q.quant._functional.activation import Codes, quantize_activation
from brevitas_a2q.quant._functional.activation_device import composed
from brevitas_a2q.quant._functional.selection import kth_largest

assert kth_largest  # imported, so that it is registered
assert _compilation  # likewise

LAYOUTS = [torch.contiguous_format, torch.channels_last]


def arguments(layout: torch.memory_format) -> dict[str, tuple[Any, ...]]:
    torch.manual_seed(0)
    x = torch.randn(3, 4, 5, 5).contiguous(memory_format=layout).requires_grad_()
    scale = torch.full((4, 1, 1, 1), 0.3, requires_grad=True)
    weight = torch.randn(4, 3, 3, 3).contiguous(memory_format=layout).requires_grad_()
    limits = make_budget(8, 4, False).table
    number = torch.tensor
    return {
        "quantize_activation": (
            x,
            number(0.2, requires_grad=True),
            number(0.0),
            number(4.0),
            False,
            False,
            0,
            0.0,
            6.0,
        ),
        "kth_largest": (x, 3, 0, 0.0, 6.0),
        "project": (weight, scale, limits, -7, 7),
        "normalize": (weight, scale, torch.zeros(4, 1, requires_grad=True), limits, -7, 7, True),
        "input_ends": (x.detach(), number(0.2), number(3.0), number(4.0), number(True), None, False, True),
        "input_budget": (number(-8), number(7), number([0, 15]), number([[1], [-2], [0]]), 12, True, False),
    }


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning")  # of opcheck's
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(
    "name", ["quantize_activation", "kth_largest", "project", "normalize", "input_ends", "input_budget"]
)
def test_operators_pass_opcheck(name: str, layout: torch.memory_format) -> None:
    torch.library.opcheck(getattr(torch.ops.brevitas_a2q, name).default, arguments(layout)[name])


@pytest.mark.parametrize("rounding", range(5))
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
def test_what_is_not_finite_is_the_same_on_other_devices(dtype: torch.dtype, rounding: int) -> None:
    """NaN and infinite activations, and gradients: values and gradients of activations bit for bit."""
    special = torch.tensor([math.nan, math.inf, -math.inf, 0.0, 1e-40, -1e-40, 0.25, -0.75, 7.0])
    x, grad = (part.reshape(-1).to(dtype) for part in torch.meshgrid(special, special, indexing="ij"))
    state = torch.tensor(0.5), torch.tensor(1.0), torch.tensor(4.0)
    for signed, low in ((False, 0.0), (True, -math.inf)):
        how = signed, False, rounding, low, 6.0
        found = activation_host.quantize(x, *state, *how), activation_device.quantize(x, *state, *how)
        torch.testing.assert_close(*found, rtol=0, atol=0, equal_nan=True)
        slopes = [where.gradients(grad, x, *state, *how) for where in (activation_host, activation_device)]
        torch.testing.assert_close(slopes[1][0], slopes[0][0], rtol=0, atol=0, equal_nan=True)
        for one, other in zip(*slopes, strict=True):
            assert torch.equal(one.isfinite(), other.isfinite())


@pytest.mark.parametrize("over", [False, True])
def test_the_operator_of_statistics_passes_opcheck(over: bool) -> None:
    """It counts, so that only when statistics are over it gives the same twice, which most checks ask for."""
    layer = qnn.QuantReLU(act_quant=fused(Uint8ActPerTensorFloat))
    quantizer = layer.act_quant.fused_activation_quant_proxy.tensor_quant
    scaling = quantizer.scaling_impl
    scaling.counter = over * (scaling.collect_stats_steps + 1)
    checks = ("test_schema", "test_faketensor", "test_autograd_registration")
    arguments = scaling.buffer, scaling.value.detach(), torch.tensor(3.0), quantizer._key
    operator = torch.ops.brevitas_a2q.remember_statistics.default
    torch.library.opcheck(operator, arguments, test_utils=(*checks, "test_aot_dispatch_dynamic")[: 4 if over else 3])
    assert bool(operator(*arguments)) is not over


@pytest.mark.parametrize("signed", [False, True])
def test_layout_of_weights_changes_no_integer(signed: bool) -> None:
    weight = torch.randn(8, 6, 3, 3, generator=torch.Generator().manual_seed(1)).round(decimals=1)  # full of ties
    scale, budget = torch.full((8, 1), 0.2), make_budget(9, 4, signed)
    lying = weight.contiguous(memory_format=torch.channels_last)
    got = projected_quantize(lying, scale, budget, -7, 7)
    assert got.stride() == lying.stride()
    assert torch.equal(got, projected_quantize(weight, scale, budget, -7, 7))


@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize("name", ["composed", "anywhere"])
def test_other_devices_compute_the_same(name: str, per_channel: bool) -> None:
    x = torch.randn(3, 4, 5, 5, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    shape = (1, 4, 1, 1) if per_channel else ()
    leaves = [x, torch.full(shape, 0.3), torch.full(shape, 2.0), torch.tensor(4.0)]
    how = True, True, 0, 0.0, 6.0
    want, got = ([leaf.clone().double().requires_grad_() for leaf in leaves] for _ in range(2))
    expected = quantize_activation(*want, Codes(True, True), 0.0, 6.0)
    grad = torch.randn_like(expected)
    expected.backward(grad)
    if name == "composed":
        out = composed(*got, *how)
        found = torch.autograd.grad(out, got, grad)
    else:  # the kernel for every other device
        out = activation_device.quantize(*(leaf.detach() for leaf in got), *how)
        found = activation_device.gradients(grad, *(leaf.detach() for leaf in got), *how)
    torch.testing.assert_close(out, expected)
    for one, other in zip(found, want, strict=True):
        torch.testing.assert_close(one, other.grad)
