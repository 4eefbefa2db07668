"""A training step on a GPU is put in its queue without waiting for it: nothing is read back.

There is no GPU in a test run, so the step runs on tensors that have a GPU's device and no values; every attempt to read
one, and every operation that mixes devices, fails.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode

from brevitas_a2q.models import QuantSpec, build_model
from brevitas_a2q.quant import _limits as limits
from brevitas_a2q.quant._input_range import HostCopies
from brevitas_a2q.quant._penalty import a2q_penalty
from brevitas_a2q.train import calibrate
from brevitas_a2q.train._config import RuntimeConfig
from brevitas_a2q.train._runtime import lay_out_

CPU = torch.device("cpu")


def on_gpu(model: nn.Module) -> None:
    """Replace parameters and buffers by ones without values, on a GPU unless they are to stay on the host."""
    kept = {id(b) for m in model.modules() if type(m).__name__ == "ZeroZeroPoint" for b in m.buffers()}
    for module in model.modules():
        for name, parameter in module._parameters.items():
            if parameter is not None:
                module._parameters[name] = nn.Parameter(gpu(parameter), parameter.requires_grad)
        for name, buffer in module._buffers.items():
            if buffer is not None and id(buffer) not in kept:
                module._buffers[name] = gpu(buffer)


def gpu(tensor: Tensor) -> Tensor:
    """A tensor without values."""
    return torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device="cuda")


@pytest.mark.torch28
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("name", "method"), [("espcn", "a2q"), ("unet", "projected")])
def test_nothing_is_read_back(name: str, method: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    images = torch.rand(2, 3, 8, 8)
    model = lay_out_(build_model(name, QuantSpec(method, accumulator_bit_width=14)), RuntimeConfig(), CPU)
    calibrate(model, images)
    model.train()(images)
    reads: Counter[str] = Counter()
    known: dict[tuple[int, str], tuple[float, float]] = {}
    read = HostCopies.extremes
    look = Tensor.__bool__

    def learn(self: HostCopies, what: str, tensor: Tensor) -> tuple[float, float]:
        return known.setdefault((id(self), what), read(self, what, tensor))

    def remember(self: HostCopies, what: str, tensor: Tensor) -> tuple[float, float]:
        """What is read in the first step of a run and held on the host from then on."""
        return known[id(self), what]

    def truth(self: Tensor) -> bool:
        """Values of the host are there, but not in this mode; all that is asked is whether a zero-point is not zero."""
        if not isinstance(self, FakeTensor) or self.constant is not None:
            return look(self)
        reads[self.device.type] += 1
        return False

    with monkeypatch.context() as patch:
        patch.setattr(HostCopies, "extremes", learn)
        model(images)
        a2q_penalty(model)
    monkeypatch.setattr(HostCopies, "extremes", remember)
    monkeypatch.setattr(Tensor, "__bool__", truth)
    with FakeTensorMode(allow_non_fake_inputs=True):
        on_gpu(model)
        model(gpu(images)), a2q_penalty(model)
        reads.clear()  # the signs of a budget are looked at once
        outputs, penalty = model(gpu(images)), a2q_penalty(model)
    limits.constant_budget.cache_clear()  # which holds tensors without values now
    assert outputs.device.type == penalty.device.type == "cuda"
    assert reads.keys() == {"cpu"}
