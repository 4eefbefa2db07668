"""Which integers arrive: learned from what the model does, before extreme inputs are seen, and held afterwards."""

from __future__ import annotations

import copy
import pickle
import warnings
from collections.abc import Callable
from typing import Any

import brevitas.nn as qnn
import pytest
import torch
import torch.nn.functional as F
from brevitas.quant import Int8ActPerTensorFloat, ShiftedUint8ActPerTensorFloat
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from brevitas_a2q.bounds import IntRange
from brevitas_a2q.errors import ModelError
from brevitas_a2q.quant._arrivals import Basis
from brevitas_a2q.quant._layers import learn_input_ranges
from brevitas_a2q.quant._quantizers import Int8ProjectedA2QWeightPerChannelFloat
from brevitas_a2q.verify._certify import certify


def unsigned(bits: int, **settings: Any) -> Any:
    return qnn.QuantReLU(bit_width=bits, return_quant_tensor=True, **settings)


def conv(bits: int = 14, channels: int = 4, **settings: Any) -> Any:
    return qnn.QuantConv2d(
        channels,
        8,
        3,
        bias=False,
        weight_quant=Int8ProjectedA2QWeightPerChannelFloat,
        weight_bit_width=4,
        weight_accumulator_bit_width=bits,
        **settings,
    )


class Net(nn.Module):
    def __init__(self, act: Any, operation: Callable[[Any], Any], layer: Any) -> None:
        super().__init__()
        self.act, self.operation, self.conv = act, operation, layer
        with torch.no_grad():
            next(self.conv.parameters()).abs_()

    def forward(self, x: Tensor) -> Any:
        self.seen = self.operation(self.act(x))
        return self.conv(self.seen)


def plain(x: Any) -> Tensor:
    return x.value if hasattr(x, "value") else x


def _in_place(x: Any) -> Any:
    x.value[:, :2].mul_(8)
    return x


OPERATIONS: dict[str, tuple[Callable[[Any], Any], IntRange]] = {
    "nothing": (lambda x: x, IntRange(0, 15)),
    "a plain tensor": (lambda x: x.value, IntRange(0, 15)),
    "sum pool": (lambda x: F.avg_pool2d(x, 2, 2, 0, False, True, 1), IntRange(0, 60)),
    "average pool": (lambda x: F.avg_pool2d(x, 3, 2, 0, False, True, None), IntRange(0, 135)),
    "four times": (lambda x: x + x + x + x, IntRange(0, 60)),
    "difference": (lambda x: x.value - x.value.flip(1), IntRange(-15, 15)),
    "negative": (lambda x: -x, IntRange(-15, 0)),
    "in place": (_in_place, IntRange(0, 120)),
    "doubled": (lambda x: x.value * 2, IntRange(0, 15)),
    "joined": (lambda x: torch.cat([x.value[:, :2], -x.value[:, 2:]], 1), IntRange(-15, 15)),
}


@pytest.mark.parametrize("operation", OPERATIONS)
def test_the_range_is_there_before_extreme_inputs(operation: str, no_overflow: Callable[..., None]) -> None:
    change, expected = OPERATIONS[operation]
    torch.manual_seed(0)
    net = Net(unsigned(4), change, conv())
    net(0.1 * torch.randn(2, 4, 10, 10))
    proxy = net.conv.weight_quant
    found = proxy.input_range()
    assert found is not None
    assert found.contains(expected)
    assert found.hi - found.lo <= 2 * (expected.hi - expected.lo)
    no_overflow(net.conv, expected, 14)
    weights = proxy.integer_weight()
    net.eval()
    for sign in (1.0, -1.0):
        net(torch.full((2, 4, 10, 10), sign * 1e4))
        codes = (plain(net.seen).double() / float(net.act(torch.zeros(1)).scale)).round()
        if operation not in ("average pool", "in place", "doubled"):
            assert expected.lo <= int(codes.min()) <= int(codes.max()) <= expected.hi
    assert torch.equal(proxy.integer_weight(), weights)


def test_a_first_call_changes_nothing_else() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.BatchNorm2d(4), nn.Dropout(0.2), unsigned(4), conv(), nn.BatchNorm2d(8))
    x = torch.randn(2, 4, 6, 6)
    known = copy.deepcopy(model)
    learn_input_ranges(known, x)
    known[3].weight_quant.scale()  # both have their scale now
    modes = [module.training for module in model.modules()]
    torch.manual_seed(1)
    first = model(x)
    torch.manual_seed(1)
    second = known(x)
    assert torch.equal(first, second)
    assert [module.training for module in model.modules()] == modes
    assert int(model[0].num_batches_tracked) == 1
    for mine, other in zip(model.state_dict().values(), known.state_dict().values(), strict=True):
        assert torch.equal(mine, other)
    assert not any(module._forward_pre_hooks for module in model.modules())


@pytest.mark.parametrize("through_data", [False, True])
def test_a_changed_bit_width_is_noticed(through_data: bool) -> None:
    net = Net(unsigned(4), lambda x: F.avg_pool2d(x, 2, 2, 0, False, True, 1), conv(20))
    x = torch.rand(2, 4, 10, 10)
    net(x)
    bits = net.act.act_quant.fused_activation_quant_proxy.tensor_quant.msb_clamp_bit_width_impl.bit_width.value
    with torch.no_grad():
        (bits.data if through_data else bits).fill_(8.0)
    with pytest.warns(UserWarning, match=r"inputs have changed from \[0, 60\] to \[0, 1020\]"):
        net(x)
    assert net.conv.weight_quant.input_range() == IntRange(0, 1020)


def test_a_changed_bit_width_behind_plain_tensors_is_noticed() -> None:
    net = Net(unsigned(4), lambda x: x.value, conv(20))
    net(torch.rand(2, 4, 10, 10))
    bits = net.act.act_quant.fused_activation_quant_proxy.tensor_quant.msb_clamp_bit_width_impl.bit_width.value
    bits.data.fill_(6.0)
    with pytest.warns(UserWarning, match=r"inputs have changed"):
        net(torch.rand(2, 4, 10, 10))
    assert net.conv.weight_quant.input_range() == IntRange(0, 63)


def test_a_zero_point_that_moves_is_followed() -> None:
    act = qnn.QuantIdentity(act_quant=ShiftedUint8ActPerTensorFloat, return_quant_tensor=True)
    net = Net(act, lambda x: x, conv(20))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # Brevitas does not compute the zero-point of the output
        for offset in (0.0, -2.0, 2.0):
            net(torch.randn(2, 4, 6, 6) + offset)
            point = int(net.seen.zero_point)
            assert net.conv.weight_quant.input_range() == IntRange(-point, 255 - point).with_zero()


def test_what_no_trace_tells_is_looked_at_in_every_call() -> None:
    net = Net(unsigned(4), lambda x: x.set(value=x.value + 3 * x.scale.detach()), conv(16))
    net(torch.zeros(2, 4, 6, 6) - 1)
    proxy = net.conv.weight_quant
    assert (proxy.arrivals.basis, proxy.input_range()) == (Basis.CLAIM, IntRange(0, 15))
    with pytest.warns(UserWarning, match=r"integers in \[0, 18\] reach it, where its input claims \[0, 15\]"):
        net(torch.full((2, 4, 6, 6), 1e4))
    assert proxy.input_range() == IntRange(0, 18)
    net(torch.full((2, 4, 6, 6), 1e4))  # told once; warnings are errors here


def test_a_branch_on_values_is_not_relied_upon() -> None:
    net = Net(unsigned(4), lambda x: x + x if x.value.sum() > 1e5 else x, conv(16))
    net(torch.rand(2, 4, 6, 6))
    assert net.conv.weight_quant.arrivals.basis is Basis.CLAIM or net.conv.weight_quant.arrivals.reason == ""


def test_a_float_input_is_refused_with_layer_and_remedy() -> None:
    net = Net(unsigned(4), lambda x: torch.sigmoid(x.value), conv())
    with pytest.raises(ModelError, match="no quantized input has reached it yet"):
        net(torch.rand(2, 4, 6, 6))


def test_a_hook_that_keeps_outputs_changes_nothing() -> None:
    """A reference held elsewhere says nothing about an input."""
    kept: list[Any] = []
    net = Net(unsigned(1), lambda x: x + x, conv(8))
    net.act.register_forward_hook(lambda _m, _i, output: kept.append(output.detach()))
    net(torch.rand(2, 4, 6, 6))
    assert net.conv.weight_quant.input_range() == IntRange(0, 2)


def test_copies_find_out_by_themselves() -> None:
    net = Net(unsigned(4), lambda x: x, conv())
    net.operation = torch.nn.Identity()
    net(torch.rand(2, 4, 6, 6))
    net.seen = None
    twin = copy.deepcopy(net)
    assert twin.conv.weight_quant.input_range() == IntRange(0, 15)
    twin(torch.rand(2, 4, 6, 6))
    assert twin.conv.weight_quant.arrivals.basis is Basis.QUANTIZER
    assert pickle.loads(pickle.dumps(net.conv.weight_quant.arrivals)).basis is Basis.UNKNOWN


def test_a_layer_that_runs_twice_has_the_union() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.act, self.conv = unsigned(4), conv()

        def forward(self, x: Tensor) -> Any:
            x = self.act(x)
            return self.conv(x) + self.conv(-x) + self.conv(x + x)

    net = Twice()
    net(torch.rand(2, 4, 6, 6))
    assert net.conv.weight_quant.input_range() == IntRange(-15, 30)


def test_wrapped_for_parallel_training(tmp_path: Any) -> None:
    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/meet", rank=0, world_size=1)
    try:
        net = DistributedDataParallel(Net(unsigned(4), lambda x: x + x, conv()))
        for _ in range(2):
            net(torch.rand(2, 4, 6, 6)).square().mean().backward()
        assert net.module.conv.weight_quant.input_range() == IntRange(0, 30)
        assert net.module.conv.weight.grad is not None
    finally:
        torch.distributed.destroy_process_group()


@pytest.mark.filterwarnings("ignore:Computing zero point")
@pytest.mark.parametrize("bits", [(4, 6), (6, 4), (4, 4)])
def test_a_layer_that_runs_twice_has_one_set_of_weights_for_both_of_its_inputs(bits: tuple[int, int]) -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            kind = ShiftedUint8ActPerTensorFloat if bits[0] == bits[1] else Int8ActPerTensorFloat
            self.first, self.second = (
                qnn.QuantIdentity(act_quant=kind, bit_width=n, return_quant_tensor=True) for n in bits
            )
            self.layer = qnn.QuantLinear(
                16, 4, False, weight_quant=Int8ProjectedA2QWeightPerChannelFloat, weight_accumulator_bit_width=10
            )

        def forward(self, x: Tensor) -> Tensor:
            return self.layer(self.first(x)) + self.layer(self.second(x * x - 1))

    torch.manual_seed(0)
    model, made = Twice(), []
    for _ in range(3):
        model(torch.randn(4, 16))
    model.layer.weight_quant.register_forward_hook(lambda _, __, weight: made.append(weight.value))
    model.eval()(torch.randn(4, 16))
    assert torch.equal(*made)
    assert certify(model, torch.zeros(1, 16)).holds


def test_a_range_that_was_only_claimed_is_traced_by_the_first_certificate_which_says_so() -> None:
    """As a model that is compiled before its first call leaves it."""
    model = Net(unsigned(4), _in_place, conv())
    model(torch.rand(1, 4, 6, 6))
    traced = model.conv.weight_quant.input_range()
    model.conv.weight_quant.remember_range(IntRange(0, 15))
    with pytest.warns(UserWarning, match=r"inputs have changed from \[0, 15\]"):
        found = certify(copy.deepcopy(model), torch.rand(1, 4, 6, 6))
    assert found.layers[0].input_range.upper == traced.hi
    assert found.holds


@pytest.mark.filterwarnings("ignore:Computing zero point")
def test_a_range_that_is_learned_rests_on_no_zero_point_of_the_moment() -> None:
    """Brevitas negates integers by dividing by the scale and adding the zero-point."""
    act = qnn.QuantIdentity(act_quant=ShiftedUint8ActPerTensorFloat, bit_width=2, return_quant_tensor=True)
    act(torch.tensor([2.0, 5.0]))
    net = Net(act, lambda x: -(x + x), conv())
    net(torch.rand(2, 4, 6, 6) + 3)
    net.eval()
    with torch.no_grad():
        for sign in (1.0, -1.0):
            net(torch.full((2, 4, 6, 6), sign * 1e4))
            codes = (plain(net.seen).double() / net.act(torch.zeros(1)).scale.double()).round()
            found = net.conv.weight_quant.input_range()
            assert found.lo <= int(codes.min()) <= int(codes.max()) <= found.hi


@pytest.mark.filterwarnings("ignore:Computing zero point", "ignore:layer")
@pytest.mark.parametrize("calls", [1, 2])
@pytest.mark.parametrize("datapath", [None, "raw"])
def test_no_later_input_widens_what_a_certificate_has_proven(calls: int, datapath: str | None) -> None:
    """Where the quantizer goes by metadata, as it cannot rest on a zero-point that moves, the certificate can."""
    torch.manual_seed(0)
    act = qnn.QuantIdentity(act_quant=ShiftedUint8ActPerTensorFloat, bit_width=6, return_quant_tensor=True)
    net = Net(
        act,
        lambda x: F.avg_pool2d(-(x + x) if calls == 2 else -x, 2, 2, 0, False, True, None),
        nn.Sequential(conv(10, weight_accumulator_zero_point=datapath)),
    )
    net.conv.forward = lambda x: sum(net.conv[0](v) for v in (x, x + x)[:calls])
    for _ in range(2):
        net(torch.randn(2, 4, 6, 6))
    net.eval()
    certified = certify(net, torch.zeros(1, 4, 6, 6)).layers[0]
    proxy = net.conv[0].weight_quant
    weights = proxy.integer_weight()
    for x in (1e4, -1e4, torch.full((2, 4, 6, 6), -1e4).index_fill(2, torch.tensor([0, 3]), 1e4)):
        net(torch.zeros(2, 4, 6, 6) + x)
        assert torch.equal(proxy.integer_weight(), weights)
    known = proxy.input_range()
    assert known.lo <= certified.input_range.lower <= certified.input_range.upper <= known.hi


def test_in_half_precision_a_range_is_found_anew() -> None:
    """What makes no other integers in single precision may round to some."""
    torch.manual_seed(0)
    net = Net(unsigned(5), lambda x: abs(-x), conv(8))
    x = torch.randn(2, 4, 6, 6)
    for _ in range(3):
        net(x)
    net.eval()(x)
    proxy = net.conv.weight_quant
    assert proxy.input_range() == IntRange(0, 31)
    with pytest.warns(UserWarning, match=r"inputs have changed from \[0, 31\] to \[-1, 34\]; its weights follow"):
        net.bfloat16()(x.bfloat16())
    known, weights = proxy.input_range(), proxy.integer_weight()
    certified = certify(net, x[:1].bfloat16()).layers[0].input_range
    assert known == IntRange(certified.lower, certified.upper) != IntRange(0, 31)
    for count in (1, 2, 3):
        net(torch.randn(count, 4, 6, 6).bfloat16())
        assert torch.equal(proxy.integer_weight(), weights)
