"""A compiled model whose parts are changed afterwards: no sum of any call leaves the accumulator."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import brevitas.nn as qnn
import pytest
import torch
from brevitas.quant import Uint8ActPerTensorFloat
from torch import Tensor, nn

from brevitas_a2q import certify
from brevitas_a2q.bounds import IntRange
from brevitas_a2q.quant import _compilation
from brevitas_a2q.quant._arrivals import Basis
from brevitas_a2q.quant._quantizers import Int8ProjectedA2QWeightPerChannelFloat

pytestmark = [pytest.mark.torch28, pytest.mark.filterwarnings("ignore::UserWarning")]

BITS, STEP = 10, 1 / 16
FAR_OUT = torch.full((2, 16), 1000.0)  # every quantizer at its highest code


def act(bits: int, **options: Any) -> Any:
    """A quantizer whose step is the same at every width, so that sums can be told from outputs."""
    top = (2**bits - 1) * STEP
    how = {"scaling_impl_type": "const", "scaling_init": top, "return_quant_tensor": True, **options}
    return qnn.QuantReLU(act_quant=Uint8ActPerTensorFloat, bit_width=bits, **how)


class Net(nn.Module):
    def __init__(self, bits: int, operation: nn.Module, **options: Any) -> None:
        super().__init__()
        self.act, self.operation, self.times = act(bits, **options), operation, 1
        self.layer = qnn.QuantLinear(
            16,
            4,
            bias=False,
            weight_quant=Int8ProjectedA2QWeightPerChannelFloat,
            weight_bit_width=8,
            weight_accumulator_bit_width=BITS,
        )
        with torch.no_grad():
            self.layer.weight.fill_(0.5)

    def forward(self, x: Tensor) -> Any:
        x = self.operation(self.act(x))
        for _ in range(self.times - 1):
            x = x + x
        return self.layer(x)


class Doubled(nn.Module):
    def forward(self, x: Any) -> Any:
        return x + x


class Summed(nn.Module):
    """Plain numbers, of which there are more where inputs are larger."""

    def forward(self, x: Any) -> Any:
        return x.value.sum(2) if x.value.dim() > 2 else x.value


def most(net: Any, run: Callable[[Tensor], Any], x: Tensor) -> float:
    """The largest sum of a call, as an integer."""
    with torch.no_grad():
        sums = run(x) / (net.layer.quant_weight().scale.flatten() * STEP)
    return float(sums.abs().max())


def wider(net: Any) -> None:
    net.act = act(8)


def doubled(net: Any) -> None:
    net.operation = nn.Sequential(net.operation, Doubled(), Doubled())


def counted(net: Any) -> None:
    net.times = 4


def widened(net: Any) -> None:
    width = net.act.act_quant.fused_activation_quant_proxy.tensor_quant.msb_clamp_bit_width_impl
    width.bit_width.value.data.fill_(8.0)


CHANGES = [(doubled, nn.Identity), (counted, nn.Identity), (wider, Doubled), (widened, Doubled), (widened, Summed)]


@pytest.mark.parametrize(("change", "operation"), CHANGES)
def test_what_changes_in_front_of_a_compiled_layer(
    change: Callable[[Any], None], operation: Callable[[], nn.Module]
) -> None:
    torch._dynamo.reset()
    net = Net(4, operation()).eval()
    net(FAR_OUT)
    run = torch.compile(net, backend="eager")
    assert 0 < most(net, run, FAR_OUT) < 1 << (BITS - 1)
    change(net)
    assert most(net, run, FAR_OUT) < (1 << (BITS - 1)) + 0.01
    assert net.layer.weight_quant.remembered_range().hi >= 31
    certificate = certify(net, FAR_OUT)
    assert certificate.holds
    assert certificate.layers["layer"].upper < 1 << (BITS - 1)


@pytest.mark.parametrize("how", ["wrapped", "in place", "by a function"])
def test_larger_inputs_of_a_compiled_model(how: str) -> None:
    torch._dynamo.reset()
    net = Net(2, Summed()).eval()
    net(FAR_OUT[..., None].expand(2, 16, 3))
    run: Any = net
    if how == "in place":
        net.compile(backend="eager", dynamic=True)
    else:
        run = torch.compile(net if how == "wrapped" else lambda x: net(x), backend="eager", dynamic=True)
    for size in (3, 50):
        x = FAR_OUT[..., None].expand(2, 16, size)
        if how == "by a function":
            net(x)  # of one that is called from elsewhere, shapes are unknown
        assert most(net, run, x) < (1 << (BITS - 1)) + 0.01
    assert net.layer.weight_quant.remembered_range() == IntRange(0, 150)


def test_a_model_that_is_compiled_before_its_first_call() -> None:
    """Plain tensors leave the graph, and the model is traced as it is written."""
    torch._dynamo.reset()
    net = Net(4, nn.Sequential(Doubled(), Summed())).eval()
    assert 0 < most(net, torch.compile(net, backend="eager"), FAR_OUT) < 1 << (BITS - 1)
    assert net.layer.weight_quant.arrivals.basis is Basis.TRACE
    assert net.layer.weight_quant.remembered_range() == IntRange(0, 30)


def test_dropout_widens_no_range_while_a_compiled_model_trains() -> None:
    torch._dynamo.reset()
    net = Net(4, nn.Dropout())
    net(FAR_OUT)
    torch.compile(net, backend="eager")(FAR_OUT)
    assert net.layer.weight_quant.remembered_range() == IntRange(0, 15)


def test_graphs_look_at_values(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is kept of a range widens by what is seen, and by codes behind a zero-point."""
    operator = _compilation._input_ends
    number = torch.tensor
    known = number([0, 5, -3, 5])
    given = number([-1.0, 0.0, 6.0]), number(0.5), number(3.0), number(4.0), number(False)
    assert operator(*given, None, False, False).tolist() == [-3, 12, 0, 15]
    assert operator(*given, known, False, False).tolist() == [0, 5, -3, 8]
    assert operator(*given, known, False, True).tolist() == [-2, 12, -3, 15]
