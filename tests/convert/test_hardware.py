"""What the report says of FINN is what check-finn says of the exported file."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from brevitas_a2q import A2QConfig, constrain_, export_qonnx
from brevitas_a2q.export import check_finn

CONFIG = A2QConfig(accumulator_bit_width=14, weight_bit_width=4, activation_bit_width=4)


def _network(middle: nn.Module, activation: nn.Module) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(2, 4, 3), nn.ReLU(), middle, activation, nn.Conv2d(4, 4, 3)).eval()


OVERLAPPING = nn.Sequential(nn.ReLU(), nn.MaxPool2d(3, 2, padding=1))
CASES = {
    "pool": (nn.Conv2d(4, 4, 3), nn.Sequential(nn.ReLU(), nn.MaxPool2d(2)), ["yes"] * 3),
    "overlapping pool": (nn.Conv2d(4, 4, 3), OVERLAPPING, ["yes", "yes", "no unit for overlapping MaxPool2d"]),
    "average": (nn.ReLU(), nn.AvgPool2d(2), ["yes", "no unit for AvgPool2d"]),
    "plain": (nn.Conv2d(4, 4, 3), nn.ReLU(), ["yes"] * 3),
    "clipped": (nn.Conv2d(4, 4, 3), nn.ReLU6(), ["yes"] * 3),
    "depthwise": (nn.Conv2d(4, 4, 3, groups=4), nn.ReLU(), ["yes"] * 3),
    "groups": (nn.Conv2d(4, 4, 3, groups=2), nn.ReLU(), ["yes", "2 groups", "yes"]),
    "function": (nn.Conv2d(4, 4, 3), nn.SiLU(), ["yes", "yes", "no unit for SiLU"]),
    "before a norm": (
        nn.Conv2d(4, 4, 3),
        nn.Sequential(nn.SiLU(), nn.BatchNorm2d(4)),
        ["yes", "yes", "no unit for SiLU"],
    ),
}


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize(("middle", "activation", "expected"), CASES.values(), ids=CASES)
def test_the_column_agrees_with_check_finn(
    middle: nn.Module, activation: nn.Module, expected: list[str], tmp_path: Path
) -> None:
    model, x = _network(middle, activation), torch.rand(8, 2, 12, 12)
    report = constrain_(model, CONFIG, x)
    assert [row.hardware for row in report.rows] == expected
    export_qonnx(model, x[:1], tmp_path / "network.onnx")
    rules = {finding.rule for finding in check_finn(tmp_path / "network.onnx")}
    assert bool(rules & {"FINN-11", "FINN-14", "FINN-16", "FINN-17"}) == (set(expected) != {"yes"})


def test_what_is_no_graph_says_so() -> None:
    class Branching(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Linear(4, 4), nn.Linear(4, 4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.second(self.first(x)) if float(x.sum()) > 0 else self.first(x)

    rows = constrain_(Branching(), CONFIG).rows
    assert {row.hardware for row in rows} == {"sums between layers stay real numbers"}
    one = nn.Sequential(nn.Conv1d(2, 2, 3), nn.ReLU(), nn.Conv1d(2, 2, 3))
    assert {row.hardware for row in constrain_(one, CONFIG).rows} == {"1 spatial dimensions, not 2"}


class Odd(nn.Module):
    """A sum that is never negative, weights that read two values, and what clips by functions."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.twice, self.last = nn.Conv2d(2, 4, 3), nn.Conv2d(4, 4, 3, padding=1), nn.Conv2d(4, 4, 3)
        self.second, self.third = nn.Conv2d(4, 4, 1), nn.Conv2d(4, 4, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.relu6(self.first(x))
        x = F.relu(self.twice(x)) + x
        x = F.relu(self.twice(x)) + x
        x = F.hardtanh(self.second(x), 0.0, 4.0)
        return self.last(self.third(x).clamp(0, 2))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_finn_takes_quantizers_of_what_is_never_negative(tmp_path: Path) -> None:
    """FINN wants a ReLU before an unsigned quantizer, and no clip: there is one, and it changes no value."""
    torch.manual_seed(0)
    model, x = Odd().eval(), torch.rand(8, 2, 12, 12) * 4
    with torch.no_grad():
        wanted = model(x)
    report = constrain_(model, replace(CONFIG, activation_bit_width=8, weight_bit_width=8, accumulator_bit_width=20), x)
    assert [(row.input_signed, row.hardware) for row in report.rows[1:]] == [(False, "yes")] * 4
    with torch.no_grad():
        assert (model(x) - wanted).abs().mean() / wanted.abs().mean() < 0.05
        assert torch.equal(copy.deepcopy(model)(x), model(x))
    export_qonnx(model, x[:1], tmp_path / "network.onnx")
    assert not check_finn(tmp_path / "network.onnx")


def test_a_norm_between_two_quantizers_and_an_attention_are_named() -> None:
    class Summed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.up, self.norm, self.down = nn.Linear(8, 8), nn.LayerNorm(8), nn.Linear(8, 8)
            self.attention, self.out = nn.MultiheadAttention(8, 2, batch_first=True), nn.Linear(8, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            up = self.up(x)
            x = self.down(self.norm(up) + up)
            return self.out(self.attention(x, x, x)[0])

    rows = {row.name: row.hardware for row in constrain_(Summed().eval(), CONFIG, torch.randn(4, 5, 8)).rows}
    assert rows["up"] == "yes"
    assert rows["down"] == "no unit for LayerNorm"
    assert rows["attention.in_proj"] == rows["attention.out_proj"] == "no unit for attention"
    assert "MultiheadAttention" in rows["out"]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_relu_that_is_joined_with_signed_values_is_named(tmp_path: Path) -> None:
    class Joined(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second, self.last = nn.Conv2d(2, 4, 1), nn.Conv2d(4, 4, 1), nn.Conv2d(8, 2, 1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = F.relu(self.first(x))
            return self.last(torch.cat([self.second(x), x], 1))

    torch.manual_seed(0)
    model, x = Joined().eval(), torch.rand(4, 2, 6, 6)
    rows = {row.name: row.hardware for row in constrain_(model, CONFIG, x).rows}
    assert rows == {"first": "yes", "second": "no unit for signed relu", "last": "no unit for signed relu"}
    export_qonnx(model, x[:1], tmp_path / "network.onnx")
    assert {finding.rule for finding in check_finn(tmp_path / "network.onnx")} == {"FINN-01"}
