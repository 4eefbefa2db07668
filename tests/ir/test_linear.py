"""QDQ and QCDQ files: of onnxruntime's quantizer and of Brevitas, held against onnxruntime's own execution."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import brevitas.nn as qnn
import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from brevitas.quant import Int8ActPerTensorFloat
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from brevitas_a2q import Int8ProjectedA2QWeightPerChannelFloat, certify, export_qcdq, simulate
from brevitas_a2q._ir.linear import _type
from brevitas_a2q.errors import OnnxFileError

quantization = pytest.importorskip("onnxruntime.quantization")
pytestmark = pytest.mark.filterwarnings("ignore")


class _Data(quantization.CalibrationDataReader):  # type: ignore[misc, name-defined]
    def __init__(self) -> None:
        self.left = [np.random.default_rng(i).random((1, 3, 8, 8)).astype(np.float32) * 2 - 1 for i in range(6)]

    def get_next(self) -> Any:
        return {"x": self.left.pop()} if self.left else None


@pytest.fixture(scope="module")
def float_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A float network as torch exports it."""
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 8, 3), nn.ReLU(), nn.Flatten(),
        nn.Linear(32, 5),
    )  # fmt: skip
    path = tmp_path_factory.mktemp("float") / "float.onnx"
    torch.onnx.export(model.eval(), (torch.zeros(1, 3, 8, 8),), str(path), dynamo=False, opset_version=13,
                      input_names=["x"])  # fmt: skip
    return path


INT8 = quantization.QuantType.QInt8
FORMS: dict[str, dict[str, Any]] = {
    "default": {},
    "symmetric": {"activation_type": INT8, "weight_type": INT8, "extra_options": {"ActivationSymmetric": True}},
    "per channel": {"per_channel": True, "weight_type": INT8},
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_files_of_onnxruntimes_quantizer(form: dict[str, Any], float_file: Path, tmp_path: Path) -> None:
    path = tmp_path / "quantized.onnx"
    quantization.quantize_static(str(float_file), str(path), _Data(), quant_format=quantization.QuantFormat.QDQ, **form)
    certificate = certify(path)
    assert [layer.name for layer in certificate.layers] == ["/0/Conv", "/3/Conv", "/6/Gemm"]
    assert certificate.uncovered == ()
    # The integers are those of the file, whoever reads them.
    weights = [
        numpy_helper.to_array(tensor).astype(np.int64)
        for tensor in onnx.load(path).graph.initializer
        if tensor.name.endswith("weight_quantized")
    ]
    assert len(weights) == 3
    for layer, integers in zip(certificate.layers, weights, strict=True):
        assert layer.inputs == integers[0].size
        assert layer.weights_bit_width <= layer.data_type_bit_width
    x = np.random.default_rng(9).random((4, 3, 8, 8)).astype(np.float32) * 2 - 1
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    expected = np.concatenate([session.run(None, {"x": part[None]})[0] for part in x])
    found = np.asarray(simulate(path, {"x": x}, overflow="check").outputs)
    step = np.abs(np.diff(np.unique(expected))).min()
    assert (np.abs(found - expected) < 1.01 * step).all()  # at most one code apart, where float32 meets a tie
    assert (np.abs(found - expected) < 0.01 * step).mean() > 0.9


def test_our_own_qcdq_has_the_models_certificate(tmp_path: Path) -> None:
    torch.manual_seed(0)
    layer: dict[str, Any] = {
        "weight_quant": Int8ProjectedA2QWeightPerChannelFloat, "weight_accumulator_bit_width": 12, "bias": False,
        "weight_bit_width": 4,
    }  # fmt: skip
    model = nn.Sequential(
        qnn.QuantIdentity(act_quant=Int8ActPerTensorFloat, return_quant_tensor=True), qnn.QuantLinear(16, 8, **layer),
        qnn.QuantReLU(bit_width=4, return_quant_tensor=True), qnn.QuantLinear(8, 4, **layer),
    )  # fmt: skip
    x = torch.rand(1, 16)
    model(x)
    report = export_qcdq(model.eval(), x, tmp_path / "qcdq.onnx")
    found = certify(tmp_path / "qcdq.onnx")
    wanted = certify(model, x)
    assert [(one.lower, one.upper, one.required_bit_width) for one in found.layers] == [
        (one.lower, one.upper, one.required_bit_width) for one in wanted.layers
    ]
    assert report.certificate.holds


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(-128, 127, (8, True, False)), (0, 255, (8, False, False)), (0, 15, (4, False, False)),
     (-7, 7, (4, True, True)), (-8, 7, (4, True, False)), (-1, 1, (2, True, True)), (3, 9, None), (0, 5, None)],
)  # fmt: skip
def test_types_by_their_ends(low: int, high: int, expected: Any) -> None:
    assert _type(low, high) == expected


def test_what_is_no_pair_stays_unstated(tmp_path: Path) -> None:
    """Another scale on the way back is arithmetic that nobody promised."""
    value = helper.make_tensor_value_info
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "other", "z"], ["r"]),
        helper.make_node("DequantizeLinear", ["w", "s", "zw"], ["v"]),
        helper.make_node("MatMul", ["r", "v"], ["y"]),
    ]
    arrays = {
        "s": np.array(0.5, np.float32), "other": np.array(0.25, np.float32), "z": np.array(0, np.uint8),
        "zw": np.array(0, np.int8), "w": np.ones((4, 2), np.int8),
    }  # fmt: skip
    graph = helper.make_graph(
        nodes, "odd", [value("x", TensorProto.FLOAT, [1, 4])], [value("y", TensorProto.FLOAT, [1, 2])],
        [numpy_helper.from_array(array, name) for name, array in arrays.items()],
    )  # fmt: skip
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)]), tmp_path / "odd.onnx")
    with pytest.raises(OnnxFileError, match="no quantized layer"):
        certify(tmp_path / "odd.onnx")
