"""What longer runs of the fuzzer have found, each in its smallest form."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from brevitas_a2q._ir.datatypes import IntType
from brevitas_a2q._ir.network import OPAQUE, Node
from brevitas_a2q._ir.quantizer import Quantizer
from brevitas_a2q._ir.reader import read_network
from brevitas_a2q.bounds import IntRange
from brevitas_a2q.errors import A2QError, OnnxFileError
from brevitas_a2q.hw._cost.synthesis.search import SearchTable, threshold_bill
from brevitas_a2q.hw._devices import find_part
from brevitas_a2q.hw._frontend import build_graph
from brevitas_a2q.hw._frontend.evaluation import computed
from brevitas_a2q.hw._frontend.thresholds import ends_of
from brevitas_a2q.hw._ir import Island

QONNX = "qonnx.custom_op.general"


def test_signs_with_more_zero_points_than_scales() -> None:
    quantizer = Quantizer(np.float32(1), np.float32([[0], [1], [-2]]), IntType("BIPOLAR"))
    assert quantizer.integers(np.float32([-1, 1.5])).tolist() == [[-1, 1], [0, 0], [1, 1]]


def test_a_quantizer_of_one_code_compares_nothing() -> None:
    table = SearchTable(np.zeros((4, 0), np.int64), IntRange(0, 15))
    bill = threshold_bill(table, 4, 2, find_part("xczu7ev-ffvc1156-2-e"), "auto")
    assert (bill.circuits, bill.memories) == ([], [])


def test_a_form_that_the_reference_does_not_compute() -> None:
    attributes = {"op": "Relu", "domain": "", "opset": 13, "reason": "", "attributes": {}}
    node = Node("n", OPAQUE, ("x", "y"), ("z",), attributes)
    with pytest.raises(OnnxFileError, match="reference"):
        computed(SimpleNamespace(tensors={}), node, {"x": np.ones(2), "y": np.ones(2)})  # type: ignore[arg-type]


def test_ranges_along_an_axis_that_is_the_channels_no_more() -> None:
    codes = SimpleNamespace(lo=np.array([[-1], [-3]]), hi=np.array([[4], [2]]))
    stream: Any = SimpleNamespace(codes=codes, channel_axis=0, channels=1)
    assert [end.tolist() for end in ends_of(stream)] == [[-3], [4]]


def saved(path: Path, nodes: Sequence[Any], constants: Mapping[str, Any], shape: Sequence[int]) -> Path:
    """A file of these nodes, from x to y."""
    values = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, dims) for name, dims in (("x", shape), ("y", None))
    ]
    kept = [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "found", values[:1], values[1:], kept)
    opsets = [helper.make_opsetid("", 13), helper.make_opsetid(QONNX, 2)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), path)
    return path


def quant(name: str, *inputs: str) -> Any:
    return helper.make_node("Quant", inputs, [name], domain=QONNX, name=name)


def test_constants_in_double_whose_scale_is_of_another_shape(tmp_path: Path) -> None:
    constants = {"w": np.ones(8), "s": np.ones((1, 2)), "z": np.zeros(1), "b": np.full(1, 4.0)}
    path = saved(tmp_path / "double.onnx", [quant("y", *constants)], constants, [1])
    with pytest.raises(OnnxFileError, match=r"y .*shape"):
        read_network(path)


def test_scales_per_channel_of_a_tensor_that_has_lost_an_axis(tmp_path: Path) -> None:
    constants: dict[str, Any] = {"s": np.float32(0.1), "t": np.float32(0.5), "z": np.float32(0), "b": np.float32(4)}
    constants |= {"w": np.float32([[1, -1]]), "axes": np.int64([2])}
    nodes = [
        quant("a", "x", "s", "z", "b"),
        quant("c", "a", "t", "z", "b"),
        helper.make_node("Concat", ["a", "c"], ["d"], axis=1),
        helper.make_node("GlobalMaxPool", ["d"], ["e"]),
        helper.make_node("Squeeze", ["e", "axes"], ["f"]),
        helper.make_node("Sqrt", ["f"], ["g"], name="root"),
        quant("h", "g", "s", "z", "b"),
        quant("v", "w", "t", "z", "b"),
        helper.make_node("MatMul", ["h", "v"], ["y"]),
    ]
    network = read_network(saved(tmp_path / "squeezed.onnx", nodes, constants, [1, 1, 1, 2]))
    with contextlib.suppress(A2QError):  # whether it can be built is another question
        build_graph(network)


@pytest.mark.parametrize("what", ["scale", "factor"])
def test_what_varies_along_the_batch_is_not_tabulated_by_channel(what: str) -> None:
    file = Path(__file__).parents[1] / f"data/found_by_fuzzing/{what}_along_the_batch.onnx"
    islands = [unit for unit in build_graph(read_network(file)).units if isinstance(unit, Island)]
    assert islands
    assert all(island.stand_in is None for island in islands)


def test_a_quantizer_of_a_number_is_no_input(tmp_path: Path) -> None:
    constants: dict[str, Any] = {"k": np.float32(0.7), "s": np.float32(0.1), "z": np.float32(0), "b": np.float32(4)}
    nodes = [
        helper.make_node("LeakyRelu", ["k"], ["a"]),
        quant("c", "a", "s", "z", "b"),
        helper.make_node("Sub", ["c", "x"], ["d"]),
        quant("e", "d", "s", "z", "b"),
        quant("v", "w", "s", "z", "b"),
        helper.make_node("MatMul", ["e", "v"], ["y"]),
    ]
    constants["w"] = np.float32(np.eye(4))
    network = read_network(saved(tmp_path / "number.onnx", nodes, constants, [1, 4]))
    with pytest.raises(OnnxFileError, match=r"shape \(\).*axis for the batch"):
        build_graph(network)
