"""Models of Brevitas layers, ours among them, go through pickle, copy and torch.save whole."""

from __future__ import annotations

import copy
import io
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import brevitas.nn as qnn
import pytest
import torch
from torch import nn

from brevitas_a2q import A2QConfig, Int8ProjectedA2QWeightPerChannelFloat, certify, constrain_


def brevitas_model() -> nn.Module:
    return nn.Sequential(
        qnn.QuantReLU(bit_width=4, return_quant_tensor=True),
        qnn.QuantLinear(
            8, 4, bias=True, weight_quant=Int8ProjectedA2QWeightPerChannelFloat, weight_accumulator_bit_width=12
        ),
    )


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.last = nn.Linear(8, 8), nn.Linear(8, 8), nn.Linear(8, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.first(x))
        return self.last(torch.relu(self.second(x)) + x)


def converted() -> nn.Module:
    model = Residual()
    constrain_(model, A2QConfig(accumulator_bit_width=14))
    return model


def saved_and_loaded(model: nn.Module) -> Any:
    file = io.BytesIO()
    torch.save(model, file)
    file.seek(0)
    return torch.load(file, weights_only=False)


@pytest.mark.parametrize("make", [brevitas_model, converted])
@pytest.mark.parametrize("way", [lambda m: pickle.loads(pickle.dumps(m)), copy.deepcopy, saved_and_loaded])
def test_a_model_comes_back_whole(make: Any, way: Any) -> None:
    torch.manual_seed(0)
    model, images = make(), torch.rand(4, 8)
    model(images)
    model.eval()
    back = way(way(model))
    assert isinstance(back, type(model).__mro__[1] if make is converted else nn.Sequential)
    assert torch.equal(back(images), model(images))
    assert certify(back, images).to_json() == certify(model, images).to_json()
    back.train()
    back(images).sum().backward()  # it trains on
    model.load_state_dict(back.state_dict())


def test_another_process_reads_it(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model, images = brevitas_model(), torch.rand(4, 8)
    model(images)
    torch.save(model.eval(), tmp_path / "model.pt")
    torch.save((images, model(images)), tmp_path / "values.pt")
    code = (
        "import torch; model = torch.load('model.pt', weights_only=False); x, y = torch.load('values.pt'); "
        "assert torch.equal(model(x), y)"
    )
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], cwd=tmp_path, check=True)
