"""Builds small QONNX files by hand."""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import settings
from onnx import TensorProto, helper, numpy_helper

sys.path.insert(0, str(Path(__file__).parent))  # helper modules, whatever the import mode

# A busy machine is no reason for a property to fail, and the same examples make a failure one that can be seen again.
# `--hypothesis-profile=exploring` draws others every time.
settings.register_profile("exploring", deadline=None)
settings.register_profile("patient", deadline=None, derandomize=True)
settings.load_profile("patient")

QONNX = "qonnx.custom_op.general"


class FileBuilder:
    """Nodes one after the other; every method returns the name of the tensor it makes."""

    def __init__(self, folder: Path, shape: tuple[Any, ...] = (1, 2, 4, 4)) -> None:
        self.path = folder / "model.onnx"
        self.shape = shape
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self.types: dict[str, str] = {}
        self.model_properties: dict[str, str] = {}

    def constant(self, value: Any, name: str = "") -> str:
        name = name or f"constant{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def node(self, op: str, *inputs: str, domain: str = "", outputs: int = 1, **attributes: Any) -> str:
        index = len(self.nodes)
        names = [f"t{index}", *(f"t{index}.{k}" for k in range(1, outputs))]
        properties = attributes.pop("properties", {})
        node = helper.make_node(op, list(inputs), names, f"n{index}", domain=domain, **attributes)
        for key, value in properties.items():
            node.metadata_props.append(onnx.StringStringEntryProto(key=key, value=value))
        self.nodes.append(node)
        return names[0]

    def quant(
        self, x: str, scale: Any = 0.5, bits: int = 4, signed: int = 0, zero_point: float = 0, **attributes: Any
    ) -> str:
        attributes = {"signed": signed, "narrow": 0, "rounding_mode": "ROUND", **attributes}
        inputs = (self.constant(np.float32(v)) for v in (scale, zero_point, bits))
        return self.node("Quant", x, *inputs, domain=QONNX, **attributes)

    def weights(self, integers: Any, scale: Any = 1.0, bits: int = 4, **attributes: Any) -> str:
        real = np.asarray(integers, np.float32) * np.float32(scale)
        return self.quant(self.constant(real), scale, bits, **{"signed": 1, "narrow": 1, **attributes})

    def model(self, *outputs: str) -> Any:
        graph = helper.make_graph(
            self.nodes,
            "test",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, self.shape)],
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
            self.constants,
        )
        for name, dtype in self.types.items():
            note = onnx.TensorAnnotation(tensor_name=name)
            note.quant_parameter_tensor_names.append(onnx.StringStringEntryProto(key="finn_datatype", value=dtype))
            graph.quantization_annotation.append(note)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13), helper.make_opsetid(QONNX, 2)])
        for key, value in self.model_properties.items():
            model.metadata_props.append(onnx.StringStringEntryProto(key=key, value=value))
        return model

    def save(self, *outputs: str) -> Path:
        self.path.write_bytes(self.model(*(outputs or (self.nodes[-1].output[0],))).SerializeToString())
        return self.path


@pytest.fixture
def builder(tmp_path: Path) -> Callable[..., FileBuilder]:
    return lambda *args, **options: FileBuilder(tmp_path, *args, **options)


@pytest.fixture
def oracle() -> Callable[[str], Path]:
    """A file of FINN's reference networks and reports."""
    from oracle_data import ORACLE  # beside this file, on the path that is set above

    def find(name: str) -> Path:
        return ORACLE / name

    return find


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Brevitas' dynamo exporter, and compilation of its tensors, need torch 2.8: their cases are skipped below."""
    if tuple(int(part) for part in metadata.version("torch").split(".")[:2]) >= (2, 8):
        return
    for item in items:
        if item.get_closest_marker("torch28"):
            item.add_marker(pytest.mark.skip(reason="needs torch 2.8"))
