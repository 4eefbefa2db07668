"""Device, precision, layout, and compilation that changes nothing but the time."""

from __future__ import annotations

import functools
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch._dynamo.exc import TorchDynamoException
from torch.nn import functional as F

from brevitas_a2q.data._digits import load_digits
from brevitas_a2q.errors import ConfigError
from brevitas_a2q.models import QuantSpec, build_model
from brevitas_a2q.train import _runtime as runtime
from brevitas_a2q.train import calibrate
from brevitas_a2q.train._config import RuntimeConfig
from brevitas_a2q.train._loop import Step
from brevitas_a2q.train._model_state import ModelState
from brevitas_a2q.train._runtime import arithmetic, autocast, compiled, memory_format, wants

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


def test_auto_is_for_gpus() -> None:
    assert [wants(setting, CPU) for setting in ("auto", True, False)] == [False, True, False]
    assert [wants(setting, CUDA) for setting in ("auto", True, False)] == [True, True, False]
    assert memory_format(RuntimeConfig(), CPU) is torch.contiguous_format
    assert memory_format(RuntimeConfig(), CUDA) is torch.channels_last


def test_arithmetic_is_as_before_afterwards() -> None:
    before = torch.are_deterministic_algorithms_enabled(), torch.backends.cudnn.benchmark
    with arithmetic(RuntimeConfig(deterministic=True), CPU):
        assert torch.are_deterministic_algorithms_enabled()
        assert torch.is_deterministic_algorithms_warn_only_enabled()
        assert not torch.backends.cudnn.benchmark
    assert not torch.is_deterministic_algorithms_warn_only_enabled()
    assert before == (torch.are_deterministic_algorithms_enabled(), torch.backends.cudnn.benchmark)


def test_bf16_is_for_the_context_only() -> None:
    layer = nn.Linear(2, 2)
    with autocast(RuntimeConfig(amp="bf16"), CPU):
        assert layer(torch.ones(1, 2)).dtype is torch.bfloat16
    with autocast(RuntimeConfig(), CPU):
        assert layer(torch.ones(1, 2)).dtype is torch.float32


def network(method: Any) -> tuple[nn.Module, Tensor, Tensor]:
    torch.manual_seed(0)
    data = load_digits()
    model = build_model("digits-cnn", method and QuantSpec(method, accumulator_bit_width=10))
    calibrate(model, data.x_train[:32])
    return model.train(), data.x_train[:32], data.y_train[:32]


@pytest.mark.torch28
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")  # dynamo looks at it itself
@pytest.mark.parametrize("method", [None, "a2q", "projected"])
def test_compiled_steps_are_the_same_steps(method: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    torch._dynamo.reset()
    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend="eager"))
    model, images, labels = network(method)
    Step(model, F.cross_entropy, 1e-3).gradients(images, labels)  # after which nothing is left to be initialised
    before = ModelState.of(model)

    def try_out(forward: Any) -> None:
        assert forward is not model
        Step(model, F.cross_entropy, 1e-3, forward).gradients(images, labels)

    fast = compiled(model, RuntimeConfig(compile=True), try_out, pytest.fail)
    after = ModelState.of(model)
    assert before.attributes == after.attributes
    assert before.tensors.keys() == after.tensors.keys()
    assert all(torch.equal(tensor, after.tensors[name]) for name, tensor in before.tensors.items())
    gradients = []
    for forward in (None, fast):
        before.restore(model)
        Step(model, F.cross_entropy, 1e-3, forward).gradients(images, labels)
        gradients.append([p.grad.clone() for p in model.parameters() if p.grad is not None])
    for plain, quick in zip(*gradients, strict=True):
        torch.testing.assert_close(plain, quick, rtol=1e-4, atol=1e-5)
    assert not any("forward" in vars(module) for module in model.modules())


@pytest.mark.parametrize("kind", [TorchDynamoException, RuntimeError, FileNotFoundError])
def test_compilation_that_fails_is_done_without_unless_it_was_asked_for(
    kind: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtime, "wants", lambda setting, device: bool(setting))
    model, images, _ = network("projected")
    said: list[str] = []

    def try_out(forward: Any) -> None:
        model(images)  # moves the running statistics
        raise kind("no compiler\nhere")

    before = ModelState.of(model)
    assert compiled(model, RuntimeConfig(compile="auto"), try_out, said.append) is model
    assert said == ["torch.compile failed (no compiler); training goes on without it"]
    after = ModelState.of(model)
    assert all(torch.equal(tensor, after.tensors[name]) for name, tensor in before.tensors.items())
    with pytest.raises(ConfigError, match=r"torch.compile failed \(no compiler\); set runtime.compile to auto"):
        compiled(model, RuntimeConfig(compile=True), try_out, said.append)
