"""Ranges traced from quantizers, against what the quantizers' every code gives; among them what Brevitas gets wrong."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import brevitas.nn as qnn
import pytest
import torch
from brevitas.quant import (
    Int8ActPerTensorFloat,
    ShiftedUint8ActPerTensorFloat,
    SignedBinaryActPerTensorConst,
)
from torch import Tensor, nn
from torch.nn import functional as F

from brevitas_a2q._ranges import Codes
from brevitas_a2q._trace import Trace
from brevitas_a2q.bounds import IntRange


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


def traced(module: nn.Module, operation: Callable[[Any], Any], x: Tensor) -> tuple[Codes | None, Any]:
    trace = Trace(module)
    with torch.no_grad(), trace.running(x):
        result = operation(module(x))
    known = trace.of(result)
    return known and known.value.codes, result


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
    "running sum": lambda x: x.value.cumsum(2),
    "running sum of negatives": lambda x: (-x).value.cumsum(3),
    "patches": lambda x: F.unfold(x.value, 2),
    "folded patches": lambda x: F.fold(F.unfold(x.value, 2, padding=1), x.shape[2:], 2, padding=1),
    "product with whole numbers": lambda x: x.value @ torch.tensor([[1.0, -2.0], [3.0, 0.0]]),
    "masked by itself": lambda x: (x.value > 0) * x.value,
    "where another is not": lambda x: (x.value != 0).logical_not() * -x.value,
    "for each": lambda x: torch._foreach_add([x.value, x.value], [x.value, -x.value])[0],
    "copied deeply": lambda x: copy.deepcopy(x.value + x.value).flip(2),
    "put": lambda x: x.value.index_put((torch.tensor([0]),), (x.value + x.value)[:, 0]),
    "scattered": lambda x: x.value.scatter(3, torch.zeros(1, 1, 1, 1, dtype=torch.long), -x.value),
    "scattered where": lambda x: x.value.masked_scatter(x.value > 0, -(x.value + x.value)),
}


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize(("bits", "signed"), [(1, False), (2, False), (4, False), (2, True), (4, True)])
def test_every_reachable_integer_is_inside(operation: str, bits: int, signed: bool) -> None:
    codes, result = traced(quantizer(bits, signed), OPERATIONS[operation], every_code(bits, signed))
    assert codes is not None
    value = result.value if hasattr(result, "value") else result
    integers = value.double() / torch.as_tensor(codes.scale)
    assert torch.allclose(integers, integers.round())
    assert codes.range.lo <= round(float(integers.min()))
    assert round(float(integers.max())) <= codes.range.hi


def test_brevitas_claims_too_few_bits_where_the_trace_does_not() -> None:
    codes, result = traced(quantizer(1, False), lambda x: x + x, every_code(1, False))
    assert result.value.max() / result.scale == 2  # does not fit the one bit that is claimed
    assert result.bit_width == 1
    assert codes is not None
    assert codes.range == IntRange(0, 2)
    assert codes.dtype.bit_width == 2


def test_narrow_range_and_zero_point_are_known() -> None:
    narrow, _ = traced(quantizer(4, True, narrow_range=True), lambda x: x, every_code(4, True))
    assert narrow is not None
    assert narrow.range == IntRange(-7, 7)
    shifted = qnn.QuantIdentity(act_quant=ShiftedUint8ActPerTensorFloat, bit_width=4, return_quant_tensor=True)
    shifted(torch.linspace(-1.0, 3.0, 1000))
    codes, result = traced(shifted.eval(), lambda x: x, torch.linspace(-9.0, 9.0, 1000))
    assert codes is not None
    zero_point = int(result.zero_point)
    assert zero_point > 0
    assert codes.range == IntRange(-zero_point, 15 - zero_point)


def test_a_signed_bit_is_bipolar() -> None:
    binary = qnn.QuantIdentity(act_quant=SignedBinaryActPerTensorConst, return_quant_tensor=True)
    codes, _ = traced(binary.eval(), lambda x: x, torch.tensor([-3.0, 0.5]))
    assert codes is not None
    assert codes.range == IntRange(-1, 1)
    pair, _ = traced(binary, lambda x: x + x, torch.tensor([-3.0, 0.5]))
    assert pair is not None
    assert pair.range == IntRange(-2, 2)


@pytest.mark.parametrize(
    "operation",
    [
        lambda x: torch.sigmoid(x.value),
        lambda x: F.pad(x.value, (1, 1), value=0.3),
        lambda x: F.interpolate(x.value, scale_factor=2, mode="bilinear"),
        lambda x: F.leaky_relu(x.value, 0.1, inplace=True),
        lambda x: torch.cat([x.value, torch.rand_like(x.value)]),
        lambda x: x.value.sort(2).values.cumprod(2),
        lambda x: x.value.round().to(torch.int32).float(),
        lambda x: (8 * x.value).sum(1, keepdim=True, dtype=torch.int32).float(),
        lambda x: x.value.view(torch.int32).float(),
        lambda x: (2 * x.value.to_sparse()).to_dense(),
        lambda x: _changed_in_place(x.value, lambda v: v.numpy().__iadd__(v.numpy())),
        lambda x: x.value * x.value.max().item(),
        lambda x: x.value * torch.randint(1, 4, ()).item(),
        lambda x: F.avg_pool2d(x.value.bfloat16(), 2).float(),
        lambda x: _changed_in_place(x.value, lambda v: v[:, :, :1].add_(0.3)),
        lambda x: _changed_in_place(x.value, lambda v: v.select(3, 0).copy_(torch.rand_like(v.select(3, 0)))),
        lambda x: _changed_in_place(x.value, lambda v: torch.sigmoid(v, out=v)),
    ],
)
def test_the_trace_ends_where_an_operation_is_not_known(operation: Callable[[Any], Any]) -> None:
    assert traced(quantizer(4, False), operation, every_code(4, False))[0] is None


def _changed_in_place(value: Tensor, change: Callable[[Tensor], Any]) -> Tensor:
    change(value)
    return value


@pytest.mark.parametrize(
    ("operation", "expected"),
    [
        (lambda v: v[:, :, :1].mul_(8), IntRange(0, 120)),
        (lambda v: v.chunk(2, 3)[0].neg_(), IntRange(-15, 15)),
        (lambda v: v.unbind(3)[1].zero_(), IntRange(0, 15)),
        (lambda v: v.transpose(2, 3)[..., ::2].add_(v.transpose(2, 3)[..., ::2].clone()), IntRange(0, 30)),
        (lambda v: torch.add(v, v, out=v), IntRange(0, 30)),
        (lambda v: v.relu_(), IntRange(0, 15)),
        (lambda v: v.detach()[0].mul_(-2.0), IntRange(-30, 15)),
    ],
)
def test_writes_reach_every_view(operation: Callable[[Tensor], Any], expected: IntRange) -> None:
    """A write to a part changes the whole: its elements are old ones or new ones."""
    codes, result = traced(quantizer(4, False), lambda x: _changed_in_place(x.value, operation), every_code(4, False))
    assert codes is not None
    assert codes.range == expected
    integers = result.double() / torch.as_tensor(codes.scale)
    assert codes.range.lo <= round(float(integers.min()))
    assert round(float(integers.max())) <= codes.range.hi


def test_a_scale_per_channel_moves_with_its_channels() -> None:
    act = qnn.QuantReLU(
        bit_width=4,
        scaling_per_output_channel=True,
        per_channel_broadcastable_shape=(1, 3, 1, 1),
        scaling_impl_type="parameter",
        scaling_init=1.0,
        return_quant_tensor=True,
    ).eval()
    codes, _ = traced(act, lambda x: x.value.permute(0, 2, 3, 1), torch.rand(1, 3, 4, 4))
    assert codes is not None
    assert codes.scale.size == 1 or codes.scale.shape == (1, 1, 1, 3)


PRODUCTS: dict[str, Callable[[Tensor], Any]] = {
    "matmul": lambda v: torch.matmul(v, v.transpose(1, 2)),
    "@": lambda v: v @ v.transpose(1, 2),
    "bmm": lambda v: torch.bmm(v, v.transpose(1, 2)),
    "einsum": lambda v: torch.einsum("bik,bjk->bij", v, v),
    "baddbmm": lambda v: torch.baddbmm(torch.zeros(1), v, v.transpose(1, 2)),
    "attention": lambda v: F.scaled_dot_product_attention(v, v, v),
    "out=": lambda v: torch.matmul(v, v.transpose(1, 2), out=torch.empty(2, 5, 5)),
}


@pytest.mark.parametrize("product", PRODUCTS)
def test_products_of_two_activations_are_seen(product: str) -> None:
    act = quantizer(4, False)
    trace, x = Trace(act), torch.rand(2, 5, 8)
    with torch.no_grad(), trace.running(x):
        PRODUCTS[product](act(x).value)
    assert [found.size for found in trace.products][:1] == [8]
    assert all(value.codes is not None for value in (trace.products[0].left, trace.products[0].right))


@pytest.mark.parametrize(
    "function",
    [
        lambda v, w: F.linear(v, w),
        lambda v, w: v @ w.T,
        lambda v, w: F.conv1d(v.transpose(1, 2), w[..., None]),
        lambda v, w: torch.addmm(torch.zeros(1), v[0], w.T),
    ],
)
def test_products_with_quantized_weights_are_seen(function: Callable[[Tensor, Tensor], Any]) -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.act, self.weight_act = quantizer(4, False), quantizer(4, True)
            self.weight = nn.Parameter(torch.randn(6, 8))

        def forward(self, x: Tensor) -> Any:
            return function(self.act(x).value, self.weight_act(self.weight).value)

    trace, x = Trace(net := Net().eval()), torch.rand(2, 5, 8)
    with torch.no_grad(), trace.running(x):
        net(x)
    (product,) = trace.products
    assert (product.size, product.right.number is not None, product.right.codes is not None) == (8, True, True)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("bits", [3, 7, 8])
def test_sums_in_half_precision_may_round_to_further_integers(dtype: torch.dtype, bits: int) -> None:
    """5 times 127 is 635, and bfloat16 makes 636 of it."""

    module = quantizer(bits, False)
    trace, x = Trace(module), every_code(bits, False)
    with torch.no_grad(), trace.running(x):
        v = module(x).value.to(dtype)
        result = ((v + v) + (v + v)) + v
    known = trace.of(result)
    assert known is not None
    assert known.value.codes is not None
    highest = int(known.value.integer_ends()[1].max())
    reached = int((4 * result.double()).round().max())
    assert reached <= highest <= 1.1 * 5 * 2**bits
    assert (bits, dtype) != (7, torch.bfloat16) or reached == 636
    assert (bits, dtype) != (3, torch.float16) or highest == 35  # where the type has bits to spare nothing is lost


@pytest.mark.parametrize(
    "read",
    [
        lambda v: bool(v.sum() > 1),
        lambda v: v.sum().item() > 1,
        lambda v: float(v.max()) > 1,
        lambda v: torch.equal(v, v + 1),
    ],
)
def test_reading_values_is_named(read: Callable[[Tensor], bool]) -> None:
    act = quantizer(4, False)
    trace, x = Trace(act), torch.rand(2, 5)
    with torch.no_grad(), trace.running(x):
        read(act(x).value)
    assert [place.split(":")[0] for place in trace.branches] == ["test_tracing.py"]


def test_while_learning_two_scales_that_are_equal_by_chance_are_not() -> None:
    class Net(nn.Module):
        def __init__(self, constant: bool) -> None:
            super().__init__()
            kind: Any = {"scaling_impl_type": "const", "scaling_init": 1.0} if constant else {}
            self.first, self.second = (qnn.QuantReLU(bit_width=4, return_quant_tensor=True, **kind) for _ in range(2))

        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            a, b = self.first(x).value, self.second(x).value
            return a + b, a + a

    for constant, expected in ((True, IntRange(0, 30)), (False, None)):
        net, x = Net(constant).eval(), torch.rand(2, 5)
        trace = Trace(net, learning=True)
        with torch.no_grad(), trace.running(x):
            both, twice = net(x)
        codes = trace.of(both).value.codes  # type: ignore[union-attr]
        assert (codes and codes.range) == expected
        assert trace.of(twice).value.codes.range == IntRange(0, 30)  # type: ignore[union-attr]


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
    assert codes.range == IntRange(0, 15)


def test_nothing_is_left_behind() -> None:
    module = nn.Sequential(quantizer(4, True), qnn.QuantLinear(4, 4, bias=False)).eval()
    before = [dict(vars(child)) for child in module.modules()]
    with pytest.raises(RuntimeError, match="stop"), Trace(module).running():
        raise RuntimeError("stop")
    assert not any(child._forward_hooks or child._forward_pre_hooks for child in module.modules())
    assert [dict(vars(child)).keys() for child in module.modules()] == [each.keys() for each in before]
