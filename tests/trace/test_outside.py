"""Ways around the trace: numbers, memory and state that no operation of the model shows, and what it makes of them."""

from __future__ import annotations

import io
import pickle
import threading
from collections.abc import Callable
from typing import Any

import brevitas.nn as qnn
import numpy as np
import pytest
import torch
from brevitas.quant import Int8ActPerTensorFloat, Int8WeightPerTensorFloat
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.module import register_module_forward_hook

from brevitas_a2q import certify
from brevitas_a2q.errors import ModelError

ZEROS = torch.zeros(1, 4, 4, 4)


class Net(nn.Module):
    """A quantizer, an operation, and a layer of Brevitas' own."""

    def __init__(self, operation: Callable[[Any, Tensor], Any], act: nn.Module | None = None) -> None:
        super().__init__()
        self.act = act or qnn.QuantIdentity(bit_width=4, return_quant_tensor=False)
        self.operation = operation
        self.layer = qnn.QuantConv2d(4, 4, 1, bias=False, weight_quant=Int8WeightPerTensorFloat)
        self.register_buffer("buffer", torch.zeros(1, 4, 4, 4))
        self.kept, self.number = torch.zeros(1, 4, 4, 4), 1

    def forward(self, x: Tensor) -> Any:
        return self.layer(self.operation(self, self.act(x)))


def made(operation: Callable[[Any, Tensor], Any], act: nn.Module | None = None) -> Net:
    torch.manual_seed(0)
    net = Net(operation, act)
    with torch.no_grad():
        net(torch.randn(1, 4, 4, 4))
    return net.eval()


def _written(change: Callable[[Tensor], Any]) -> Callable[[Any, Tensor], Tensor]:
    def operation(_: Any, q: Tensor) -> Tensor:
        q = q.clone()
        change(q)
        return q

    return operation


def _saved(_: Any, q: Tensor) -> Tensor:
    file = io.BytesIO()
    torch.save(q, file)
    file.seek(0)
    return torch.load(file) + q


def _in_a_thread(_: Any, q: Tensor) -> Tensor:
    found: list[Tensor] = []
    thread = threading.Thread(target=lambda: found.append((q + q).detach()))
    thread.start()
    thread.join()
    return found[0] + q


def _capsule(q: Tensor) -> Tensor:
    return torch.from_dlpack(torch.utils.dlpack.to_dlpack(q))


def _by_numpy(q: Tensor) -> None:
    shared = _capsule(q).numpy()
    shared += shared


def _remembered(net: Any, q: Tensor) -> Tensor:
    before, net.kept = net.kept, q.detach().clone()
    return before + q


def _remembered_in_a_buffer(net: Any, q: Tensor) -> Tensor:
    before = net.buffer.clone()
    net.buffer.copy_(q)
    return before + q


def _remembered_as_a_number(net: Any, q: Tensor) -> Tensor:
    y = q * net.number + q
    net.number = int(q.abs().max() * 10)
    return y


def _counted(net: Any, q: Tensor) -> Tensor:
    net.number += 1
    return q * net.number + q


def _listed(make: Callable[[Tensor, list[Tensor]], Tensor]) -> Callable[[Any, Tensor], Tensor]:
    return lambda _, q: make(q, list((q + q).flatten())).reshape(q.shape) + q


RANDOM: dict[str, Callable[[Tensor], Tensor]] = {
    "geometric": lambda v: v.geometric_(0.3),
    "Cauchy": lambda v: v.cauchy_().round(),
    "log-normal": lambda v: v.log_normal_().round(),
    "binomial": lambda v: torch.binomial(torch.full((1,), 10.0), torch.full((1,), 0.5)),
    "gamma": lambda v: torch._standard_gamma(torch.ones(1)).round(),
    "Poisson": lambda v: torch.poisson(torch.ones(1)),
}

UNSEEN: dict[str, Callable[[Any, Tensor], Any]] = {
    "rounded to decimals": lambda _, q: torch.round(q, decimals=1),
    "elu of a slope": lambda _, q: F.elu(q, alpha=4.0).round(),
    "copied to bytes": lambda _, q: torch.empty(q.shape, dtype=torch.uint8).copy_(q).float(),
    "bits of integers": lambda _, q: q.contiguous().view(dtype=torch.int32).float(),
    "tensor of a list": _listed(lambda _, parts: torch.tensor(parts)),
    "as_tensor of a list": _listed(lambda _, parts: torch.as_tensor(parts)),
    "new_tensor of a list": _listed(lambda q, parts: q.new_tensor(parts)),
    "pickled": lambda _, q: pickle.loads(pickle.dumps(q.clone())) + q,
    "saved": _saved,
    "by DLPack's capsule": lambda _, q: _capsule(q) + q,
    "written through a capsule": _written(lambda q: _capsule(q).add_(1)),
    "written by NumPy through a capsule": _written(_by_numpy),
    "written by a function of Python": _written(lambda q: q.apply_(lambda v: v + v)),
    "storage as a list": lambda _, q: torch.tensor(list(q.contiguous().storage())).reshape(q.shape) + q,
    "storage written": _written(lambda q: q.untyped_storage().copy_((q + q).untyped_storage())),
    "by a thread": _in_a_thread,
    "noise written by an operation": _written(lambda q: torch.ops.aten.rrelu_with_noise(q + 1, q, 0.1, 0.3, True)),
    **{
        f"times random numbers, {name}": lambda _, q, draw=draw: q * draw(torch.empty(1)) + q  # type: ignore[misc]
        for name, draw in RANDOM.items()
    },
    "times as many as are drawn": lambda _, q: sum([q] * int(torch.empty(1).geometric_(0.1))),
    "times what memory holds": lambda _, q: q * torch.empty(1) + q,
    "control flow as an operation": lambda _, q: torch.ops.higher_order.cond(
        q.sum() > 0, lambda x: (x + x,), lambda x: (x.clone(),), (q.clone(),)
    )[0],
    "several shapes": lambda _, q: torch.nested.as_nested_tensor([q[0] + q[0], q[0, :2]]).to_padded_tensor(0.0)[:1] + q,
    "remembered": _remembered,
    "remembered in a buffer": _remembered_in_a_buffer,
    "remembered as a number": _remembered_as_a_number,
    "counted": _counted,
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("operation", UNSEEN)
def test_what_is_not_seen_is_not_covered(operation: str) -> None:
    with pytest.raises(ModelError, match="layer layer"):
        certify(made(UNSEEN[operation]), ZEROS)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("operation", ["repr", "format"])
def test_text_of_a_tensor_is_named(operation: str) -> None:
    read: dict[str, Callable[[Tensor], str]] = {"repr": repr, "format": lambda q: f"{q.max():.1f}"}
    found = certify(made(lambda _, q: q + q if "7" in read[operation](q) else q), ZEROS)
    assert any("reads values of the input" in text for text in found.uncovered)


def _global_hook(net: Net) -> Any:
    return register_module_forward_hook(
        lambda module, _, output: output.set(value=output.value * 2.0) if module is net.act.act_quant else None
    )


@pytest.mark.parametrize("kind", ["own", "of all modules"])
def test_hooks_on_quantizers_make_them_unknown(kind: str) -> None:
    net = made(lambda _, q: q)
    handle = (
        net.act.act_quant.register_forward_hook(lambda _, __, output: output.set(value=output.value + output.value))
        if kind == "own"
        else _global_hook(net)
    )
    try:
        with pytest.raises(ModelError, match="hooks of act"):
            certify(net, ZEROS)
    finally:
        handle.remove()


class _Doubling(qnn.QuantConv2d):
    def inner_forward_impl(self, x: Any, weight: Any, bias: Any) -> Any:
        return super().inner_forward_impl(x * 3, weight, bias)


@pytest.mark.parametrize("patched", [False, True])
def test_a_layer_that_multiplies_something_else(patched: bool) -> None:
    net = made(lambda _, q: q)
    if patched:
        original = net.layer.inner_forward_impl
        net.layer.inner_forward_impl = lambda x, weight, bias: original(x * 3, weight, bias)
    else:
        net.layer.__class__ = _Doubling
    with pytest.raises(ModelError, match="its product is computed by"):
        certify(net, ZEROS)


class _FromInput(nn.Module):
    def __init__(self) -> None:
        super().__init__()

    def forward(self, x: Tensor, threshold: Any = None) -> Tensor:
        return x.detach().abs().max().clamp(min=1e-3)


class _Dynamic(Int8ActPerTensorFloat):
    scaling_impl = _FromInput


class _Pair(nn.Module):
    def __init__(self, both: bool) -> None:
        super().__init__()
        self.first, self.second = (qnn.QuantIdentity(_Dynamic, bit_width=4) for _ in range(2))
        self.both = both

    def forward(self, x: Tensor) -> Tensor:
        return self.first(x) + self.second(x * 0.37) if self.both else self.first(x).transpose(2, 3)


def test_scales_that_follow_the_input_are_only_equal_by_chance() -> None:
    with pytest.raises(ModelError, match="a scale that moves"):
        certify(made(lambda _, q: q, _Pair(both=True)), ZEROS)
    assert certify(made(lambda _, q: q, _Pair(both=False)), ZEROS).layers[0].input_range.upper == 7


def test_a_quantizer_that_waits_does_not_quantize() -> None:
    with pytest.raises(ModelError, match="does not quantize yet"):
        certify(made(lambda _, q: q, qnn.QuantIdentity(bit_width=4, quant_delay_steps=9)), ZEROS)


class _InPlace(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.add_(x)


class _Beside(nn.Module):
    """A quantizer whose activation function changes what another has made."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = qnn.QuantIdentity(bit_width=4), qnn.QuantReLU(bit_width=3)
        self.second.act_quant.fused_activation_quant_proxy.activation_impl = _InPlace()

    def forward(self, x: Tensor) -> Tensor:
        y = self.first(x)
        self.second(y)
        return y


def test_a_quantizer_that_writes_to_its_input() -> None:
    with pytest.raises(ModelError, match="written by what it was given to"):
        certify(made(lambda _, q: q, _Beside()), ZEROS)


def test_what_does_not_matter_is_covered() -> None:
    """State that nothing is computed from, constants that the model holds or makes, memory that is shared within it."""

    def operation(net: Any, q: Tensor) -> Tensor:
        net.kept = q
        q = q * torch.empty(1).fill_(2)
        y = torch.zeros_like(q)
        y[:, 1:] = q[:, :-1]
        y = y * net.gain + torch.zeros(4, 1, 1)
        return y.data[:, [0, 1, 3, 2]]

    net = Net(operation)
    net.gain = torch.tensor([1.0, 2.0, 0.5, 4.0]).mean()
    net.act(torch.randn(1, 4, 4, 4))
    found = certify(net.eval(), np.zeros((1, 4, 4, 4), np.float32))
    assert (found.layers[0].input_range.lower, found.layers[0].input_range.upper) == (-8, 7)
    assert found.uncovered == ()


@pytest.mark.parametrize("nested", [False, True])
def test_arrays_are_inputs_as_tensors_are(nested: bool) -> None:
    """Zeros are one input of many, also where a model makes its tensors itself."""

    class FromArrays(nn.Module):
        def __init__(self, inner: nn.Module) -> None:
            super().__init__()
            self.inner = inner

        def forward(self, x: Any) -> Any:
            return self.inner(torch.from_numpy(x["images"]) if nested else x)

    array = np.zeros((1, 4, 4, 4), np.float32)
    found = certify(FromArrays(made(lambda _, q: q)), ({"images": array},) if nested else array)
    assert (found.layers[0].input_range.lower, found.layers[0].input_range.upper) == (-8, 7)


def _by_a_thread(_: Any, q: Tensor) -> Tensor:
    thread = threading.Thread(target=lambda: q.add_(q.clone()))
    thread.start()
    thread.join()
    return q


def test_what_another_thread_writes_to_a_tensor_is_unknown() -> None:
    with pytest.raises(ModelError, match="written without being seen"):
        certify(made(_by_a_thread), ZEROS)
