"""Elementwise arithmetic equals the runtime's that QONNX's executor calls, bit for bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from brevitas_a2q._ir.elementwise import ELEMENTWISE, evaluate

RNG = np.random.default_rng(0)
SHAPE = (1, 6, 5, 5)
VECTOR = RNG.uniform(-2, 2, (1, 6, 1, 1)).astype(np.float32)
NORM = [RNG.uniform(-2, 2, 6).astype(np.float32) for _ in range(3)] + [RNG.uniform(0.1, 2, 6).astype(np.float32)]
CASES: dict[str, tuple[list[Any], dict[str, Any]]] = {
    "Add": ([VECTOR], {}),
    "Sub": ([VECTOR], {}),
    "Mul": ([VECTOR], {}),
    "Div": ([VECTOR], {}),
    "Neg": ([], {}),
    "Relu": ([], {}),
    "Identity": ([], {}),
    "LeakyRelu": ([], {"alpha": 0.1}),
    "PRelu": ([np.abs(VECTOR[0])], {}),
    "BatchNormalization": (NORM, {"epsilon": 1e-5}),
}


def runtime(op: str, x: Any, constants: list[Any], attributes: dict[str, Any]) -> Any:
    names = [f"c{i}" for i in range(len(constants))]
    graph = helper.make_graph(
        [helper.make_node(op, ["x", *names], ["y"], **attributes)],
        "one",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, SHAPE)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, SHAPE)],
        [numpy_helper.from_array(c, name) for c, name in zip(constants, names, strict=True)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"x": x})[0]


@pytest.mark.parametrize("op", sorted(CASES))
def test_equal_to_the_runtime(op: str) -> None:
    constants, attributes = CASES[op]
    x = (10 * RNG.standard_normal(SHAPE)).astype(np.float32)
    ours = evaluate(op, x, constants, attributes)
    assert ours.dtype == np.float32
    np.testing.assert_array_equal(ours, runtime(op, x, constants, attributes))


@pytest.mark.parametrize("op", ["Sigmoid", "Tanh", "HardSigmoid"])
def test_close_to_the_runtime(op: str) -> None:
    """The runtime's own approximations of these differ in the last bits."""
    attributes = {"alpha": 0.2, "beta": 0.5} if op == "HardSigmoid" else {}
    x = RNG.standard_normal(SHAPE).astype(np.float32)
    np.testing.assert_allclose(evaluate(op, x, [], attributes), runtime(op, x, [], attributes), rtol=1e-5, atol=1e-6)


def test_every_operation_is_monotone() -> None:
    x = np.sort(RNG.uniform(-4, 4, 400).astype(np.float32)).reshape(400, 1, 1, 1)
    extra = {"Clip": ([], {"min": -1.0, "max": 2.0}), "HardSigmoid": ([], {"alpha": 0.2, "beta": 0.5})}
    for op in ELEMENTWISE:
        constants, attributes = {**CASES, **extra}.get(op, ([], {}))
        y = evaluate(op, np.broadcast_to(x, (400, 6, 1, 1)), constants, attributes)
        steps = np.diff(y, axis=0)
        assert ((steps >= 0).all(axis=0) | (steps <= 0).all(axis=0)).all(), op
