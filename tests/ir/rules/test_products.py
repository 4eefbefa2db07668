"""Products in forms that are another one's: executed by qonnx at every extreme input, and simulated."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.core.onnx_exec import execute_onnx
from qonnx.transformation.infer_shapes import InferShapes

from brevitas_a2q import certify, simulate
from brevitas_a2q.errors import OnnxFileError

Build = Callable[..., Any]
MATRIX = np.array([[3, -2, 0], [1, 1, -3], [-3, 0, 2], [0, 3, 1]])  # 4 inputs, 3 outputs


def _gemm(transposed: bool = False, bias: Any = None, **attributes: Any) -> Build:
    def build(b: Any) -> Any:
        w = b.weights(MATRIX.T if attributes.get("transB") else MATRIX)
        x = b.quant(b.node("Transpose", "x") if transposed else "x")
        return b.node("Gemm", x, w, *([] if bias is None else [b.constant(np.float32(bias))]), **attributes)

    return build


def _scaled(op: str, factor: Any) -> Build:
    def build(b: Any) -> Any:
        return b.node("MatMul", b.quant("x"), b.node(op, b.weights(MATRIX), b.constant(np.float32(factor))))

    return build


def _conv(b: Any, op: str = "Conv", **attributes: Any) -> Any:
    x = b.node("Reshape", b.quant("x"), b.constant(np.int64([1, 2, 1, 1, 2] if op == "Conv" else [1, 4, 1, 1, 1])))
    shape = (3, 2, 1, 1, 2) if op == "Conv" else (4, 3, 1, 1, 1)
    return b.node(op, x, b.weights((MATRIX.T if op == "Conv" else MATRIX).reshape(shape)), **attributes)


def _left(b: Any) -> Any:
    return b.node("MatMul", b.weights(MATRIX.T), b.node("Reshape", b.quant("x"), b.constant(np.int64([1, 4, 1]))))


def _batched(b: Any) -> Any:
    x = b.node("Reshape", b.quant("x"), b.constant(np.int64([1, 1, 4])))
    return b.node("MatMul", x, b.weights(MATRIX[None]))


# The product, and the step of its sums.
FORMS: dict[str, tuple[Build, Any]] = {
    "Gemm": (_gemm(), 0.5),
    "Gemm, half of it": (_gemm(alpha=0.5), 0.25),
    "Gemm, a third of it": (_gemm(alpha=0.3, transB=1), 0.15),
    "Gemm, negative": (_gemm(alpha=-1.0), -0.5),
    "Gemm, twice its bias": (_gemm(beta=2.0, bias=[0.5, -1.0, 0.0]), 0.5),
    "Gemm, columns": (_gemm(transposed=True, transA=1), 0.5),
    "weights by a constant": (_scaled("Mul", 0.3), 0.15),
    "weights by one for each output": (_scaled("Mul", [0.3, 2.0, 1.0]), np.array([0.15, 1.0, 0.5])),
    "weights divided": (_scaled("Div", 4.0), 0.125),
    "three axes": (_conv, 0.5),
    "three axes, transposed": (lambda b: _conv(b, "ConvTranspose"), 0.5),
    "the matrix on the left": (_left, 0.5),
    "a batch of one matrix": (_batched, 0.5),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("form", FORMS)
def test_other_forms_of_products(form: str, builder: Build) -> None:
    b = builder(shape=(1, 4))
    build, step = FORMS[form]
    path = b.save(build(b))
    certificate = certify(path)
    [layer] = certificate.layers
    assert certificate.uncovered == ()
    model, sums = ModelWrapper(str(path)).transform(InferShapes()), []
    inputs = np.float32(list(itertools.product((0, 1000), repeat=4)))
    for x in inputs:
        [found] = execute_onnx(model, {"x": x[None]}).values()
        sums.append(found.reshape(3) / step)
    sums = np.array(sums) - (0 if layer.bias_sha256 is None else np.array([2.0, -4.0, 0.0]))
    bias = np.zeros(3) if layer.bias_sha256 is None else np.array([2, -4, 0])
    low, high = sums.min(axis=0) + np.minimum(bias, 0), sums.max(axis=0) + np.maximum(bias, 0)
    if form == "Gemm, negative":  # inputs of either sign are allowed for
        high, low = (side * 15 * np.abs(MATRIX).sum(axis=0) for side in (1, -1))
    np.testing.assert_allclose(layer.sums.lower, low, atol=1e-3)
    np.testing.assert_allclose(layer.sums.upper, high, atol=1e-3)
    run = simulate(path, inputs, accumulator_bit_width=layer.required_bit_width, overflow="check")
    assert sum(run.overflows.values()) == 0
    np.testing.assert_allclose(run.outputs.reshape(16, 3) / step, sums + bias, atol=1e-3)


def test_a_factor_that_rounds_the_bias_is_not_taken_apart(builder: Build) -> None:
    b = builder(shape=(1, 4))
    with pytest.raises(OnnxFileError, match="an operator that no rule states"):
        certify(b.save(_gemm(beta=0.1, bias=[0.3, -1.0, 0.0])(b)))


def test_rows_of_a_table(builder: Build) -> None:
    """Indices are data: each may choose any row."""
    b = builder()
    rows = b.node("Gather", b.weights([[7, -7, 1, 0], [-2, 3, 1, 0], [5, 5, 1, 0]]), "x", axis=0)
    model = b.model(b.node("MatMul", rows, b.weights(MATRIX)))
    model.graph.input[0].CopyFrom(helper.make_tensor_value_info("x", TensorProto.INT64, [1, 6]))
    b.path.write_bytes(model.SerializeToString())
    [layer] = certify(b.path).layers
    products = [
        np.array([[7, -7, 1, 0], [-2, 3, 1, 0], [5, 5, 1, 0], [0, 0, 0, 0]])[:, k, None] * MATRIX[k] for k in range(4)
    ]
    assert list(layer.sums.lower) == sum(p.min(axis=0) for p in products).tolist()
    assert list(layer.sums.upper) == sum(p.max(axis=0) for p in products).tolist()
    indices = np.arange(6)[None] % 3
    assert simulate(b.path, indices, accumulator_bit_width=16, overflow="check").outputs.shape == (1, 6, 3)


@pytest.mark.parametrize("op", ["Conv", "ConvTranspose", "MatMul"])
def test_the_width_of_a_product_of_streams_counts_all_of_its_terms(op: str, builder: Build) -> None:
    """18 terms of 4-bit codes by signed 4-bit codes; the last axis of the image says nothing of a convolution's."""
    b = builder(shape=(1, 2, 3, 3))
    x, size = b.quant("x"), 18
    if op == "MatMul":
        x, size = b.node("Reshape", x, b.constant(np.int64([1, 18]))), 18
        weights = b.quant(b.node("Reshape", "x", b.constant(np.int64([18, 1]))), signed=1)
    else:
        weights = b.quant(b.node("Concat", "x", "x", axis=0 if op == "Conv" else 1), signed=1)
        weights = weights if op == "Conv" else b.node("Transpose", weights, perm=[1, 0, 2, 3])
        size = 18 if op == "Conv" else 4 * 9
        x = x if op == "Conv" else b.node("Concat", x, x, axis=1)
    product = b.node(op, x, weights)
    beside = b.node("Conv", b.quant("x"), b.weights(np.ones((1, 2, 1, 1))))
    certificate = certify(b.save(product, beside))
    bits = next(int(word) for word in certificate.uncovered[0].split() if word.isdecimal() and int(word) != size)
    assert f"{size} in a sum" in certificate.uncovered[0]
    assert -(1 << (bits - 1)) <= -size * 15 * 8
    assert size * 15 * 7 < 1 << (bits - 1)
