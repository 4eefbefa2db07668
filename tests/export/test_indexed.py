"""Steps of qonnx with an index beside the graph give what they give without it."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import onnx
import pytest
from onnx import TensorProto, helper
from oracle_data import ORACLE
from qonnx.core.datatype import DataType
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.transformation import fold_constants, general, infer_datatypes

from brevitas_a2q.export import _indexed as indexed

FILES = sorted((ORACLE / "models").glob("*.onnx"))[:6]
STEPS: dict[str, tuple[Any, Any]] = {
    "types": (infer_datatypes.InferDataTypes(), indexed.InferDataTypes()),
    "scaled types": (infer_datatypes.InferDataTypes(True), indexed.InferDataTypes(True)),
    "constants": (fold_constants.FoldConstants(), indexed.FoldConstants()),
    "names": (general.GiveReadableTensorNames(), indexed.GiveReadableTensorNames()),
}


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.stem))
def test_the_graph_is_the_same(path: Path, step: str) -> None:
    model = ModelWrapper(onnx.load(path)).transform(general.GiveUniqueNodeNames())
    theirs, ours = (copy.deepcopy(model).transform(one, cleanup=False).model for one in STEPS[step])
    assert ours.SerializeToString(deterministic=True) == theirs.SerializeToString(deterministic=True)


def _small() -> Any:
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [2]) for name in "xy")
    half = helper.make_tensor("h", TensorProto.FLOAT16, [2], [1.0, 2.0])
    graph = helper.make_graph([helper.make_node("Mul", ["x", "x"], ["y"], "square")], "g", [x], [y], [half])
    return helper.make_model(graph)


def test_a_node_that_reads_a_tensor_twice_reads_one_name() -> None:
    model, _ = indexed.GiveReadableTensorNames().apply(ModelWrapper(_small()))
    assert list(model.graph.node[0].input) == ["global_in", "global_in"]


def test_what_is_set_is_found() -> None:
    graph = indexed.Indexed(_small())
    assert graph.get_tensor_datatype("h") == DataType["FLOAT16"]
    for name in ("INT4", "UINT8", None, "BIPOLAR"):
        graph.set_tensor_datatype("x", None if name is None else DataType[name])
        expected = DataType["FLOAT32" if name is None else name]
        assert graph.get_tensor_datatype("x") == expected
    assert graph.get_initializer("x") is None
    assert graph.get_tensor_shape("nothing") is None
    graph.set_initializer("n", graph.get_initializer("h"))
    assert graph.get_initializer("n").tolist() == [1.0, 2.0]
    assert graph.get_tensor_shape("n") == [2]
