"""QCDQ files compute the same integers in onnxruntime."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from brevitas.quant import Int8AccumulatorAwareWeightQuant, Int8WeightPerChannelFloat

from brevitas_a2q import Int8A2QWeightPerChannelFloat, export_qcdq


@pytest.mark.parametrize(
    "quantizer", [Int8WeightPerChannelFloat, Int8AccumulatorAwareWeightQuant, Int8A2QWeightPerChannelFloat]
)
def test_onnxruntime_computes_the_models_outputs(small_net, image, tmp_path, quantizer):
    model = small_net(quantizer)
    report = export_qcdq(model, image, tmp_path / "net.onnx")
    assert report.round_trip.quantizers == 6
    session = onnxruntime.InferenceSession(tmp_path / "net.onnx", providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {session.get_inputs()[0].name: image.numpy()})
    with torch.no_grad():
        expected = model(image).numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    assert report.onnxruntime_difference < 1e-5


def test_standard_operators_only(small_net, image, tmp_path):
    export_qcdq(small_net(), image, tmp_path / "net.onnx")
    model = onnx.load(tmp_path / "net.onnx")
    assert {node.domain for node in model.graph.node} <= {"", "ai.onnx"}
    assert {"QuantizeLinear", "DequantizeLinear"} <= {node.op_type for node in model.graph.node}


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_other_types(small_net, image, tmp_path, dtype):
    model = small_net(Int8A2QWeightPerChannelFloat).to(dtype)
    assert export_qcdq(model, image.to(dtype), tmp_path / "net.onnx").round_trip.quantizers == 6


def test_residual_and_bias(small_net, residual_net, image, tmp_path, bias_quant):
    assert export_qcdq(residual_net(), image, tmp_path / "net.onnx").round_trip.quantizers == 4
    assert export_qcdq(small_net(bias_quant=bias_quant), image, tmp_path / "net.onnx").round_trip.quantizers == 8
