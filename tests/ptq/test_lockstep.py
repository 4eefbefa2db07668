"""Running batches from layer to layer together."""

from __future__ import annotations

import threading
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from brevitas_a2q.errors import ModelError
from brevitas_a2q.ptq._lockstep import run_in_lockstep


def _calls(batches: list[Tensor]) -> list[Any]:
    return [lambda model, x=x: model(x) for x in batches]


def _layers(model: nn.Module) -> dict[str, nn.Module]:
    return {name: module for name, module in model.named_modules() if isinstance(module, nn.Linear)}


def test_all_arrive_before_any_goes_on() -> None:
    model = nn.Sequential(nn.Linear(3, 3), nn.ReLU(), nn.Linear(3, 2))
    batches = [torch.randn(2, 3) for _ in range(3)]
    seen: list[tuple[str, int]] = []

    def arrive(name: str, inputs: list[list[Tensor]]) -> None:
        seen.append((name, len(inputs[0])))
        if name == "2":  # what happens here is what all batches get afterwards
            with torch.no_grad():
                model[2].weight.zero_()

    outputs = run_in_lockstep([(model, _layers(model), None)], _calls(batches), arrive)
    assert seen == [("0", 3), ("2", 3)]
    assert all(torch.equal(y, model[2].bias.expand(2, 2)) for y in outputs[0])


def test_inputs_are_changed_after_arrival_and_models_are_kept_apart() -> None:
    one, two = nn.Sequential(nn.Linear(2, 2)), nn.Sequential(nn.Linear(2, 2))
    x = torch.randn(4, 2)
    changed = (two, _layers(two), lambda name, given: torch.zeros_like(given))
    outputs = run_in_lockstep([(one, _layers(one), None), changed], _calls([x]), lambda name, inputs: None)
    assert torch.equal(outputs[0][0], one(x))
    assert torch.equal(outputs[1][0], two(torch.zeros(4, 2)))
    assert not one[0]._forward_pre_hooks


@pytest.mark.parametrize("where", ["model", "arrive"])
def test_errors_end_all_lanes(where: str) -> None:
    class Fails(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(2, 2)

        def forward(self, x: Tensor) -> Tensor:
            y: Tensor = self.layer(x)
            if where == "model" and float(x[0, 0]) == 7:
                raise RuntimeError("as planned")
            return y

    def arrive(name: str, inputs: list[list[Tensor]]) -> None:
        if where == "arrive":
            raise RuntimeError("as planned")

    model, before = Fails(), threading.active_count()
    with pytest.raises(RuntimeError, match="as planned"):
        run_in_lockstep(
            [(model, _layers(model), None)],
            _calls([torch.zeros(1, 2), torch.full((1, 2), 7.0), torch.ones(1, 2)]),
            arrive,
        )
    assert threading.active_count() == before
    assert not model.layer._forward_pre_hooks


def test_paths_that_depend_on_data_are_refused() -> None:
    class Chooses(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Linear(2, 2), nn.Linear(2, 2)

        def forward(self, x: Tensor) -> Tensor:
            chosen: Tensor = self.a(x) if float(x.sum()) > 0 else self.b(x)
            return chosen

    model = Chooses()
    with pytest.raises(ModelError, match="different layers"):
        run_in_lockstep(
            [(model, _layers(model), None)], _calls([torch.ones(1, 2), -torch.ones(1, 2)]), lambda name, inputs: None
        )
