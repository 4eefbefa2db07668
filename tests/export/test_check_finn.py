"""What FINN takes passes; each rule finds what it is for, at the node where it is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import brevitas.nn as qnn
import numpy as np
import onnx
import pytest
import torch
from brevitas.quant import (
    Int8WeightPerChannelFloat,
    Int16Bias,
    ShiftedUint8ActPerTensorFloat,
    ShiftedUint8WeightPerTensorFloat,
    SignedBinaryActPerTensorConst,
    Uint8ActPerTensorFloat,
)
from oracle_data import ORACLE
from torch import nn

from brevitas_a2q import export_qonnx
from brevitas_a2q._cli.main import main
from brevitas_a2q.errors import OnnxFileError
from brevitas_a2q.export._check_finn import check_finn

MODELS = ORACLE / "models"
NAMES = ["cnv_w4a4", "cnv_w4a4_a2q12", "mobilenet_w4a4_a2q12", "resnet_w4a4", "tfc_w4a4", "tfc_w4a4_a2q12"]


@pytest.mark.parametrize("name", NAMES)
def test_models_that_went_through_finn_pass(name):
    assert check_finn(MODELS / f"{name}.onnx") == ()


def test_small_net_passes(small_net, image, tmp_path):
    export_qonnx(small_net(bias_quant=Int16Bias), image, tmp_path / "net.onnx")
    assert check_finn(tmp_path / "net.onnx") == ()


@pytest.mark.torch28
def test_linear_layer_without_bias_passes_from_dynamo(tmp_path):
    """The dynamo exporter writes a Gemm of two inputs, over which qonnx's GemmToMatMul stumbles."""
    layer = qnn.QuantLinear(4, 3, bias=False, weight_quant=Int8WeightPerChannelFloat)
    model, x = nn.Sequential(identity(), layer), torch.randn(1, 4)
    model(x)
    export_qonnx(model.eval(), x, tmp_path / "net.onnx", exporter="dynamo")
    assert check_finn(tmp_path / "net.onnx") == ()


def test_residual_net_passes(residual_net, image, tmp_path):
    export_qonnx(residual_net(), image, tmp_path / "net.onnx")
    assert check_finn(tmp_path / "net.onnx") == ()


def identity(**options: Any) -> nn.Module:
    return qnn.QuantIdentity(return_quant_tensor=True, **{"bit_width": 4, **options})


def conv(*sizes: int, **options: Any) -> nn.Module:
    return qnn.QuantConv2d(*sizes, bias=False, weight_quant=Int8WeightPerChannelFloat, weight_bit_width=4, **options)


class HalfBipolar(SignedBinaryActPerTensorConst):
    """-0.5 and 0.5."""

    min_val, max_val = -0.5, 0.5


class Residual(nn.Module):
    """Two branches, each with a quantizer of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.quant, self.left, self.right, self.last = identity(), identity(), identity(), conv(4, 4, 1)
        self.branch = conv(4, 4, 1)

    def forward(self, x: torch.Tensor) -> Any:
        x = self.quant(x)
        return self.last(self.quant(self.left(self.branch(x)).value + self.right(x).value))


class Concatenated(nn.Module):
    """Sums quantized twice, by different scales, and concatenated."""

    def __init__(self) -> None:
        super().__init__()
        self.quant, self.conv, self.left, self.right = identity(), conv(4, 4, 1), identity(), identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.conv(self.quant(x))
        return torch.cat((self.left(x).value, self.right(2 * x).value), dim=1)


CASES = {
    "FINN-01": lambda: [identity(), conv(4, 4, 1), nn.ReLU(), identity(), conv(4, 4, 1)],
    "FINN-02": lambda: [identity(act_quant=Uint8ActPerTensorFloat), conv(4, 4, 1)],
    "FINN-03": lambda: [identity(act_quant=ShiftedUint8ActPerTensorFloat), conv(4, 4, 1)],
    "FINN-04": lambda: [identity(float_to_int_impl_type="floor"), conv(4, 4, 1)],
    "FINN-05": lambda: [identity(bit_width=9), conv(4, 4, 1)],
    "FINN-06": lambda: [
        identity(
            scaling_per_output_channel=True,
            per_channel_broadcastable_shape=(1, 4, 1, 1),
            scaling_stats_permute_dims=(1, 0, 2, 3),
        ),
        conv(4, 4, 1, groups=4),
    ],
    "FINN-07": lambda: [identity(), conv(4, 4, 1), qnn.QuantIdentity(act_quant=HalfBipolar)],
    "FINN-11": lambda: [identity(), conv(4, 4, 1), nn.Tanh(), identity()],
    "FINN-12": lambda: [identity(), conv(4, 4, 1), nn.ReLU(), nn.MaxPool2d(2), identity(), conv(4, 4, 1)],
    "FINN-13": lambda: [identity(), nn.BatchNorm2d(4), identity(), conv(4, 4, 1)],
    "FINN-14": lambda: [identity(), conv(4, 8, 1, groups=4)],
    "FINN-15": lambda: [identity(), conv(4, 4, 1, stride=(2, 1))],
    "FINN-16": lambda: [identity(), nn.MaxPool2d(3, 2), conv(4, 4, 1)],
    "FINN-17": lambda: [identity(), nn.AvgPool2d(2), identity(), conv(4, 4, 1)],
    "FINN-19": lambda: [Concatenated()],
    "FINN-22": lambda: [identity(), conv(4, 4, 1), identity(), nn.Flatten(), qnn.QuantLinear(144, 4, bias=False)],
}


@pytest.mark.filterwarnings("ignore:Computing zero point of output accumulator")  # Brevitas, about itself
@pytest.mark.parametrize("rule", CASES)
def test_rule_finds_what_it_is_for(tmp_path, rule):
    model = nn.Sequential(*CASES[rule]())
    findings = findings_of(model, torch.randn(1, 4, 6, 6), tmp_path)
    assert rule in {finding.rule for finding in findings}
    assert all(finding.mend and finding.node for finding in findings)


@pytest.mark.parametrize(
    ("layers", "found"),
    [
        (lambda: [identity(), conv(4, 4, 1), identity(), nn.MaxPool2d(2), conv(4, 4, 1)], ["FINN-22"]),
        (lambda: [identity(), conv(4, 4, 3), identity(), nn.MaxPool2d(2), conv(4, 4, 1)], []),
        (lambda: [identity(), conv(4, 4, 1), identity(), conv(4, 4, 6), identity(), nn.Flatten()], []),
        (lambda: [identity(), nn.Flatten(), qnn.QuantLinear(144, 4, bias=False)], []),
    ],
)
def test_images_without_windows(layers, found, tmp_path):
    """FINN main left the pool, and the flattened image, of the first network to the processor, and failed."""
    findings = findings_of(nn.Sequential(*layers()), torch.randn(1, 4, 6, 6), tmp_path)
    assert [finding.rule for finding in findings] == found


def test_residual_scales(tmp_path):
    findings = findings_of(Residual(), torch.randn(1, 4, 6, 6), tmp_path)
    assert [finding.rule for finding in findings] == ["FINN-18"]
    assert "share" in findings[0].mend


def test_shared_weights(tmp_path):
    path = tmp_path / "net.onnx"
    export(nn.Sequential(identity(), conv(4, 4, 1), identity(), conv(4, 4, 1)), torch.randn(1, 4, 6, 6), path)
    assert check_finn(path) == ()
    model = onnx.load(path)
    first, second = (node for node in model.graph.node if node.op_type == "Conv")
    second.input[1] = first.input[1]
    onnx.save(model, path)
    findings = check_finn(path)
    assert [(finding.rule, finding.node) for finding in findings] == [("FINN-09", first.name)]
    assert second.name in findings[0].found


def test_batch_size(tmp_path):
    findings = findings_of(nn.Sequential(identity(), conv(4, 4, 1)), torch.randn(2, 4, 6, 6), tmp_path)
    assert [finding.rule for finding in findings] == ["FINN-10"]


@pytest.mark.filterwarnings("ignore:Computing zero point of output accumulator")  # Brevitas, about itself
def test_weights_with_a_zero_point(tmp_path):
    layer = qnn.QuantConv2d(4, 4, 1, bias=False, weight_quant=ShiftedUint8WeightPerTensorFloat)
    model = nn.Sequential(identity(), layer)
    rules = {finding.rule for finding in findings_of(model, torch.randn(1, 4, 6, 6), tmp_path)}
    assert {"FINN-03", "FINN-08"} <= rules


def test_a_step_of_the_conversion_that_fails(small_net, image, tmp_path):
    """A bias whose zero-point has no dimension, as Brevitas writes it, stops qonnx's ExtractBiasFromConv."""
    path = tmp_path / "net.onnx"
    export_qonnx(small_net(bias_quant=Int16Bias), image, path)
    model = onnx.load(path)
    bias = next(node for node in model.graph.node if node.name == "depthwise.bias_quant")
    zero_point = next(tensor for tensor in model.graph.initializer if tensor.name == bias.input[2])
    zero_point.CopyFrom(onnx.numpy_helper.from_array(np.zeros((), np.float32), zero_point.name))
    for value in list(model.graph.value_info):
        if value.name == zero_point.name:
            model.graph.value_info.remove(value)
    onnx.save(model, path)
    assert [(finding.rule, finding.op) for finding in check_finn(path)] == [("FINN-20", "ExtractBiasFromConv")]


def test_command(tmp_path, capsys):
    torch.manual_seed(0)
    export(nn.Sequential(identity(), conv(4, 4, 1)), torch.randn(1, 4, 6, 6), tmp_path / "good.onnx")
    export(nn.Sequential(identity(bit_width=9), conv(4, 4, 1)), torch.randn(1, 4, 6, 6), tmp_path / "bad.onnx")
    assert main(["check-finn", str(tmp_path / "good.onnx")]) == 0
    assert main(["check-finn", str(tmp_path / "bad.onnx")]) == 1
    capsys.readouterr()
    assert main(["check-finn", str(tmp_path / "bad.onnx"), "--json"]) == 1
    result = json.loads(capsys.readouterr().out)
    assert not result["accepted"]
    assert [finding["rule"] for finding in result["findings"]] == ["FINN-05"]
    assert main(["check-finn", str(tmp_path / "none.onnx")]) == 2


def test_file_that_is_not_qonnx(tmp_path):
    (tmp_path / "net.onnx").write_bytes(b"not a model")
    with pytest.raises(OnnxFileError):
        check_finn(tmp_path / "net.onnx")


def findings_of(model: nn.Module, x: torch.Tensor, folder: Path) -> Any:
    export(model, x, folder / "net.onnx")
    return check_finn(folder / "net.onnx")


def export(model: nn.Module, x: torch.Tensor, path: Path) -> None:
    with torch.no_grad():
        model(x)
    export_qonnx(model.eval(), x, path)
