"""A model that changes after its ranges were traced: other modules, hooks, shapes, numbers loaded into it."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable
from typing import Any

import brevitas.nn as qnn
import pytest
import torch
from brevitas.quant import Int8ActPerTensorFloat, Int8Bias
from torch import Tensor, nn

from brevitas_a2q import certify
from brevitas_a2q._trace import standing
from brevitas_a2q.bounds import IntRange
from brevitas_a2q.errors import ModelError
from brevitas_a2q.quant import Int8ProjectedA2QWeightPerTensorFloat, _arrivals
from brevitas_a2q.quant._input_range import Claim, HostCopies


class Net(nn.Module):
    """A quantizer, something in between, and a layer with 10 accumulator bits."""

    def __init__(self, bits: int, quant_tensors: bool) -> None:
        super().__init__()
        self.act = act(bits, quant_tensors)
        self.between: nn.Module = nn.Identity()
        self.layer = qnn.QuantConv2d(
            4,
            4,
            3,
            bias=False,
            weight_quant=Int8ProjectedA2QWeightPerTensorFloat,
            weight_accumulator_bit_width=10,
        )

    def forward(self, x: Tensor) -> Any:
        return self.layer(self.between(self.act(x)))


def act(bits: int, quant_tensors: bool) -> Any:
    quantizer = qnn.QuantIdentity(bit_width=bits, signed=False, return_quant_tensor=quant_tensors)
    quantizer(torch.rand(2, 4, 6, 6))
    return quantizer


class Fourfold(nn.Module):
    def forward(self, x: Any) -> Any:
        return x + x + x + x


class Total(nn.Module):
    """One sum for each channel, of as many numbers as an image has pixels."""

    def forward(self, x: Any) -> Tensor:
        value = x.value if hasattr(x, "value") else x
        return value.sum((2, 3), keepdim=True).expand(-1, -1, 3, 3)


def made(bits: int = 3, quant_tensors: bool = False, between: nn.Module | None = None) -> Net:
    torch.manual_seed(0)
    net = Net(bits, quant_tensors)
    net.between = between or net.between
    net(torch.rand(2, 4, 6, 6))
    return net


def _swapped(net: Net) -> None:
    net.act = act(6, net.act.return_quant_tensor)


def _between(net: Net) -> None:
    net.between = Fourfold()


def _copied(net: Net) -> Net:
    twin = copy.deepcopy(net)
    _between(twin)
    return twin


def _loaded(net: Net) -> Net:
    wide = made(6, net.act.return_quant_tensor)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        wide.load_state_dict(net.state_dict())
    return wide


CHANGES: dict[str, tuple[Callable[[Net], Any], int]] = {
    "quantizer swapped": (_swapped, 63),
    "module swapped": (_between, 28),
    "hook on a module": (lambda net: net.between.register_forward_hook(lambda _, __, y: y + y + y + y), 28),
    "hook before the layer": (
        lambda net: net.layer.register_forward_pre_hook(lambda _, given: (given[0] + given[0],)),
        14,
    ),
    "copied and changed": (_copied, 28),
    "loaded from one of fewer bits": (_loaded, 63),
}


class Repeated(nn.Module):
    """As often as a number of its own says."""

    def __init__(self, times: int = 1) -> None:
        super().__init__()
        self.times, self.settings, self.calls, self.seen = times, {"more": 0}, 0, (0, 0)

    def forward(self, x: Any) -> Any:
        self.calls += 1
        self.seen = (self.calls, 1)
        value = x.value if hasattr(x, "value") else x
        total = torch.zeros_like(value)
        for _ in range(self.times + self.settings["more"]):
            total = total + value
        return total


class Twice(Repeated):
    def forward(self, x: Any) -> Any:
        return super().forward(x) + super().forward(x)


def _another_class(net: Net) -> None:
    net.between.__class__ = Twice


def _another_method(net: Net) -> None:
    net.between.forward = Twice(2).forward


OTHERWISE: dict[str, tuple[Callable[[Net], Any], int]] = {
    "number": (lambda net: setattr(net.between, "times", 3), 21),
    "number in a dictionary": (lambda net: net.between.settings.update(more=1), 14),
    "class": (_another_class, 14),
    "method": (_another_method, 28),
}


@pytest.mark.parametrize("quant_tensors", [False, True])
@pytest.mark.parametrize("change", OTHERWISE)
def test_the_same_modules_that_compute_otherwise_are_traced_again(change: str, quant_tensors: bool) -> None:
    net = made(quant_tensors=quant_tensors, between=Repeated())
    make, highest = OTHERWISE[change]
    make(net)
    with pytest.warns(UserWarning, match=r"inputs have changed from \[0, 7\]"):
        net(torch.full((1, 4, 6, 6), 1e3))
    assert net.layer.weight_quant.input_range() == IntRange(0, highest)


def test_numbers_that_a_call_changes_do_not_make_it_another(monkeypatch: pytest.MonkeyPatch) -> None:
    net = made(between=Repeated())
    learned: list[Any] = []
    monkeypatch.setattr("brevitas_a2q.quant._arrivals.learn_ranges", learned.append)
    for _ in range(3):
        net.train()(torch.rand(2, 4, 6, 6))
        net.eval()(torch.rand(2, 4, 6, 6))
    assert learned == []


class Counting(nn.Module):
    """Counts while it trains, which no trace in evaluation mode sees."""

    steps = 0

    def forward(self, x: Any) -> Any:
        self.steps += int(self.training)
        return x


def test_a_number_that_is_another_at_each_step_is_looked_at_for_a_few_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    net, learned = made(between=Counting()), list[Any]()
    learn = _arrivals.learn_ranges
    monkeypatch.setattr(_arrivals, "learn_ranges", lambda call: learned.append(call) or learn(call))  # type: ignore[func-returns-value]
    for _ in range(12):
        net.train()(torch.rand(2, 4, 6, 6))
    assert 0 < len(learned) <= 5


@pytest.mark.parametrize("quant_tensors", [False, True])
@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_model_is_traced_again(change: str, quant_tensors: bool) -> None:
    net = made(quant_tensors=quant_tensors)
    make, highest = CHANGES[change]
    found = make(net)
    net = found if isinstance(found, Net) else net
    with pytest.warns(UserWarning, match=r"inputs have changed from \[0, 7\]"):
        net(torch.full((1, 4, 6, 6), 1e3))
    assert net.layer.weight_quant.input_range() == IntRange(0, highest)
    assert certify(net, torch.zeros(1, 4, 6, 6)).holds


def test_sums_over_larger_images_are_wider_and_stay_so() -> None:
    net = made(between=Total())
    assert net.layer.weight_quant.input_range() == IntRange(0, 7 * 36)
    with pytest.warns(UserWarning, match=r"inputs have changed from \[0, 252\] to \[0, 448\]"):
        net(torch.full((1, 4, 8, 8), 1e3))
    net(torch.rand(2, 4, 6, 6))
    net(torch.rand(5, 4, 4, 4))
    assert net.layer.weight_quant.input_range() == IntRange(0, 448)


def test_a_hook_that_may_change_a_quantizers_output_is_named() -> None:
    net = made()
    net.act.act_quant.register_forward_hook(lambda _, __, output: output.set(value=output.value * 4))
    with pytest.warns(UserWarning, match=r"nothing bounds its inputs any more \(what hooks of act return\); \[0, 7\]"):
        net(torch.rand(2, 4, 6, 6))
    net(torch.rand(2, 4, 6, 6))  # told once; warnings are errors here
    with pytest.raises(ModelError, match="what hooks of act return"):
        certify(net, torch.zeros(1, 4, 6, 6))


def test_a_range_of_a_checkpoint_that_nothing_bounds_is_said_to_be_none() -> None:
    """Where the quantizer behind it has never seen its model, so that no trace of its own stands against it."""
    net = made()
    net(torch.rand(2, 4, 6, 6))
    loaded = Net(3, quant_tensors=False)
    loaded.load_state_dict(net.state_dict())
    loaded.act.act_quant.register_forward_hook(lambda _, __, y: y.set(value=y.value * 3))
    with pytest.warns(UserWarning, match=r"nothing bounds its inputs any more \(what hooks of act return\); \[0, 7\]"):
        loaded(torch.rand(2, 4, 6, 6))
    loaded(torch.rand(2, 4, 6, 6))  # it is said once


def test_a_declared_range_is_the_configurations() -> None:
    def declared(bits: int) -> Any:
        return qnn.QuantLinear(
            8,
            4,
            False,
            weight_quant=Int8ProjectedA2QWeightPerTensorFloat,
            weight_accumulator_bit_width=12,
            weight_input_bit_width=bits,
            weight_input_signed=False,
        )

    narrow, wide = declared(3), declared(6)
    wide.load_state_dict(narrow.state_dict(), strict=False)
    assert wide.weight_quant.input_range() == IntRange(0, 63)


def test_it_is_looked_at_once_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    net = nn.Sequential(act(3, False), *(_linear() for _ in range(3)))
    net(torch.rand(2, 8))
    counted: list[nn.Module] = []
    original = standing._structure

    def counting(model: nn.Module) -> int:
        counted.append(model)
        return original(model)

    monkeypatch.setattr(standing, "_structure", counting)
    for run in range(3):
        net(torch.rand(2, 8))
        assert len(counted) == run + 1


def _linear() -> nn.Module:
    layer = qnn.QuantLinear(
        8, 8, False, weight_quant=Int8ProjectedA2QWeightPerTensorFloat, weight_accumulator_bit_width=12
    )
    return nn.Sequential(layer, act(3, False))


def test_a_certificate_is_of_the_weights_that_the_next_run_uses() -> None:
    """Also where that run finds narrower inputs than those before, so that its weights grow."""
    net = made(6)
    net.act = act(2, False)
    with pytest.warns(UserWarning, match=r"inputs have changed from \[0, 63\]"):
        first = certify(net, torch.zeros(1, 4, 6, 6))
    net(torch.rand(3, 4, 6, 6))
    assert certify(net, torch.zeros(1, 4, 6, 6)).layers[0].sums == first.layers[0].sums


def test_an_integer_bias_is_held_against_the_scale_of_its_own_call() -> None:
    """Also in the call that runs the whole model once more, in which the layer sees another scale."""

    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = act(6, True), act(2, True)
            self.layer = qnn.QuantConv2d(
                4,
                4,
                1,
                bias=True,
                bias_quant=Int8Bias,
                weight_quant=Int8ProjectedA2QWeightPerTensorFloat,
                weight_accumulator_bit_width=6,
            )

        def forward(self, x: Tensor) -> Any:
            return self.layer(self.first(x)) + self.layer(self.second(x))

    torch.manual_seed(0)
    net, used = Twice(), list[float]()
    net(torch.rand(2, 4, 6, 6))
    proxy = net.layer.weight_quant
    proxy.register_forward_hook(lambda *_: used.append(float(proxy.input_scale)))
    own = [float(each.act_quant.scale().detach()) for each in (net.first, net.second)]
    for size in (1, 3):
        net.eval()(torch.rand(size, 4, 6, 6))
        assert used[-2:] == own


@pytest.mark.parametrize("bits", [float("inf"), float("nan")])
def test_widths_that_are_no_numbers_are_unbounded(bits: float) -> None:
    """As Brevitas computes them behind layers whose weights have become infinite."""
    quantized = act(4, True)(torch.rand(2, 8))
    claim = Claim.of(_linear()[0], quantized.set(bit_width=torch.tensor(bits)), HostCopies())
    assert claim.bits == 62


def test_a_layer_that_runs_twice_needs_both_of_its_inputs_known() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.act, self.layer = act(3, False), _linear()[0]

        def forward(self, x: Tensor) -> Any:
            x = self.act(x)
            return self.layer(x) + self.layer(x.cumprod(1))

    with pytest.raises(ModelError, match="no quantized input has reached it yet"):
        Twice()(torch.rand(2, 8))


class Around(nn.Module):
    """A model around another one."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> Any:
        return self.inner(x)


def test_a_model_that_changes_inside_of_another_one() -> None:
    net = made()
    around = Around(net)
    around(torch.rand(2, 4, 6, 6))
    for model in (net, around, net.layer):  # a layer by itself is a part of what is known
        model(torch.rand(2, 4, 6, 6))
    net.between = Fourfold()
    with pytest.warns(UserWarning, match=r"inputs have changed from \[0, 7\]"):
        around(torch.rand(2, 4, 6, 6))
    assert net.layer.weight_quant.input_range() == IntRange(0, 28)


def test_a_layer_in_two_models_is_traced_in_each_of_them_once(monkeypatch: pytest.MonkeyPatch) -> None:
    net = made()
    models = (net, Around(net))
    for model in models:
        model(torch.rand(2, 4, 6, 6))
    learned: list[Any] = []
    monkeypatch.setattr("brevitas_a2q.quant._arrivals.learn_ranges", learned.append)
    for model in models * 3:
        model(torch.rand(2, 4, 6, 6))
    assert learned == []


def test_hooks_on_a_layers_own_input_quantizer() -> None:
    """Its type does not bound what they return: every call looks at the values."""
    torch.manual_seed(0)
    layer = qnn.QuantLinear(
        8,
        4,
        False,
        weight_quant=Int8ProjectedA2QWeightPerTensorFloat,
        weight_accumulator_bit_width=12,
        input_quant=Int8ActPerTensorFloat,
        input_bit_width=4,
    )
    net = nn.Sequential(layer)
    net(torch.randn(64, 8))
    assert layer.weight_quant.input_range() == IntRange(-8, 7)
    layer.input_quant.register_forward_hook(lambda _, __, output: output.set(value=output.value * 4))
    with pytest.warns(UserWarning, match=r"integers in \[-\d+, \d+\] reach it, where its input claims \[-8, 7\]"):
        net.eval()(torch.randn(64, 8) * 100)
    assert layer.weight_quant.input_range() == IntRange(-32, 28)
