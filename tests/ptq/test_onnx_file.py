"""Float ONNX files as torch models, judged by onnxruntime."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from onnx.backend.test.case.node import collect_testcases
from torch import nn

from brevitas_a2q.errors import OnnxFileError
from brevitas_a2q.ptq._onnx_file import read_float_model
from brevitas_a2q.ptq._onnx_operators import OPERATORS

RNG = np.random.default_rng(0)


def _file(path: Path, nodes: list[Any], constants: dict[str, Any], shape: tuple[int, ...], *domains: str) -> Path:
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape if domains else None)],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    file = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 17), *(helper.make_opsetid(d, 1) for d in domains)], ir_version=9
    )
    onnx.save(onnx.shape_inference.infer_shapes(file), str(path))
    return path


def _agrees(path: Path, x: np.ndarray[Any, Any]) -> nn.Module:
    expected = onnxruntime.InferenceSession(str(path)).run(None, {"x": x})[0]
    model = read_float_model(path)
    with torch.no_grad():
        np.testing.assert_allclose(model(torch.from_numpy(x)).numpy(), expected, rtol=1e-4, atol=1e-5)
    return model


def _floats(*shape: int) -> np.ndarray[Any, Any]:
    return RNG.normal(size=shape).astype(np.float32)


def test_a_convolutional_network(tmp_path: Path) -> None:
    node = helper.make_node
    nodes = [
        node("Conv", ["x", "w1", "b1"], ["a"], pads=[1, 1, 1, 1], strides=[2, 2]),
        node("BatchNormalization", ["a", "gain", "offset", "mean", "variance"], ["b"]),
        node("Relu", ["b"], ["c"]),
        node("Conv", ["c", "w2"], ["d"], pads=[0, 1, 2, 1], group=2),
        node("Clip", ["d", "zero", "six"], ["e"]),
        node("MaxPool", ["e"], ["f"], kernel_shape=[2, 2], strides=[2, 2]),
        node("ConvTranspose", ["f", "w3"], ["g"], strides=[2, 2]),
        node("Add", ["g", "g"], ["h"]),
        node("GlobalMaxPool", ["h"], ["i"]),
        node("Flatten", ["i"], ["j"]),
        node("Gemm", ["j", "w4", "b4"], ["k"], transB=1, alpha=0.5),
        node("MatMul", ["k", "w5"], ["l"]),
        node("Softmax", ["l"], ["y"]),
    ]
    constants = {
        "w1": _floats(4, 3, 3, 3), "b1": _floats(4), "gain": _floats(4), "offset": _floats(4), "mean": _floats(4),
        "variance": np.abs(_floats(4)) + 0.5, "w2": _floats(6, 2, 3, 3), "zero": np.float32(0), "six": np.float32(6),
        "w3": _floats(6, 4, 2, 2), "w4": _floats(5, 4), "b4": _floats(5), "w5": _floats(5, 3),
    }  # fmt: skip
    model = _agrees(_file(tmp_path / "m.onnx", nodes, constants, (2, 3, 12, 12)), _floats(2, 3, 12, 12))
    kinds = [type(module) for module in model.modules()]
    assert kinds.count(nn.Conv2d) == 2
    assert kinds.count(nn.Linear) == 2
    assert {nn.ConvTranspose2d, nn.BatchNorm2d, nn.ReLU6, nn.MaxPool2d} <= set(kinds)


SINGLE: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "reshape": ("Reshape", {"c": np.array([0, -1])}, {}),
    "transpose": ("Transpose", {}, {"perm": [2, 0, 1]}),
    "slice": (
        "Slice",
        {"a": np.array([1, -1]), "b": np.array([3, -9]), "c": np.array([1, 2]), "d": np.array([1, -2])},
        {},
    ),
    "pad": ("Pad", {"c": np.array([0, 1, 0, 0, 2, 1])}, {}),
    "reflect": ("Pad", {"c": np.array([0, 0, 1, 0, 0, 2])}, {"mode": "reflect"}),
    "gather": ("Gather", {"c": np.array([[0, -1], [1, 1]])}, {"axis": 1}),
    "mean": ("ReduceMean", {}, {"axes": [-1], "keepdims": 0}),
    "sum": ("ReduceSum", {"c": np.array([0, 2])}, {}),
    "squeeze": ("Unsqueeze", {"c": np.array([0, 4])}, {}),
    "leaky": ("LeakyRelu", {}, {"alpha": 0.2}),
    "erf": ("Erf", {}, {}),
    "norm": ("LayerNormalization", {"c": _floats(5), "d": _floats(5)}, {}),
    "clip": ("Clip", {"c": np.float32(-0.5), "d": np.float32(0.5)}, {}),
    "divide": ("Div", {"c": _floats(5)}, {}),
    "power": ("Pow", {"c": np.float32(2)}, {}),
    "expand": ("Expand", {"c": np.array([2, 3, 4, 5])}, {}),
    "tile": ("Tile", {"c": np.array([1, 2, 1])}, {}),
    "prelu": ("PRelu", {"c": _floats(5)}, {}),
}


@pytest.mark.parametrize("case", SINGLE)
def test_operators(case: str, tmp_path: Path) -> None:
    op, constants, attributes = SINGLE[case]
    node = helper.make_node(op, ["x", *constants], ["y"], **attributes)
    _agrees(_file(tmp_path / "m.onnx", [node], constants, (3, 4, 5)), _floats(3, 4, 5))


@pytest.mark.filterwarnings("ignore:.*encountered in:RuntimeWarning")  # as ONNX makes its cases
def test_what_onnx_itself_says_of_its_operators(tmp_path: Path) -> None:
    """The cases that ONNX ships: every operator that is read gives what they say, or is refused by name."""
    path, judged = tmp_path / "m.onnx", dict[str, int]()
    layers = {"Conv", "ConvTranspose", "BatchNormalization", "MaxPool", "Relu", "Sigmoid", "Tanh", "HardSwish"}
    for case in collect_testcases(None):
        operators = {node.op_type for node in case.model.graph.node}
        elements = {value.type.tensor_type.elem_type for value in case.model.graph.input}
        if not operators <= {*OPERATORS, *layers} or not elements <= {TensorProto.FLOAT, TensorProto.INT64}:
            continue
        inputs, outputs = case.data_sets[0]
        large = "flexattention" in case.name
        if large or "empty" in case.name or any(np.asarray(array).dtype.kind not in "fi" for array in inputs):
            continue
        model = onnx.ModelProto()
        model.CopyFrom(case.model)
        for value, array in list(zip(case.model.graph.input, inputs, strict=True))[1:]:  # weights are constants
            model.graph.initializer.append(numpy_helper.from_array(array, value.name))
            model.graph.input.remove(value)
        onnx.save(model, path)
        try:
            network = read_float_model(path)
        except OnnxFileError:
            continue
        with torch.no_grad():
            found = network(*(torch.from_numpy(np.array(array)) for array in inputs[:1]))
        for mine, wanted in zip(found if isinstance(found, tuple) else (found,), outputs, strict=True):
            np.testing.assert_allclose(mine.numpy(), wanted, rtol=1e-3, atol=1e-5, err_msg=case.name)
        for operator in operators:
            judged[operator] = judged.get(operator, 0) + 1
    table = {*OPERATORS, *layers} - judged.keys()
    # Of other types, or with outputs that inference has no use for.
    assert table <= {"Cast", "Equal", "LayerNormalization", "Not"}, table


@pytest.mark.parametrize("shape", [(3, 4, 6), (3, 4, 5, 6), (3, 4, 3, 3, 2)])
def test_norms_and_means_of_any_rank(shape: tuple[int, ...], tmp_path: Path) -> None:
    nodes = [
        helper.make_node("BatchNormalization", ["x", "a", "b", "c", "d"], ["n"]),
        helper.make_node("GlobalAveragePool", ["n"], ["y"]),
    ]
    constants = {"a": _floats(4), "b": _floats(4), "c": _floats(4), "d": np.abs(_floats(4)) + 0.5}
    _agrees(_file(tmp_path / "m.onnx", nodes, constants, shape), _floats(*shape))


@pytest.mark.parametrize("op", ["Softmax", "LogSoftmax"])
def test_old_files_normalize_over_all_trailing_axes(op: str, tmp_path: Path) -> None:
    path = _file(tmp_path / "m.onnx", [helper.make_node(op, ["x"], ["y"])], {}, (3, 4, 5))
    file = onnx.load(path)
    file.opset_import[0].version = 11
    onnx.save(file, path)
    _agrees(path, _floats(3, 4, 5))


@pytest.mark.parametrize("allowzero", [0, 1])
def test_a_file_that_was_made_for_one_sample_takes_more(allowzero: int, tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Relu", ["x"], ["a"]),
        helper.make_node("Reshape", ["a", "s"], ["b"], allowzero=allowzero),
        helper.make_node("MatMul", ["b", "w"], ["y"]),
    ]
    path = _file(tmp_path / "m.onnx", nodes, {"s": np.array([1, -1]), "w": _floats(12, 2)}, (1, 3, 4))
    x = _floats(5, 3, 4)
    model = _agrees(path, x[:1])
    alone = torch.cat([model(one) for one in torch.from_numpy(x).split(1)])
    torch.testing.assert_close(model(torch.from_numpy(x)), alone)


def test_weights_in_another_file_of_the_folder(tmp_path: Path) -> None:
    constants = {"w": _floats(5, 4), "b": _floats(5)}
    path = _file(tmp_path / "m.onnx", [helper.make_node("Gemm", ["x", "w", "b"], ["y"], transB=1)], constants, (3, 4))
    onnx.save(onnx.load(path), path, save_as_external_data=True, location="m.data", size_threshold=0)
    _agrees(path, _floats(3, 4))
    file = onnx.load(path, load_external_data=False)
    (tmp_path / "inner").mkdir()
    onnx.save(file, tmp_path / "inner" / "m.onnx")
    for place in ("../m.data", str(tmp_path / "m.data"), "m.data"):  # outside of the folder, and not there
        for entry in (pair for one in file.graph.initializer for pair in one.external_data if pair.key == "location"):
            entry.value = place
        (tmp_path / "inner" / "m.onnx").write_bytes(file.SerializeToString())
        with pytest.raises(OnnxFileError, match=r"tensor w: (found external data|cannot be read)"):
            read_float_model(tmp_path / "inner" / "m.onnx")


def test_what_is_no_layer_is_not_taken_for_one(tmp_path: Path) -> None:
    """A bias that is computed, one that is no vector, and another's operator that is called like ONNX's."""
    node, weight = helper.make_node, {"w": _floats(5, 5)}
    cases = {
        "bias that is no constant": ([node("Gemm", ["x", "w", "x"], ["y"])], weight),
        r"bias that is of shape \(5, 1\)": ([node("Gemm", ["x", "w", "b"], ["y"])], weight | {"b": _floats(5, 1)}),
        "not supported": ([node("Relu", ["x"], ["y"], domain="com.someone")], {}),
    }
    for message, (nodes, constants) in cases.items():
        path = _file(tmp_path / "m.onnx", nodes, constants, (5, 5), "com.someone")
        with pytest.raises(OnnxFileError, match=message):
            read_float_model(path)


def test_unknown_operators_and_damaged_files_are_named(tmp_path: Path) -> None:
    node = helper.make_node("Det", ["x"], ["y"], name="strange")
    path = _file(tmp_path / "m.onnx", [node], {}, (3, 4, 4))
    with pytest.raises(OnnxFileError, match=r"strange \(Det\): its operator is not supported"):
        read_float_model(path)
    (tmp_path / "broken.onnx").write_bytes(path.read_bytes()[:40])
    for name in ("broken.onnx", "missing.onnx"):
        with pytest.raises(OnnxFileError, match=name):
            read_float_model(tmp_path / name)


def test_a_file_that_is_quantized_already_is_named(tmp_path: Path) -> None:
    node = helper.make_node(
        "Quant", ["x", "scale", "zero", "bits"], ["y"], "quantizer", domain="qonnx.custom_op.general"
    )
    ends = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1, 2]) for name in ("x", "y")]
    onnx.save(helper.make_model(helper.make_graph([node], "net", ends[:1], ends[1:])), tmp_path / "net.onnx")
    with pytest.raises(OnnxFileError, match=r"is quantized already \(node quantizer\).*expected a float network"):
        read_float_model(tmp_path / "net.onnx")
