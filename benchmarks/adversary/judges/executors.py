"""Execution of a QONNX file for many inputs at once.

Three ways: by qonnx, node by node, as its users run it; by qonnx' own operators with the ONNX operators between them in
onnxruntime; and by onnxruntime alone, QONNX' operators written out in ONNX. Nothing is optimised in any of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from qonnx.custom_op.registry import getCustomOp

__all__ = ["Runner", "by_onnxruntime", "by_qonnx_operators", "qonnx_run"]

Runner = Callable[[np.ndarray], list[np.ndarray]]

_OPTIONS = onnxruntime.SessionOptions()
_OPTIONS.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
_OPTIONS.intra_op_num_threads = 1
_OPTIONS.log_severity_level = 4


def qonnx_run(model: Any, x: np.ndarray) -> dict[str, np.ndarray]:
    """Every tensor of a file for one input, by qonnx' executor."""
    from qonnx.core.modelwrapper import ModelWrapper
    from qonnx.core.onnx_exec import execute_onnx
    from qonnx.transformation.infer_shapes import InferShapes

    wrapper = ModelWrapper(model).transform(InferShapes())
    return dict(execute_onnx(wrapper, {"x": x}, return_full_exec_context=True))


def by_onnxruntime(model: Any, wanted: Sequence[str]) -> Runner:
    """Tensors of a file by onnxruntime alone; the first axis of the input may have any length."""
    session = _session(model, *_written_out(model), list(model.graph.initializer), [_batched(model)], wanted)
    return lambda x: session.run(list(wanted), {"x": x})


def by_qonnx_operators(model: Any, wanted: Sequence[str]) -> Runner:
    """The same, with every operator of QONNX executed by qonnx' own code."""
    constants = {c.name: numpy_helper.to_array(c) for c in model.graph.initializer}
    steps: list[Callable[[dict[str, np.ndarray]], None]] = []
    nodes = list(model.graph.node)
    while nodes:
        count = next((i for i, node in enumerate(nodes) if node.domain), len(nodes))
        if count:
            steps.append(_segment(model, nodes[:count], wanted, constants))
            nodes = nodes[count:]
        else:
            operator = getCustomOp(nodes.pop(0), onnx_opset_version=1)
            steps.append(lambda context, operator=operator: operator.execute_node(context, None))  # type: ignore[misc]

    def run(x: np.ndarray) -> list[np.ndarray]:
        context = {**constants, "x": x}
        with np.errstate(all="ignore"):
            for step in steps:
                step(context)
        return [context[name] for name in wanted]

    return run


def _segment(
    model: Any, nodes: list[Any], wanted: Sequence[str], constants: dict[str, np.ndarray]
) -> Callable[[dict[str, np.ndarray]], None]:
    """ONNX nodes in a row, as one session."""
    made = {name for node in nodes for name in node.output}
    read = {name for node in nodes for name in node.input if name} - made
    later = {name for node in model.graph.node for name in node.input if node not in nodes} | set(wanted)
    outputs = [name for name in made if name in later]
    inputs = [_batched(model) if n == "x" else _open(n, TensorProto.FLOAT) for n in read - set(constants)]
    kept = [c for c in model.graph.initializer if c.name in read]
    session = _session(model, nodes, [], kept, inputs, outputs) if outputs else None
    names = [value.name for value in inputs]

    def step(context: dict[str, np.ndarray]) -> None:
        if session is not None:
            found = session.run(outputs, {name: context[name] for name in names})
            context.update(zip(outputs, found, strict=True))

    return step


def _open(name: str, element: int) -> Any:
    return helper.make_tensor_value_info(name, element, None)


def _batched(model: Any) -> Any:
    shape = [d.dim_value for d in model.graph.input[0].type.tensor_type.shape.dim]
    return helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", *shape[1:]])


def _session(
    model: Any, nodes: list[Any], added: list[Any], kept: list[Any], inputs: list[Any], wanted: Sequence[str]
) -> Any:
    outputs = [_open(name, TensorProto.FLOAT) for name in wanted]
    graph = helper.make_graph(nodes, "g", inputs, outputs, [*kept, *added])
    opset = next(o.version for o in model.opset_import if not o.domain)
    whole = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=model.ir_version)
    return onnxruntime.InferenceSession(whole.SerializeToString(), _OPTIONS, providers=["CPUExecutionProvider"])


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


def _written_out(model: Any) -> tuple[list[Any], list[Any]]:
    """Nodes of ONNX that compute what a file computes, and constants that they need besides."""
    constants = {c.name: numpy_helper.to_array(c) for c in model.graph.initializer}
    nodes, added = [], []
    for node in model.graph.node:
        if not node.domain:
            nodes.append(node)
            continue
        writer = _Writer(constants, node.output[0])
        a = {item.name: helper.get_attribute_value(item) for item in node.attribute}
        result = _WRITTEN[node.op_type](writer, node, a)
        nodes += [*writer.nodes, helper.make_node("Identity", [result], list(node.output))]
        added += writer.new
    return nodes, added


def _quant(w: _Writer, node: Any, a: dict[str, Any]) -> str:
    x, scale, zero, bits = node.input
    steps = w.op("Add", w.op("Div", x, scale), zero)
    n, signed, narrow = float(w.constants[bits]), a["signed"], a["narrow"]
    if n == 1 and signed:
        codes = w.signs(steps)
    else:
        low = -(2.0 ** (n - 1)) + narrow if signed else 0.0
        high = 2.0 ** (n - 1) - 1 if signed else 2.0**n - 1 - narrow
        codes = w.rounded(
            a["rounding_mode"].decode(),
            w.op("Max", w.op("Min", steps, w.const(np.float32(high))), w.const(np.float32(low))),
        )
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
    rank = int(node.doc_string)
    total = w.const(np.float32(0))
    shape = (1, -1, *(1,) * (rank - 2))
    for step in range(thresholds.shape[1]):
        limit = w.const(thresholds[:, step].reshape(shape).astype(np.float32))
        total = w.op("Add", total, w.op("Cast", w.op("Not", w.op("Less", x, limit)), to=TensorProto.FLOAT))
    return w.op("Add", w.op("Mul", total, w.const(np.float32(a["out_scale"]))), w.const(np.float32(a["out_bias"])))


_WRITTEN = {"Quant": _quant, "BipolarQuant": _bipolar, "Trunc": _trunc, "MultiThreshold": _threshold}
