"""QONNX files run on integers: equal to PyTorch where nothing overflows, for every operation the reader knows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.core.onnx_exec import execute_onnx
from qonnx.transformation.infer_shapes import InferShapes

from brevitas_a2q.errors import DataError, OnnxFileError
from brevitas_a2q.verify._simulate import simulate

NETWORKS = ("tfc_w4a4", "tfc_w4a4_a2q12", "cnv_w4a4", "cnv_w4a4_a2q12", "mobilenet_w4a4_a2q12", "resnet_w4a4")


@pytest.mark.parametrize("name", NETWORKS)
def test_reference_files_give_pytorch_outputs(name: str, oracle: Callable[[str], Path]) -> None:
    with np.load(oracle(f"models/{name}_io.npz")) as io:
        x, expected = io["x"], io["y"]
    result = simulate(oracle(f"models/{name}.onnx"), x)
    np.testing.assert_allclose(result.outputs, expected, rtol=1e-5, atol=1e-6)
    assert not any(result.overflows.values())


class Builder:
    """Writes small QONNX files, node by node."""

    def __init__(self, shape: Sequence[int]) -> None:
        self.shape, self.nodes, self.constants, self.top = tuple(shape), [], [], "x"  # type: ignore[var-annotated]

    def constant(self, value: Any) -> str:
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def add(self, op: str, *inputs: str, domain: str = "", **attributes: Any) -> str:
        self.top = f"t{len(self.nodes)}"
        self.nodes.append(
            helper.make_node(op, list(inputs), [self.top], name=f"{op}_{len(self.nodes)}", domain=domain, **attributes)
        )
        return self.top

    def quant(
        self, x: str, scale: float, bits: int, signed: int, zero_point: float = 0, narrow: int = 0, **more: Any
    ) -> str:
        rest = [self.constant(np.float32(v)) for v in (scale, zero_point, bits)]
        return self.add("Quant", x, *rest, domain="qonnx.custom_op.general", signed=signed, narrow=narrow, **more)

    def weights(self, shape: Sequence[int], scale: float = 0.125) -> str:
        integers = np.random.default_rng(len(self.nodes)).integers(-7, 8, shape)
        return self.quant(
            self.constant((integers * scale).astype(np.float32)), scale, 4, 1, narrow=1, rounding_mode="ROUND"
        )

    def save(self, path: Path) -> Path:
        graph = helper.make_graph(
            self.nodes,
            "network",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, self.shape)],
            [helper.make_tensor_value_info(self.top, TensorProto.FLOAT, None)],
            self.constants,
        )
        opsets = [helper.make_opsetid("", 13), helper.make_opsetid("qonnx.custom_op.general", 2)]
        model = ModelWrapper(helper.make_model(graph, opset_imports=opsets)).transform(InferShapes())
        onnx.save(model.model, str(path))
        return path


def affine(b: Builder) -> None:
    x = b.add("Conv", b.quant("x", 0.25, 4, 0), b.weights((6, 4, 3, 3)), pads=[1, 0, 0, 2], strides=[1, 2])
    vectors = [np.random.default_rng(i).uniform(0.5, 1.5, 6).astype(np.float32) for i in range(4)]
    x = b.add("BatchNormalization", x, *(b.constant(v) for v in vectors))
    b.quant(b.add("LeakyRelu", x, alpha=0.125), 0.5, 4, 1)


def pools(b: Builder) -> None:
    x = b.quant("x", 0.25, 4, 1)
    x = b.add("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    x = b.add("AveragePool", x, kernel_shape=[2, 2], strides=[1, 1])
    x = b.add("Conv", x, b.weights((4, 2, 1, 1)), group=2)
    b.add("GlobalAveragePool", x)


def biased(b: Builder) -> None:
    x = b.add("Flatten", b.quant("x", 0.5, 3, 0, zero_point=2))
    x = b.add("MatMul", x, b.weights((4 * 6 * 6, 5)))
    x = b.add("Add", x, b.quant(b.constant(np.float32([1, -2, 3, 0, 5]) / 16), 0.0625, 8, 1))
    x = b.add("Mul", x, b.constant(np.float32(-0.5)))
    b.add("Softmax", x, axis=1)


def upscaled(b: Builder) -> None:
    x = b.quant("x", 0.25, 4, 0)
    x = b.add(
        "ConvTranspose", x, b.weights((4, 3, 3, 3)), strides=[2, 2], pads=[1, 1, 0, 0], output_padding=[1, 1], group=2
    )
    x = b.quant(b.add("Relu", x), 1.0, 2, 0, rounding_mode="FLOOR")
    x = b.add("Conv", x, b.weights((8, 6, 3, 3)), dilations=[2, 2])
    b.add("DepthToSpace", x, blocksize=2, mode="CRD")


def branches(b: Builder) -> None:
    x = b.quant("x", 0.25, 4, 1)
    left = b.quant(b.add("Conv", x, b.weights((4, 4, 3, 3)), pads=[1, 1, 1, 1]), 0.25, 4, 1)
    total = b.add("Add", left, x)
    joined = b.add("Concat", total, x, axis=1)
    b.add("Transpose", b.add("Conv", joined, b.weights((2, 8, 1, 1))), perm=[0, 2, 3, 1])


def bipolar(b: Builder) -> None:
    x = b.add("BipolarQuant", "x", b.constant(np.float32(1)), domain="qonnx.custom_op.general")
    x = b.add("Conv", x, b.weights((3, 4, 2, 2)))
    thresholds = np.sort(np.random.default_rng(0).integers(-9, 9, (3, 7)), axis=1).astype(np.float32)
    x = b.add("MultiThreshold", x, b.constant(thresholds), domain="qonnx.custom_op.general", out_dtype="UINT3")
    signs = b.constant(np.float32([[2]]))
    x = b.add(
        "MultiThreshold", x, signs, domain="qonnx.custom_op.general", out_scale=2.0, out_bias=-1.0, out_dtype="BIPOLAR"
    )
    b.add("Conv", x, b.weights((2, 3, 1, 1)))


def islands(b: Builder) -> None:
    """A layer that reads real numbers, gates, norms, a product of two streams, a split and a softmax over two axes."""
    x = b.add("Conv", "x", b.weights((4, 4, 3, 3)), pads=[1, 1, 1, 1])  # its input is real
    x = b.add("InstanceNormalization", x, b.constant(np.float32([1, 2, 3, 4])), b.constant(np.float32([0, 1, 0, -1])))
    x = b.add("Conv", b.quant(b.add("Mul", x, b.add("Sigmoid", x)), 0.25, 4, 1), b.weights((6, 4, 1, 1)))
    x = b.add("Abs", b.add("ReduceMax", x, axes=[1], keepdims=1))
    x = b.add("Mul", x, b.add("Softmax", x, axis=2))
    x = b.add("MatMul", x, b.add("Transpose", x, perm=[0, 1, 3, 2]))
    x = b.add("Conv", b.quant(x, 0.5, 6, 1), b.weights((2, 1, 3, 3)))
    b.add("Cast", b.add("ArgMin", x, axis=1, keepdims=0), to=TensorProto.FLOAT)


@pytest.mark.parametrize("build", [affine, pools, biased, upscaled, branches, bipolar, islands])
def test_operations_agree_with_the_executor_of_qonnx(build: Callable[[Builder], None], tmp_path: Path) -> None:
    builder = Builder((1, 4, 6, 6))
    build(builder)
    path = builder.save(tmp_path / "network.onnx")
    images = np.random.default_rng(7).normal(0, 1.5, (9, 4, 6, 6)).astype(np.float32)
    result = simulate(path, images)
    model = ModelWrapper(str(path))
    expected = np.concatenate([execute_onnx(model, {"x": image[None]})[builder.top] for image in images])
    np.testing.assert_allclose(result.outputs, expected, rtol=1e-5, atol=1e-5)


def test_what_no_runtime_computes_is_named(tmp_path: Path) -> None:
    builder = Builder((1, 4, 6, 6))
    x = builder.add("Conv", builder.quant("x", 0.25, 4, 1), builder.weights((4, 4, 3, 3)))
    builder.add("LpNormalization", x, axis=9)
    path = builder.save(tmp_path / "network.onnx")
    with pytest.raises(OnnxFileError, match=r"node LpNormalization_3 \(LpNormalization\): cannot be simulated"):
        simulate(path, np.zeros((1, 4, 6, 6)))


def test_a_file_that_moves_its_batch_runs_sample_by_sample(tmp_path: Path) -> None:
    """Attention as PyTorch has it puts tokens first and reshapes by numbers that hold for the file's batch."""
    builder = Builder((1, 5, 4))
    x = builder.add("MatMul", builder.quant("x", 0.25, 4, 1), builder.weights((4, 6)))
    x = builder.add("Transpose", x, perm=[1, 0, 2])
    x = builder.add("Reshape", x, builder.constant(np.int64([5, 2, 3])))
    x = builder.add("Transpose", builder.quant(x, 0.25, 4, 1), perm=[1, 0, 2])
    builder.add("Reshape", builder.add("Softmax", x, axis=2), builder.constant(np.int64([1, 5, 6])))
    path = builder.save(tmp_path / "network.onnx")
    samples = np.random.default_rng(7).normal(0, 1.5, (3, 5, 4)).astype(np.float32)
    model = ModelWrapper(str(path))
    expected = np.concatenate([execute_onnx(model, {"x": sample[None]})[builder.top] for sample in samples])
    np.testing.assert_allclose(simulate(path, samples).outputs, expected, rtol=1e-5, atol=1e-5)


def test_an_integer_bias_counts_towards_overflow(tmp_path: Path) -> None:
    builder = Builder((1, 4))
    x = builder.add(
        "MatMul", builder.quant("x", 1.0, 4, 0), builder.quant(builder.constant(np.eye(4, dtype=np.float32)), 1.0, 4, 1)
    )
    builder.add("Add", x, builder.constant(np.float32([0, 1, 2, -20])))
    path = builder.save(tmp_path / "network.onnx")
    result = simulate(path, np.full((1, 4), 15.0), 5, "wrap")
    assert result.outputs.tolist() == [[15, -16, -15, -5]]
    assert list(result.overflows.values()) == [2]
    assert result.additions == 4 * 5


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (np.zeros((2, 3)), r"input x.281: found shape \(2, 3\); expected \(n, 784\)"),
        (np.zeros((0, 784)), r"found shape \(0, 784\)"),
        (np.full((1, 784), np.nan), "found values from nan"),
        (np.full((1, 784), "a"), "found an array of type"),
        ({"y": np.zeros((1, 784))}, "found inputs y; expected x.281"),
    ],
)
def test_inputs_that_do_not_fit_are_named(inputs: Any, message: str, oracle: Callable[[str], Path]) -> None:
    with pytest.raises(DataError, match=message):
        simulate(oracle("models/tfc_w4a4.onnx"), inputs)
