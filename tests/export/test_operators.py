"""Operations that PyTorch's exporters refuse are exported, and compute what PyTorch computes."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import onnx
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from brevitas_a2q import A2QConfig, certify, constrain_, export_qonnx
from brevitas_a2q.errors import ExportError
from brevitas_a2q.export._operators import exportable_operators


@pytest.mark.parametrize(("side", "out"), [(1, 3), (2, (4, 6)), (5, 3), (6, (4, None)), (4, 2)])
def test_pools_are_exported(side: int, out: int | tuple[int | None, ...], tmp_path: Path) -> None:
    """The round trip executes the file in qonnx and compares every quantizer's integers."""
    torch.manual_seed(0)
    height, width = (out, out) if isinstance(out, int) else (size or side for size in out)
    model = nn.Sequential(
        nn.Conv2d(3, 4, 1), nn.ReLU(), nn.Conv2d(4, 4, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(out), nn.Flatten(),
        nn.Linear(4 * height * width, 5), nn.ReLU(), nn.Linear(5, 2),
    ).eval()  # fmt: skip
    images = torch.rand(8, 3, side, side)
    constrain_(model, A2QConfig(accumulator_bit_width=14), images)
    report = export_qonnx(model, images[:1], tmp_path / "model.onnx")
    assert report.round_trip.codes
    assert certify(tmp_path / "model.onnx").holds
    kinds = {node.op_type for node in onnx.load(tmp_path / "model.onnx").graph.node}
    assert ("Resize" in kinds) == (side in (1, 2))


@pytest.mark.parametrize(("size", "out"), [*itertools.product(range(1, 8), repeat=2)])
def test_pools_are_those_of_pytorch(size: int, out: int) -> None:
    x, before = torch.rand(2, 3, size, 5), F.adaptive_avg_pool2d
    wanted = F.adaptive_avg_pool2d(x, (out, 3))
    with exportable_operators():
        torch.testing.assert_close(F.adaptive_avg_pool2d(x, (out, 3)), wanted)
        torch.testing.assert_close(F.adaptive_avg_pool2d(x[0], (out, 3)), wanted[0])
    assert F.adaptive_avg_pool2d is before


MASK = torch.arange(4 * 5).reshape(4, 5) % 3 != 0


@pytest.mark.parametrize(
    "options",
    [{}, {"attn_mask": MASK}, {"attn_mask": MASK * -2.0}, {"is_causal": True}, {"scale": 0.3}, {"enable_gqa": True}],
    ids=str,
)
def test_attention_is_that_of_pytorch(options: dict[str, Any]) -> None:
    heads = 2 if "enable_gqa" in options else 4
    query, key, value = torch.randn(2, 4, 4, 8), torch.randn(2, heads, 5, 8), torch.randn(2, heads, 5, 6)
    wanted = F.scaled_dot_product_attention(query, key, value, **options)
    with exportable_operators():
        torch.testing.assert_close(F.scaled_dot_product_attention(query, key, value, **options), wanted)


class Attention(nn.Module):
    """A block as timm writes it."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.qkv, self.proj, self.head = (
            nn.LayerNorm(8), nn.Linear(8, 24), nn.Linear(8, 8), nn.Linear(8, 3)
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(self.norm(x)).reshape(-1, 6, 3, 2, 4).permute(2, 0, 3, 1, 4).unbind(0)
        mixed = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(-1, 6, 8)
        return self.head((x + self.proj(mixed)).mean(1))


def test_attention_in_one_call_is_exported(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model, x = Attention().eval(), torch.randn(16, 6, 8)
    report = constrain_(model, A2QConfig(accumulator_bit_width=14), x)
    assert report.constrained
    assert export_qonnx(model, x[:1], tmp_path / "model.onnx").round_trip.codes
    assert certify(tmp_path / "model.onnx").holds


class Whitened(nn.Module):
    """Normalises its weights as NFNets do, by an operator that no executor has in that form."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.weight = nn.Conv2d(3, 4, 1), nn.Parameter(torch.randn(4, 4, 1, 1))
        self.act, self.head = nn.ReLU(), nn.Conv2d(4, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        weight = nn.functional.batch_norm(self.weight.reshape(1, 4, -1), None, None, training=True)
        return self.head(self.act(nn.functional.conv2d(self.conv(x), weight.reshape(4, 4, 1, 1))))


def test_what_nobody_executes_is_an_error_of_its_own(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model, x = Whitened().eval(), torch.rand(2, 3, 4, 4)
    constrain_(model, A2QConfig(accumulator_bit_width=16), x)
    with pytest.raises(ExportError, match="qonnx"):
        export_qonnx(model, x[:1], tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())
