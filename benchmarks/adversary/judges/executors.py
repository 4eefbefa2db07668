"""Execution of a QONNX file: by qonnx, node by node, or by onnxruntime, QONNX' operators written out in ONNX."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import onnxruntime
from onnx import TensorProto, helper, numpy_helper

__all__ = ["ort_runner", "qonnx_run"]


def qonnx_run(model: Any, x: np.ndarray) -> dict[str, np.ndarray]:
    """Every tensor of a file for one input, by qonnx' executor."""
    from qonnx.core.modelwrapper import ModelWrapper
    from qonnx.core.onnx_exec import execute_onnx
    from qonnx.transformation.infer_shapes import InferShapes

    wrapper = ModelWrapper(model).transform(InferShapes())
    return dict(execute_onnx(wrapper, {"x": x}, return_full_exec_context=True))


def ort_runner(model: Any, wanted: list[str]) -> Callable[[np.ndarray], list[np.ndarray]]:
    """A function from an input to tensors of a file, by onnxruntime without optimisations."""
    plain = _translated(model, wanted)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(plain.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return lambda x: session.run(wanted, {"x": x})


class _Writer:
    """Nodes of ONNX in place of one of QONNX."""

    def __init__(self, constants: dict[str, np.ndarray], prefix: str) -> None:
        self.constants, self.prefix = constants, prefix
        self.nodes: list[Any] = []
        self.new: list[Any] = []

    def const(self, value: Any) -> str:
        name = f"{self.prefix}/c{len(self.new)}"
        self.new.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def op(self, op: str, *inputs: str, **attributes: Any) -> str:
        name = f"{self.prefix}/t{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, list(inputs), [name], **attributes))
        return name

    def rounded(self, mode: str, x: str) -> str:
        half = self.const(np.float32(0.5))
        if mode in ("ROUND", "HALF_EVEN"):
            return self.op("Round", x)
        if mode in ("FLOOR", "CEIL"):
            return self.op(mode.capitalize(), x)
        magnitude = self.op("Abs", x)
        inner = {
            "UP": lambda: self.op("Ceil", magnitude),
            "DOWN": lambda: self.op("Floor", magnitude),
            "ROUND_TO_ZERO": lambda: self.op("Floor", magnitude),
            "HALF_UP": lambda: self.op("Floor", self.op("Add", magnitude, half)),
            "HALF_DOWN": lambda: self.op("Ceil", self.op("Sub", magnitude, half)),
        }[mode]()
        return self.op("Mul", self.op("Sign", x), inner)

    def signs(self, x: str) -> str:
        negative = self.op("Less", x, self.const(np.float32(0)))
        return self.op("Where", negative, self.const(np.float32(-1)), self.const(np.float32(1)))


def _translated(model: Any, wanted: list[str]) -> Any:
    constants = {c.name: numpy_helper.to_array(c) for c in model.graph.initializer}
    nodes, added = [], []
    for node in model.graph.node:
        if not node.domain:
            nodes.append(node)
            continue
        writer = _Writer(constants, node.output[0])
        a = {item.name: helper.get_attribute_value(item) for item in node.attribute}
        result = {"Quant": _quant, "BipolarQuant": _bipolar, "Trunc": _trunc, "MultiThreshold": _threshold}[node.op_type](writer, node, a)
        nodes += [*writer.nodes, helper.make_node("Identity", [result], list(node.output))]
        added += writer.new
    outputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in wanted]
    graph = helper.make_graph(nodes, "g", list(model.graph.input), outputs, [*model.graph.initializer, *added])
    opset = next(o.version for o in model.opset_import if not o.domain)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=model.ir_version)


def _quant(w: _Writer, node: Any, a: dict[str, Any]) -> str:
    x, scale, zero, bits = node.input
    steps = w.op("Add", w.op("Div", x, scale), zero)
    n, signed, narrow = float(w.constants[bits]), a["signed"], a["narrow"]
    if n == 1 and signed:
        codes = w.signs(steps)
    else:
        low = -(2.0 ** (n - 1)) + narrow if signed else 0.0
        high = 2.0 ** (n - 1) - 1 if signed else 2.0**n - 1 - narrow
        codes = w.rounded(a["rounding_mode"].decode(), w.op("Max", w.op("Min", steps, w.const(np.float32(high))), w.const(np.float32(low))))
    return w.op("Mul", w.op("Sub", codes, zero), scale)


def _bipolar(w: _Writer, node: Any, a: dict[str, Any]) -> str:
    return w.op("Mul", w.signs(node.input[0]), node.input[1])


def _trunc(w: _Writer, node: Any, a: dict[str, Any]) -> str:
    x, scale, zero, before, behind = node.input
    codes = w.op("Round", w.op("Add", w.op("Div", x, scale), zero))
    drop = w.const(np.float32(2.0 ** float(w.constants[before] - w.constants[behind])))
    return w.op("Mul", w.op("Sub", w.rounded(a["rounding_mode"].decode(), w.op("Div", codes, drop)), zero), scale)


def _threshold(w: _Writer, node: Any, a: dict[str, Any]) -> str:
    """One comparison for every step, summed: needs no axis beyond the channels'."""
    x, thresholds = node.input[0], w.constants[node.input[1]]
    rank = a.get("@rank", 4)
    total = w.const(np.float32(0))
    shape = (1, -1, *(1,) * (rank - 2))
    for step in range(thresholds.shape[1]):
        limit = w.const(thresholds[:, step].reshape(shape).astype(np.float32))
        total = w.op("Add", total, w.op("Cast", w.op("Not", w.op("Less", x, limit)), to=TensorProto.FLOAT))
    return w.op("Add", w.op("Mul", total, w.const(np.float32(a["out_scale"]))), w.const(np.float32(a["out_bias"])))


