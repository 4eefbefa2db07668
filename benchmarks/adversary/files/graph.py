"""Writes random QONNX graphs, node by node; knows only shapes, and steps where they are plain."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper

QONNX = "qonnx.custom_op.general"


@dataclass(frozen=True)
class Stream:
    """A tensor; ``step`` is its value's unit where it is one number (or one per channel), else None."""

    name: str
    shape: tuple[int, ...]
    step: Any = None


@dataclass(frozen=True, eq=False)
class Layer:
    """A layer as its author meant it: what it reads, and integers and steps of its weights."""

    name: str
    op: str
    source: Stream
    weights: np.ndarray
    attributes: dict[str, Any]
    bias: np.ndarray | None


class Graph:
    """Nodes one after the other."""

    def __init__(self, rng: np.random.Generator, opset: int, shape: tuple[int, ...]) -> None:
        self.rng, self.opset, self.shape = rng, opset, shape
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self.layers: list[Layer] = []
        self.targets: dict[str, int] = {}
        self.weight_shapes: dict[str, tuple[int, ...]] = {}
        self.used: list[str] = []  # kinds of operations, for the statistics

    def constant(self, value: Any) -> str:
        name = f"k{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def f32(self, value: Any) -> str:
        return self.constant(np.asarray(value, np.float32))

    def i64(self, value: Any) -> str:
        return self.constant(np.asarray(value, np.int64))

    def op(self, op: str, *inputs: str, domain: str = "", outputs: int = 1, **attributes: Any) -> Any:
        index = len(self.nodes)
        names = [f"t{index}_{i}" for i in range(outputs)]
        self.nodes.append(helper.make_node(op, list(inputs), names, f"n{index}", domain=domain, **attributes))
        return names[0] if outputs == 1 else names

    def quant(self, x: str, scale: Any, zero: Any, bits: float, signed: int, narrow: int, mode: str) -> str:
        parameters = self.f32(scale), self.f32(zero), self.f32(bits)
        return self.op("Quant", x, *parameters, domain=QONNX, signed=signed, narrow=narrow, rounding_mode=mode)

    def model(self, outputs: list[Stream]) -> Any:
        last = [helper.make_tensor_value_info(s.name, TensorProto.FLOAT, list(s.shape)) for s in outputs]
        source = helper.make_tensor_value_info("x", TensorProto.FLOAT, list(self.shape))
        graph = helper.make_graph(self.nodes, "g", [source], last, self.constants)
        opsets = [helper.make_opsetid("", self.opset), helper.make_opsetid(QONNX, 1)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=8)


def after(x: Stream, name: str, shape: Any = None, step: Any = "same") -> Stream:
    """The stream behind an operation."""
    return replace(x, name=name, shape=tuple(shape or x.shape), step=x.step if isinstance(step, str) else step)
