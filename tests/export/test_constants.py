"""Constants are folded in one pass, to what qonnx folds them to."""

from __future__ import annotations

import time

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from qonnx.core.datatype import DataType
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.transformation.fold_constants import FoldConstants
from qonnx.transformation.infer_shapes import InferShapes

from brevitas_a2q.export._constants import fold_constants_, part_constants_


def _chain(length: int) -> onnx.ModelProto:
    """A product with a constant that a chain of nodes computes, of the shape of the input among others."""
    nodes = [
        helper.make_node("Shape", ["x"], ["shape"]),
        helper.make_node("Constant", [], ["one"], value=numpy_helper.from_array(np.ones(1, np.float32))),
        helper.make_node(
            "ConstantOfShape", ["shape"], ["c0"], value=numpy_helper.from_array(np.full(1, 3, np.float32))
        ),
        *(helper.make_node("Add", [f"c{i}", "one"], [f"c{i + 1}"]) for i in range(length)),
        helper.make_node("Quant", [f"c{length}", "one", "zero", "bits"], ["q"], domain="qonnx.custom_op.general"),
        helper.make_node("Mul", ["x", "q"], ["y"]),
    ]
    initializers = [
        numpy_helper.from_array(np.zeros(1, np.float32), "zero"),
        numpy_helper.from_array(np.array(8, np.float32), "bits"),
    ]
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "chain",
        [value("x", TensorProto.FLOAT, [2, 3])],
        [value("y", TensorProto.FLOAT, [2, 3])],
        initializers,
    )
    opsets = [helper.make_opsetid("", 13), helper.make_opsetid("qonnx.custom_op.general", 1)]
    return helper.make_model(graph, opset_imports=opsets)


def test_the_same_as_qonnx() -> None:
    model = _chain(4)
    expected = ModelWrapper(_chain(4)).transform(InferShapes()).transform(FoldConstants())
    assert fold_constants_(model) == 7
    assert [node.op_type for node in model.graph.node] == ["Quant", "Mul"] == [n.op_type for n in expected.graph.node]
    (name,) = (tensor.name for tensor in model.graph.initializer if tensor.name == "c4")
    found = numpy_helper.to_array(next(tensor for tensor in model.graph.initializer if tensor.name == name))
    np.testing.assert_array_equal(found, np.full((2, 3), 7, np.float32))
    np.testing.assert_array_equal(found, expected.get_initializer("c4"))
    assert fold_constants_(model) == 0


def test_nothing_that_depends_on_the_input_is_folded() -> None:
    model = _chain(1)
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_param = "batch"
    assert fold_constants_(model) == 1  # the Constant alone
    assert model.graph.node[0].op_type == "Shape"


@pytest.mark.parametrize("length", [600])
def test_hundreds_of_nodes_take_no_time(length: int) -> None:
    model, started = _chain(length), time.perf_counter()
    assert fold_constants_(model) == length + 3
    assert time.perf_counter() - started < 20  # one at a time with the shapes of all: minutes


def test_every_reader_of_a_constant_gets_its_own() -> None:
    nodes = [
        helper.make_node("Mul", ["x", "c"], ["y"]),
        helper.make_node("Add", ["y", "c"], ["z"]),
        helper.make_node("Where", ["m", "c", "z"], ["c.1"]),
    ]
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "readers",
        [value("x", TensorProto.FLOAT, [2]), value("m", TensorProto.BOOL, [2])],
        [value("c.1", TensorProto.FLOAT, [2])],
        [numpy_helper.from_array(np.float32([1, 2]), "c")],
    )
    model = helper.make_model(graph)
    ModelWrapper(model).set_tensor_datatype("c", DataType["UINT2"])
    part_constants_(model)
    names = [node.input[1] for node in model.graph.node]
    assert names == ["c", "c.1'", "c.2"]
    wrapper = ModelWrapper(model)
    for name in names:
        assert wrapper.get_initializer(name).tolist() == [1, 2]
        assert wrapper.get_tensor_datatype(name) == DataType["UINT2"]
