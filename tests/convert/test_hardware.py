"""What the report says of FINN is what check-finn says of the exported file."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from brevitas_a2q import A2QConfig, constrain_, export_qonnx
from brevitas_a2q.export import check_finn

CONFIG = A2QConfig(accumulator_bit_width=14, weight_bit_width=4, activation_bit_width=4)


def _network(middle: nn.Module, activation: nn.Module) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(2, 4, 3), nn.ReLU(), middle, activation, nn.Conv2d(4, 4, 3)).eval()


CASES = {
    "plain": (nn.Conv2d(4, 4, 3), nn.ReLU(), ["yes"] * 3),
    "clipped": (nn.Conv2d(4, 4, 3), nn.ReLU6(), ["yes"] * 3),
    "depthwise": (nn.Conv2d(4, 4, 3, groups=4), nn.ReLU(), ["yes"] * 3),
    "groups": (nn.Conv2d(4, 4, 3, groups=2), nn.ReLU(), ["yes", "2 groups", "yes"]),
    "function": (nn.Conv2d(4, 4, 3), nn.SiLU(), ["yes", "yes", "no unit for SiLU"]),
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
    assert bool(rules & {"FINN-11", "FINN-14"}) == (set(expected) != {"yes"})


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
