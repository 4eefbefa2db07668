"""Ranges traced from quantizers, against what the quantizers' every code gives; among them what Brevitas gets wrong."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import brevitas.nn as qnn
import pytest
import torch
from brevitas.quant import Int8ActPerTensorFloat, ShiftedUint8ActPerTensorFloat, SignedBinaryActPerTensorConst
from torch import Tensor, nn
from torch.nn import functional as F

from brevitas_a2q.bounds import IntRange
from brevitas_a2q.verify.code_ranges import CodeRange, CodeRanges


def quantizer(bits: int, signed: bool, **options: Any) -> nn.Module:
    """A quantizer whose codes are its inputs times 4, so that inputs reach every code."""
    if signed:
        return qnn.QuantIdentity(
            act_quant=Int8ActPerTensorFloat,
            bit_width=bits,
            scaling_impl_type="const",
            scaling_init=2.0 ** (bits - 1) / 4,
            return_quant_tensor=True,
            **options,
        ).eval()
    return qnn.QuantReLU(
        bit_width=bits,
        scaling_impl_type="const",
        scaling_init=(2.0**bits - 1) / 4,
        return_quant_tensor=True,
        **options,
    ).eval()


def traced(module: nn.Module, operation: Callable[[Any], Any], x: Tensor) -> tuple[CodeRange | None, Any]:
    ranges = CodeRanges(module)
    with torch.no_grad(), ranges.tracing():
        result = operation(module(x))
    return ranges.of(result), result


def every_code(bits: int, signed: bool) -> Tensor:
    """An image that holds all codes of a type, as real values."""
    codes = torch.arange(-(2 ** (bits - 1)), 2 ** (bits - 1)) if signed else torch.arange(2**bits)
    return codes.repeat(4)[: 4 * max(1, len(codes) // 4 * 4)].reshape(1, 1, -1, 2) / 4


OPERATIONS: dict[str, Callable[[Any], Any]] = {
    "nothing": lambda x: x,
    "negative": lambda x: -x,
    "magnitude": lambda x: abs(x),
    "twice": lambda x: x + x,
    "average": lambda x: F.avg_pool2d(x, 2, 2, 0, False, True, None),
    "maximum": lambda x: F.max_pool2d(x, 2),
    "negative of twice": lambda x: -(x + x),
    "relu": lambda x: F.relu(x),
    "joined with its negative": lambda x: torch.cat([x.value, (-x).value], 1),
    "flat": lambda x: x.flatten(1),
    "transposed": lambda x: x.transpose(2, 3),
}


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize(("bits", "signed"), [(1, False), (2, False), (4, False), (2, True), (4, True)])
def test_every_reachable_integer_is_inside(operation: str, bits: int, signed: bool) -> None:
    codes, result = traced(quantizer(bits, signed), OPERATIONS[operation], every_code(bits, signed))
    assert codes is not None
    value = result.value if hasattr(result, "value") else result
    integers = value / codes.scale
    assert torch.equal(integers, integers.round())
    assert codes.values.lo <= int(integers.min())
    assert int(integers.max()) <= codes.values.hi


def test_brevitas_claims_too_few_bits_where_the_trace_does_not() -> None:
    codes, result = traced(quantizer(1, False), lambda x: x + x, every_code(1, False))
    assert result.value.max() / result.scale == 2  # does not fit the one bit that is claimed
    assert result.bit_width == 1
    assert codes is not None
    assert codes.values == IntRange(0, 2)
    assert codes.bit_width == 2


def test_narrow_range_and_zero_point_are_known() -> None:
    narrow, _ = traced(quantizer(4, True, narrow_range=True), lambda x: x, every_code(4, True))
    assert narrow is not None
    assert narrow.values == IntRange(-7, 7)
    shifted = qnn.QuantIdentity(act_quant=ShiftedUint8ActPerTensorFloat, bit_width=4, return_quant_tensor=True)
    shifted(torch.linspace(-1.0, 3.0, 1000))
    codes, result = traced(shifted.eval(), lambda x: x, torch.linspace(-9.0, 9.0, 1000))
    assert codes is not None
    zero_point = int(result.zero_point)
    assert zero_point > 0
    assert codes.values == IntRange(-zero_point, 15 - zero_point)


def test_a_signed_bit_is_bipolar() -> None:
    binary = qnn.QuantIdentity(act_quant=SignedBinaryActPerTensorConst, return_quant_tensor=True)
    codes, _ = traced(binary.eval(), lambda x: x, torch.tensor([-3.0, 0.5]))
    assert codes is not None
    assert codes.values == IntRange(-1, 1)
    pair, _ = traced(binary, lambda x: x + x, torch.tensor([-3.0, 0.5]))
    assert pair is not None
    assert pair.values == IntRange(-2, 2)


@pytest.mark.parametrize(
    "operation",
    [
        lambda x: x.value * 0.5,
        lambda x: torch.sigmoid(x.value),
        lambda x: F.pad(x.value, (1, 1), value=0.3),
        lambda x: F.interpolate(x.value, scale_factor=2, mode="bilinear"),
        lambda x: F.dropout(x.value, 0.5, True),
        lambda x: x.value.mul_(3.0),
        lambda x: F.leaky_relu(x.value, 0.1, inplace=True),
        lambda x: torch.cat([x.value, torch.rand_like(x.value)]),
    ],
)
def test_the_trace_ends_where_an_operation_is_not_known(operation: Callable[[Any], Any]) -> None:
    assert traced(quantizer(4, False), operation, every_code(4, False))[0] is None


def test_plain_tensors_keep_their_trace() -> None:
    plain = nn.Sequential(
        quantizer(
            4,
            False,
        ),
        nn.MaxPool2d(2),
        nn.Dropout(),
        nn.Flatten(),
    ).eval()
    plain[0].return_quant_tensor = False
    codes, result = traced(plain, lambda x: x, every_code(4, False))
    assert isinstance(result, Tensor)
    assert codes is not None
    assert codes.values == IntRange(0, 15)


def test_nothing_is_left_behind() -> None:
    from brevitas.quant_tensor import IntQuantTensor

    before = IntQuantTensor.__neg__, IntQuantTensor.__abs__
    module = quantizer(4, True)
    with pytest.raises(RuntimeError, match="stop"), CodeRanges(module).tracing():
        raise RuntimeError("stop")
    assert (IntQuantTensor.__neg__, IntQuantTensor.__abs__) == before
    assert not any(child._forward_hooks for child in module.modules())
