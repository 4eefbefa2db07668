"""Steps of a hand-over that need no FINN: graphs that they rewrite compute the same integers.

FINN itself on whole networks: benchmarks/results/finn_handoff.md.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime  # noqa: F401  (qonnx' executor needs it)
import pytest
from onnx import TensorProto, helper
from qonnx.core.datatype import DataType
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.core.onnx_exec import execute_onnx
from qonnx.transformation.infer_datatypes import InferDataTypes
from qonnx.transformation.infer_shapes import InferShapes
from qonnx.util.basic import qonnx_make_model

from brevitas_a2q.export import _finn_steps as steps

IMAGE = (1, 3, 6, 6)


@pytest.fixture(autouse=True)
def _types_without_finn(monkeypatch: pytest.MonkeyPatch) -> None:
    """FINN knows the shapes and types of its own nodes; here they stay as the steps wrote them."""
    typed = steps._typed
    monkeypatch.setattr(steps, "_typed", lambda model: model if _has_units(model) else typed(model))


def _has_units(model: ModelWrapper) -> bool:
    return any(n.domain == "finn.custom_op.fpgadataflow" for n in model.graph.node)


def chain(*nodes: Any, shape: tuple[int, ...] = IMAGE, **constants: np.ndarray) -> ModelWrapper:
    """A network from ``x``, of UINT4, to ``y``."""
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, s) for name, s in (("x", shape), ("y", None)))
    graph = helper.make_graph(list(nodes), "chain", [x], [y])
    model = ModelWrapper(qonnx_make_model(graph, opset_imports=[helper.make_opsetid("", 13)]))
    for name, value in constants.items():
        model.set_initializer(name, np.asarray(value, np.float32))
    model.set_tensor_datatype("x", DataType["UINT4"])
    return model.transform(InferShapes()).transform(InferDataTypes())


def node(kind: str, given: str, made: str, *more: str, **attributes: Any) -> Any:
    domain = {"domain": "qonnx.custom_op.general"} if kind in ("MultiThreshold", "Quant") else {}
    return helper.make_node(kind, [given, *more], [made], **domain, **attributes)


def computed(model: ModelWrapper, x: np.ndarray) -> np.ndarray:
    """The output, FINN's units by what they stand for."""
    model = ModelWrapper(model.model, make_deepcopy=True)
    for unit in model.graph.node:
        if unit.domain == "finn.custom_op.fpgadataflow":
            _stand_in(model, unit)
    model = model.transform(InferShapes())
    return execute_onnx(model, {model.graph.input[0].name: x})[model.graph.output[0].name]


def _stand_in(model: ModelWrapper, unit: Any) -> None:
    given = {a.name: helper.get_attribute_value(a) for a in unit.attribute}
    del unit.attribute[:]
    unit.domain = ""
    if unit.op_type == "FMPadding":
        top, left, bottom, right = given["Padding"]
        unit.op_type = "Pad"
        model.set_initializer("pads", np.array([0, top, left, 0, 0, bottom, right, 0]))
        unit.input.append("pads")
    elif unit.op_type == "GlobalAccPool":
        unit.op_type = "ReduceSum"
        model.set_initializer("axes", np.array([1, 2]))
        unit.input.append("axes")
    else:  # a Pool of windows of k pixels, one behind the other, of all channels
        assert unit.op_type == "Pool"
        shape = model.get_tensor_shape(unit.input[0])
        channels = given["Channels"]
        matrix = np.tile(np.eye(channels), (shape[-1] // channels, 1))
        unit.op_type = "MatMul"
        model.set_initializer("ones", matrix.astype(np.float32))
        unit.input.append("ones")


def image(seed: int = 0, shape: tuple[int, ...] = IMAGE) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 16, shape).astype(np.float32)


WHOLE = node("GlobalAveragePool", "s", "a")
WINDOWS = {"kernel_shape": [2, 3], "strides": [2, 2], "pads": [1, 0, 1, 0], "count_include_pad": 1}
AVERAGES = [
    WHOLE,
    node("AveragePool", "s", "a", kernel_shape=[6, 6]),
    node("AveragePool", "s", "a", kernel_shape=[2, 2], strides=[2, 2]),
    node("AveragePool", "s", "a", kernel_shape=[3, 3], strides=[2, 2]),
    node("AveragePool", "s", "a", **WINDOWS),
]


@pytest.mark.parametrize(
    "average", AVERAGES, ids=["whole", "kernel-of-the-image", "halves", "overlapping", "rectangular-and-padded"]
)
def test_averages_are_sums_and_thresholds_as_often_the_number(average: Any) -> None:
    """With a scale in front, half the thresholds on the sums themselves: none may move by rounding."""
    kernel = next((a.ints for a in average.attribute if a.name == "kernel_shape"), IMAGE[2:])
    count = int(np.prod(kernel))
    sums = np.sort(np.random.default_rng(1).integers(0, 16 * count, (3, 15)), axis=1)
    model = chain(
        node("Mul", "x", "s", "scale"),
        average,
        node("MultiThreshold", "a", "y", "thresholds", out_dtype="UINT4"),
        scale=np.asarray(0.25),
        thresholds=(sums - 0.5) * 0.25 / count,
    )
    x = image()
    expected = computed(model, x)
    found = steps.images_as_units(model)
    kinds = [n.op_type for n in found.graph.node]
    assert not {"AveragePool", "GlobalAveragePool"} & set(kinds)
    unit = next(n for n in found.graph.node if n.op_type in ("GlobalAccPool", "Im2Col"))
    assert found.get_tensor_datatype(unit.input[0]) == DataType["UINT4"]
    thresholds = found.get_initializer(next(n for n in found.graph.node if n.op_type == "MultiThreshold").input[1])
    assert np.array_equal(np.ceil(thresholds / np.float32(0.25)), sums)
    np.testing.assert_array_equal(computed(found, x), expected)
    assert np.ptp(expected) > 0


def test_an_average_that_no_threshold_follows_keeps_its_divisor() -> None:
    model = chain(node("ReduceMean", "x", "y", axes=[2, 3], keepdims=0))
    found = steps.images_as_units(model)
    assert [n.op_type for n in found.graph.node] == ["Transpose", "GlobalAccPool", "Flatten", "Mul"]
    np.testing.assert_allclose(computed(found, image()), computed(model, image()), rtol=1e-6)


def test_zeros_around_an_image_are_a_unit_behind_its_scale() -> None:
    pads = np.array([0, 0, 1, 2, 0, 0, 0, 1])
    model = chain(node("Mul", "x", "s", "scale"), node("Pad", "s", "y", "pads"), scale=np.asarray(0.5))
    model.set_initializer("pads", pads)
    model = model.transform(InferShapes())
    found = steps.images_as_units(model)
    assert [n.op_type for n in found.graph.node] == ["Transpose", "FMPadding", "Transpose", "Mul"]
    np.testing.assert_array_equal(computed(found, image()), computed(model, image()))


def test_what_finn_has_no_unit_for_stays() -> None:
    """A summand does not pass zeros, padding with ones is none, and real values have no integer sum."""
    plus = chain(node("Add", "x", "s", "one"), node("Pad", "s", "y", "pads"), one=np.asarray(1.0))
    plus.set_initializer("pads", np.array([0, 0, 1, 1, 0, 0, 1, 1]))
    real = chain(node("Sqrt", "x", "s"), node("GlobalAveragePool", "s", "y"))
    for model, kept in ((plus.transform(InferShapes()), "Pad"), (real, "GlobalAveragePool")):
        assert kept in [n.op_type for n in steps.images_as_units(model).graph.node]


def test_unsigned_quantizers_read_a_relu() -> None:
    quantizers = [
        node("Quant", "x", "a", "scale", "zero", "bits", signed=0, narrow=0, rounding_mode="ROUND"),
        node("Quant", "a", "y", "scale", "zero", "bits", signed=1, narrow=0, rounding_mode="ROUND"),
    ]
    model = chain(*quantizers, scale=np.asarray(0.5), zero=np.asarray(0.0), bits=np.asarray(4.0))
    model.set_tensor_datatype("x", DataType["FLOAT32"])
    x = np.random.default_rng(0).normal(0, 4, IMAGE).astype(np.float32)
    found = steps.step_quantizers(model, None)
    assert [n.op_type for n in found.graph.node] == ["Relu", "Quant", "Quant"]
    np.testing.assert_array_equal(computed(found, x), computed(model, x))


@pytest.mark.parametrize("join", ["Concat", "Mul"])
@pytest.mark.parametrize("scales", [(0.5, 0.5), (0.5, 0.25)])
def test_scales_and_transpositions_pass_joins(join: str, scales: tuple[float, float]) -> None:
    attributes = {"axis": 3} if join == "Concat" else {}
    branches = [(node("Relu", "x", f"r{i}"), node("Transpose", f"r{i}", f"t{i}", perm=[0, 2, 3, 1])) for i in range(2)]
    factors = [node("Mul", f"t{i}", f"m{i}", f"scale{i}") for i in range(2)]
    nodes = [
        *(n for pair in branches for n in pair),
        *factors,
        helper.make_node(join, ["m0", "m1"], ["y"], **attributes),
    ]
    model = chain(*nodes, scale0=np.asarray(scales[0]), scale1=np.asarray(scales[1]))
    expected = computed(model, image())
    found = steps.transposes_past_joins(steps.scales_past_joins(model))
    kinds = [n.op_type for n in found.graph.node if n.op_type != "Relu"]
    passes = join == "Mul" or scales[0] == scales[1]
    assert kinds == ([join, "Transpose", "Mul"] if passes else ["Transpose", "Transpose", "Mul", "Mul", "Concat"])
    np.testing.assert_array_equal(computed(found, image()), expected)


@pytest.mark.parametrize("same", [True, False])
def test_thresholds_alike_pass_what_flattens_an_image(same: bool) -> None:
    rows = np.tile(np.arange(15) + 0.5, (108, 1)) + (0 if same else np.arange(108)[:, None] / 54)
    model = chain(
        node("Flatten", "x", "f", axis=1),
        node("MultiThreshold", "f", "y", "thresholds", out_dtype="UINT4"),
        thresholds=rows,
    )
    expected = computed(model, image())
    steps.thresholds_before_flattening(model)
    model = model.transform(InferShapes())
    kinds = ["MultiThreshold", "Flatten"]
    assert [n.op_type for n in model.graph.node] == (kinds if same else kinds[::-1])
    np.testing.assert_array_equal(computed(model, image()), expected)
