"""Networks of every shape go through both exports: the round trip inside each is the assertion."""

from __future__ import annotations

from typing import Any

import brevitas.nn as qnn
import pytest
import torch
from brevitas.quant import (
    Int8ActPerTensorFloat,
    Int8WeightPerChannelFloat,
    SignedBinaryWeightPerTensorConst,
    SignedTernaryWeightPerTensorConst,
)
from torch import Tensor, nn

from brevitas_a2q import Int8A2QWeightPerChannelFloat, export_qcdq, export_qonnx
from brevitas_a2q.errors import ExportError

WEIGHTS = {"weight_quant": Int8A2QWeightPerChannelFloat, "weight_bit_width": 4, "weight_accumulator_bit_width": 14}


def identity() -> nn.Module:
    return qnn.QuantIdentity(bit_width=4, return_quant_tensor=True)


def relu() -> nn.Module:
    return qnn.QuantReLU(bit_width=4, return_quant_tensor=True)


def conv(*sizes: int, **options: Any) -> nn.Module:
    return qnn.QuantConv2d(*sizes, bias=False, **{**WEIGHTS, **options})


class CalledTwice(nn.Module):
    """One layer and one quantizer, each called twice."""

    def __init__(self) -> None:
        super().__init__()
        self.quant, self.conv = identity(), conv(3, 3, 3, padding=1)

    def forward(self, x: Tensor) -> Any:
        return self.conv(self.quant(self.conv(self.quant(x))))


class Branches(nn.Module):
    """Two inputs, a concatenation, two outputs, and a layer that nothing reaches."""

    def __init__(self) -> None:
        super().__init__()
        self.quant, self.relu, self.unused = identity(), relu(), qnn.QuantLinear(3, 3, True, **WEIGHTS)
        self.left, self.right, self.last = conv(3, 3, 1), conv(3, 3, 1), conv(6, 2, 1)

    def forward(self, x: Tensor, y: Tensor) -> Any:
        left, right = self.relu(self.left(self.quant(x))), self.relu(self.right(self.quant(y)))
        return self.last(torch.cat([left, right], 1)), self.left(self.quant(y))


class Named(Branches):
    """The same with outputs by name, as detectors and language models have them."""

    def forward(self, x: Tensor, y: Tensor) -> Any:
        last, left = super().forward(x, y)
        return {"last": last, "rest": [left]}


IMAGE = torch.randn(1, 3, 6, 6, generator=torch.Generator().manual_seed(2))
CASES = {
    "called twice": (CalledTwice, (IMAGE,)),
    "branches": (Branches, (IMAGE, IMAGE.flip(0, 3))),
    "outputs by name": (Named, (IMAGE, IMAGE.flip(0, 3))),
    "transposed": (
        lambda: nn.Sequential(identity(), qnn.QuantConvTranspose2d(3, 4, 3, stride=2, bias=True, **WEIGHTS)),
        (IMAGE,),
    ),
    "one dimension": (
        lambda: nn.Sequential(identity(), qnn.QuantConv1d(3, 4, 3, padding=2, dilation=2, bias=True, **WEIGHTS)),
        (IMAGE[..., 0],),
    ),
    "tokens": (
        lambda: nn.Sequential(
            identity(), qnn.QuantLinear(6, 4, True, **WEIGHTS), relu(), qnn.QuantLinear(4, 4, False, **WEIGHTS)
        ),
        (IMAGE[0],),
    ),
    "pooling": (
        lambda: nn.Sequential(
            identity(),
            conv(3, 4, 1),
            relu(),
            qnn.TruncAvgPool2d(2, bit_width=4, return_quant_tensor=True),
            conv(4, 2, 1),
        ),
        (IMAGE,),
    ),
    "ternary": (
        lambda: nn.Sequential(identity(), conv(3, 4, 3, weight_quant=SignedTernaryWeightPerTensorConst)),
        (IMAGE,),
    ),
    "plain tensors between": (
        lambda: nn.Sequential(
            qnn.QuantIdentity(bit_width=4),
            qnn.QuantConv2d(3, 4, 3, bias=True, weight_quant=Int8WeightPerChannelFloat),
            qnn.QuantReLU(bit_width=4),
            qnn.QuantConv2d(4, 4, 3, bias=False, weight_quant=Int8WeightPerChannelFloat),
        ),
        (IMAGE,),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_both_exports(tmp_path, name):
    build, args = CASES[name]
    torch.manual_seed(0)
    model = build()
    with torch.no_grad():
        for _ in range(2):
            model(*args)
    model.eval()
    qonnx = export_qonnx(model, args, tmp_path / "net.onnx").round_trip
    assert qonnx.codes > 0
    if name != "pooling":  # truncation has exact ties by nature: every average that is an integer
        assert qonnx.rounding_ties == 0
    assert export_qcdq(model, args, tmp_path / "qcdq.onnx").round_trip.quantizers == qonnx.quantizers


def test_one_layer_is_a_network(tmp_path):
    model = qnn.QuantLinear(6, 4, True, input_quant=Int8ActPerTensorFloat, **WEIGHTS)
    model(torch.randn(4, 6))
    report = export_qonnx(model.eval(), torch.randn(1, 6), tmp_path / "net.onnx")
    assert [layer.name for layer in report.certificate.layers] == ["QuantLinear"]


def test_binary_weights_have_no_qcdq(tmp_path):
    model = nn.Sequential(identity(), conv(3, 4, 3, weight_quant=SignedBinaryWeightPerTensorConst))
    model(IMAGE)
    export_qonnx(model.eval(), IMAGE, tmp_path / "net.onnx")
    with pytest.raises(ExportError, match="Binary quant not supported"):
        export_qcdq(model, IMAGE, tmp_path / "qcdq.onnx")
    assert [path.name for path in tmp_path.iterdir()] == ["net.onnx"]
