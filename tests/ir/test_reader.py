"""What the reader makes of a file: integers, ranges, biases, widths."""

from __future__ import annotations

import itertools
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from brevitas_a2q import _ir as ir
from brevitas_a2q._ir.layers import dot_product_layers
from brevitas_a2q._ir.metadata import ACCUMULATOR_BIT_WIDTH, ACCUMULATOR_TILE, INPUT_RANGE, OUTER_ACCUMULATOR_BIT_WIDTH
from brevitas_a2q._ir.network import OPAQUE

Build = Callable[..., Any]


def bounds(network: ir.Network, tensor: str) -> tuple[int, int]:
    codes = network.tensors[tensor].codes
    assert codes is not None
    return codes.range.lo, codes.range.hi


def test_a_convolution_with_a_quantized_bias(builder: Build) -> None:
    b = builder()
    weights = np.arange(12).reshape(3, 2, 2, 1) - 6
    bias = b.quant(b.constant(np.float32([8, -4, 0]) * np.float32(0.125)), 0.125, 32, 1)
    b.node("Conv", b.quant("x", 0.5, 8, 1), b.weights(weights, 0.25), bias)
    network = ir.read(b.save())
    (layer,) = dot_product_layers(network)
    np.testing.assert_array_equal(layer.weights, weights.reshape(3, 4))
    assert layer.bias is not None
    assert layer.bias.tolist() == [8, -4, 0]
    assert (layer.op, layer.input_bit_width, layer.input_signed, layer.weight_bit_width) == ("Conv", 8, True, 4)
    assert (int(layer.x_lo.min()), int(layer.x_hi.max())) == (-128, 127)
    assert [node.op for node in network.nodes] == ["Quant", "Conv", "Add"]
    assert bounds(network, network.outputs[0]) == (-18 * 127 + 8, 18 * 128 + 8)


def test_a_float_bias_is_no_part_of_the_sum(builder: Build) -> None:
    b = builder()
    b.node("Conv", b.quant("x"), b.weights(np.ones((3, 2, 1, 1)), 0.3), b.constant(np.float32([0.1, 0.2, 0.3])))
    network = ir.read(b.save())
    assert dot_product_layers(network)[0].bias is None
    assert network.tensors[network.outputs[0]].codes is None


def test_gemm_is_a_product_and_a_sum(builder: Build) -> None:
    b = builder(shape=(1, 4))
    weights = np.arange(12).reshape(3, 4) - 5
    b.node("Gemm", b.quant("x"), b.weights(weights), b.constant(np.float32([0.5, 1.0, -3])), transB=1)
    network = ir.read(b.save())
    (layer,) = dot_product_layers(network)
    np.testing.assert_array_equal(layer.weights, weights)
    assert layer.name == "n2"
    assert layer.bias is not None  # 0.5 is the scale of the sum
    assert layer.bias.tolist() == [1, 2, -6]


@pytest.mark.parametrize(("groups", "inputs"), [(1, 4), (2, 2), (4, 1)])
def test_groups_list_their_own_products(builder: Build, groups: int, inputs: int) -> None:
    b = builder(shape=(1, 4, 5, 5))
    x = b.quant("x", np.float32([[[[1.0]], [[1.0]], [[1.0]], [[1.0]]]]))
    b.node("Conv", x, b.weights(np.ones((8, inputs, 3, 3))), group=groups)
    (layer,) = dot_product_layers(ir.read(b.save()))
    assert layer.weights.shape == (8, inputs * 9)


def test_depthwise_layers_may_have_a_scale_per_channel(builder: Build) -> None:
    b = builder()
    x = b.quant("x", np.float32([[[[0.5]], [[0.25]]]]))
    b.node("Conv", x, b.weights(np.ones((4, 1, 1, 1))), group=2)
    network = ir.read(b.save())
    codes = network.tensors[network.outputs[0]].codes
    assert codes is not None
    assert codes.scale.reshape(-1).tolist() == [0.5, 0.5, 0.25, 0.25]


def test_ranges_per_channel_reach_the_products(builder: Build) -> None:
    b = builder()
    low = b.node("Mul", b.quant("x"), b.constant(np.float32([[[[1.0]], [[0.25]]]])))
    b.node("Conv", b.quant(low), b.weights(np.ones((3, 2, 1, 2))))
    (layer,) = dot_product_layers(ir.read(b.save()))
    assert np.broadcast_to(layer.x_hi, (3, 4)).tolist() == [[15, 15, 4, 4]] * 3
    assert layer.range_source == "range analysis"


def test_a_relu_narrows_a_signed_range(builder: Build) -> None:
    b = builder()
    relu = b.node("Relu", b.quant("x", 0.5, 4, 1))
    b.node("Conv", relu, b.weights(np.ones((3, 2, 1, 1))))
    (layer,) = dot_product_layers(ir.read(b.save()))
    assert (int(layer.x_lo.min()), int(layer.x_hi.max())) == (0, 7)
    assert layer.range_source == "range analysis"


def test_declared_ranges_of_the_input(builder: Build) -> None:
    b = builder()
    b.model_properties = {INPUT_RANGE: "0.0,1.0"}
    b.node("Conv", b.quant("x", 1 / 64, 8, 1), b.weights(np.ones((3, 2, 1, 1))))
    path = b.save()
    (layer,) = dot_product_layers(ir.read(path))
    assert (int(layer.x_lo.min()), int(layer.x_hi.max())) == (-128, 127)  # the file's own word counts for nothing
    for declared, expected in ((None, (0, 64)), ((-1.0, 1.0), (-64, 64)), ((-9.0, 9.0), (-128, 127))):
        (layer,) = dot_product_layers(ir.read(path, input_range=declared, assume_input_range=True))
        assert (int(layer.x_lo.min()), int(layer.x_hi.max())) == expected
        assert ("inputs in [" in layer.range_source) is (expected != (-128, 127))


def test_trained_widths(builder: Build) -> None:
    b = builder()
    properties = {ACCUMULATOR_BIT_WIDTH: "12", ACCUMULATOR_TILE: "64", OUTER_ACCUMULATOR_BIT_WIDTH: "16"}
    x = b.quant("x")
    first = b.node("Conv", x, b.weights(np.ones((3, 2, 1, 1))), properties=properties)
    second = b.node("Conv", x, b.weights(np.ones((3, 2, 1, 1))), b.constant(np.float32([1, 2, 3])))
    b.types = {second: "INT14", first: "FLOAT32"}
    layers = dot_product_layers(ir.read(b.save(first, second)))
    assert [layer.accumulator_bit_width for layer in layers] == [12, 14]
    assert (layers[0].tile, layers[0].outer_accumulator_bit_width) == (64, 16)


def test_zero_points_are_subtracted(builder: Build) -> None:
    b = builder()
    b.node("Conv", b.quant("x", 0.5, 8, 0, zero_point=100), b.weights(np.ones((3, 2, 1, 1))))
    (layer,) = dot_product_layers(ir.read(b.save()))
    assert (int(layer.x_lo.min()), int(layer.x_hi.max())) == (-100, 155)


def test_sums_of_streams_need_one_scale(builder: Build) -> None:
    for scale, integral in ((0.5, True), (0.25, False)):
        b = builder()
        total = b.node("Add", b.quant("x", 0.5, 4, 1), b.quant("x", scale, 4, 1))
        b.node("Conv", b.quant(total), b.weights(np.ones((3, 2, 1, 1))))
        network = ir.read(b.save())
        assert (network.tensors[total].codes is not None) is integral
        if integral:
            assert bounds(network, total) == (-16, 14)


def test_averages_are_sums_at_a_smaller_scale(builder: Build) -> None:
    b = builder()
    pooled = b.node("AveragePool", b.quant("x"), kernel_shape=[2, 2], strides=[2, 2])
    b.node("Conv", pooled, b.weights(np.ones((3, 2, 1, 1))))
    network = ir.read(b.save())
    codes = network.tensors[pooled].codes
    assert codes is not None
    assert codes.uniform_scale == 0.125
    assert bounds(network, pooled) == (0, 60)


def test_integers_of_streamlined_files(builder: Build) -> None:
    b = builder()
    b.types = {"x": "UINT8", "w": "INT4", "steps": "INT16"}
    total = b.node("Conv", "x", b.constant(np.full((3, 2, 1, 1), -5, np.float32), "w"))
    thresholds = b.constant(np.tile(np.float32([-2000, -1000, -10]), (3, 1)), "steps")
    out = b.node("MultiThreshold", total, thresholds, domain="qonnx.custom_op.general", out_dtype="UINT2")
    network = ir.read(b.save())
    assert bounds(network, total) == (-2550, 0)
    assert bounds(network, out) == (0, 3)


@pytest.mark.parametrize("domain", ["qonnx.custom_op.general", "finn.custom_op.general", "onnx.brevitas"])
@pytest.mark.parametrize("op", ["Quant", "IntQuant"])
def test_names_of_quantizers(builder: Build, domain: str, op: str) -> None:
    b = builder()
    x = b.quant("x")
    b.nodes[-1].domain, b.nodes[-1].op_type = domain, op
    b.node("Conv", x, b.weights(np.ones((3, 2, 1, 1))))
    assert ir.read(b.save()).nodes[0].op == "Quant"


def test_nodes_may_come_in_any_order(builder: Build) -> None:
    b = builder()
    relu = b.node("Relu", b.quant("x"))
    last = b.node("Conv", relu, b.weights(np.ones((3, 2, 1, 1))))
    b.nodes.reverse()
    assert [node.op for node in ir.read(b.save(last)).nodes] == ["Quant", "Relu", "Conv"]


def test_nodes_that_nothing_needs_are_left_out(builder: Build) -> None:
    b = builder()
    last = b.node("Conv", b.quant("x"), b.weights(np.ones((3, 2, 1, 1))))
    b.node("Erf", last)
    assert len(ir.read(b.save(last)).nodes) == 2


def test_shape_arithmetic_is_folded(builder: Build) -> None:
    b = builder()
    conv = b.node("Conv", b.quant("x"), b.weights(np.ones((3, 2, 1, 1))))
    batch = b.node("Gather", b.node("Shape", conv), b.constant(np.int64(0)), axis=0)
    pieces = [b.node("Unsqueeze", batch, b.constant(np.int64([0]))), b.constant(np.int64([-1]))]
    b.node("Reshape", conv, b.node("Concat", *pieces, axis=0))
    network = ir.read(b.save())
    assert network.tensors[network.outputs[0]].shape == (1, 48)


def test_parts_of_shapes_and_integer_quotients(builder: Build) -> None:
    b = builder()
    part = b.node("Shape", "x", start=1, end=3)
    quotient = b.node("Div", b.constant(np.int64([-7, 7])), b.constant(np.int64([2, -2])))
    shape = b.node("Concat", b.constant(np.int64([1])), part, b.constant(np.int64([-1])), axis=0)
    b.node("Conv", b.node("Reshape", b.quant("x"), shape), b.weights(np.ones((3, 2, 1, 1))))
    network = ir.read(b.save(b.nodes[-1].output[0], quotient))
    assert network.tensors[quotient].value.tolist() == [-3, -3]


def test_constants_are_computed(builder: Build) -> None:
    b = builder()
    scale = b.node("Exp", b.node("Mul", b.constant(np.float32(2)), b.node("Log", b.constant(np.float32(0.5)))))
    zero = b.node("ConstantOfShape", b.constant(np.int64([1])))
    bits = b.node("Cast", b.constant(np.int64(4)), to=1)
    inputs = ("x", scale, zero, bits)
    x = b.node("Quant", *inputs, domain="qonnx.custom_op.general", signed=0, narrow=0, rounding_mode="ROUND")
    b.node("Conv", x, b.weights(np.ones((3, 2, 1, 1))))
    network = ir.read(b.save())
    assert [node.op for node in network.nodes] == ["Quant", "Conv"]
    codes = network.tensors[x].codes
    assert codes is not None
    assert codes.uniform_scale == pytest.approx(0.25)
    (assumption,) = network.assumptions  # executors may compute other last places
    assert assumption.accepted
    assert assumption.text.endswith("nodes n0, n2")


def test_weights_with_a_zero_point_count_the_bits_of_their_differences(builder: Build) -> None:
    b = builder()
    weights = b.quant(b.constant(np.full((3, 2, 1, 1), -100, np.float32)), 1.0, 8, 0, zero_point=128)
    b.node("Conv", b.quant("x"), weights)
    (layer,) = dot_product_layers(ir.read(b.save()))
    assert (layer.weights == -100).all()
    assert layer.weight_bit_width == 8  # -128 to 127
    b = builder()
    b.node("Conv", b.quant("x"), b.quant(b.constant(np.full((3, 2, 1, 1), 200, np.float32)), 1.0, 8, 0))
    assert dot_product_layers(ir.read(b.save()))[0].weight_bit_width == 9  # the bound's |q| <= 2^(M-1) holds


@pytest.mark.parametrize(
    ("where", "rounding", "mode", "op"),
    [
        ("asymmetric", "floor", "nearest", "Upsample"),
        ("half_pixel", "round_prefer_floor", "nearest", "Upsample"),
        ("half_pixel", "floor", "nearest", OPAQUE),
        ("align_corners", "floor", "nearest", OPAQUE),
        ("asymmetric", "floor", "linear", OPAQUE),
    ],
)
def test_resizing(builder: Build, where: str, rounding: str, mode: str, op: str) -> None:
    b = builder()
    scales = b.constant(np.float32([1, 1, 2, 3]))
    options = {"coordinate_transformation_mode": where, "nearest_mode": rounding, "mode": mode}
    resized = b.node("Resize", b.quant("x"), "", scales, **options)
    b.node("Conv", b.quant(resized), b.weights(np.ones((3, 2, 1, 1))))
    network = ir.read(b.save())
    assert network.tensors[network.outputs[0]].shape == (1, 3, 8, 12)
    assert network.nodes[1].op == op
    assert (network.tensors[resized].codes is None) is (mode == "linear")
    assert network.uncovered == ()


def test_casts(builder: Build) -> None:
    for scale, to, integers in ((0.5, 1, True), (1.0, 7, True), (0.5, 7, True), (1.0, 10, False), (1.0, 2, True)):
        b = builder()
        cast = b.node("Cast", b.node("Cast", b.quant("x", scale), to=to), to=1)
        b.node("Conv", b.quant(cast), b.weights(np.ones((3, 2, 1, 1))))
        network = ir.read(b.save())
        assert (network.tensors[cast].codes is not None) is integers
        if (scale, to) == (0.5, 7):  # halves are cut off
            assert network.tensors[cast].codes.range.hi == 7


def test_what_no_rule_states_is_unknown_up_to_the_next_quantizer(builder: Build) -> None:
    for op, attributes in (("LpNormalization", {}), ("Softmax", {"axis": 1}), ("Selu", {"gamma": 3.0})):
        b = builder()
        unknown = b.node(op, b.quant("x"), **attributes)
        b.node("Conv", b.quant(unknown), b.weights(np.ones((3, 2, 1, 1))))
        network = ir.read(b.save())
        (layer,) = dot_product_layers(network)
        assert network.tensors[unknown].codes is None
        assert int(layer.x_hi.max()) == (2 if op == "Softmax" else 15)


def test_layers_without_integers_are_listed_and_the_others_certified(builder: Build) -> None:
    b = builder()
    first = b.node("Conv", "x", b.weights(np.ones((3, 2, 1, 1))))
    second = b.node("Conv", b.quant(first), b.constant(np.ones((3, 3, 1, 1), np.float32)))
    b.node("Conv", b.quant(second), b.weights(np.ones((2, 3, 1, 1))))
    network = ir.read(b.save())
    assert [layer.weights.shape for layer in dot_product_layers(network)] == [(2, 3)]
    assert network.uncovered == ("n1: float input (input x)", "n3: float weights")


def test_declared_types_of_the_input(builder: Build) -> None:
    for text, low, high in (("UINT8", 0, 255), ("FIXED<16,6>", -(1 << 15), (1 << 15) - 1), ("BIPOLAR", -1, 1)):
        b = builder()
        b.node("Conv", "x", b.weights(np.ones((3, 2, 1, 1))))
        b.types = {"x": text}
        network = ir.read(b.save())
        (layer,) = dot_product_layers(network)
        assert (int(layer.x_lo.min()), int(layer.x_hi.max())) == (low, high)
        assert [(a.accepted, text in a.text) for a in network.assumptions] == [(False, True)]
        assert ir.read(b.path, assume_input_range=True).assumptions[0].accepted
        b.types = {}
        assert dot_product_layers(ir.read(b.save(), input_type=text.lower()))[0].x_hi.max() == high


def test_initializers_that_are_inputs_too_are_defaults(builder: Build) -> None:
    b = builder()
    b.node("Conv", b.quant("x"), b.weights(np.ones((3, 2, 1, 1))))
    path = b.save()
    model = onnx.load(path)
    name = model.graph.node[0].input[3]
    model.graph.input.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, []))
    onnx.save(model, path)
    (assumption,) = ir.read(path).assumptions
    assert name in assumption.text
    assert not assumption.accepted
    assert ir.read(path, assume_defaults=True).assumptions[0].accepted
    model.ir_version = 3  # where every initializer had to be an input
    onnx.save(model, path)
    assert ir.read(path).assumptions == ()


def test_exact_ranges_of_sums(builder: Build) -> None:
    """Against all inputs of a small layer."""
    weights = np.array([[3, -2, 1], [-4, -5, -6]]).reshape(2, 3, 1, 1)
    b = builder(shape=(1, 3, 1, 1))
    b.node("Conv", b.quant("x", 1.0, 2, 1), b.weights(weights))
    network = ir.read(b.save())
    codes = network.tensors[network.outputs[0]].codes
    assert codes is not None
    sums = np.array([weights[:, :, 0, 0] @ x for x in itertools.product(range(-2, 2), repeat=3)])
    assert codes.lo.reshape(-1).tolist() == sums.min(axis=0).tolist()
    assert codes.hi.reshape(-1).tolist() == sums.max(axis=0).tolist()


def test_data_types_need_no_onnx() -> None:
    code = "import brevitas_a2q.hw._ir, sys; sys.exit(any(m in sys.modules for m in ('onnx', 'torch', 'scipy')))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_reader_needs_no_torch() -> None:
    code = "import brevitas_a2q.hw._frontend, sys; sys.exit(any(m in sys.modules for m in ('qonnx', 'torch', 'scipy')))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_products_of_two_streams_have_a_width_by_type(builder: Build) -> None:
    b = builder(shape=(1, 2, 4, 4))
    x = b.quant("x", 0.5, 4, 1)
    square = b.node("MatMul", x, b.node("Transpose", x, perm=[0, 1, 3, 2]))
    b.node("Add", square, b.node("Conv", x, b.weights(np.ones((2, 2, 1, 1)))))
    network = ir.read(b.save())
    # 4 products of [-8, 7] by [-8, 7]: at most 4 * 64, at least 4 * -56.
    assert network.uncovered == ("n2: product of two streams, 4 in a sum; 10 bits suffice by their types",)


def test_booleans_are_read_as_such(builder: Build) -> None:
    b = builder()
    x = b.quant("x")
    grown = b.node("Dropout", x, b.constant(np.float32(0.5)), b.constant(np.asarray(True)))
    b.node("Conv", b.quant(grown), b.weights(np.ones((2, 2, 1, 1))))
    network = ir.read(b.save())
    assert float(network.tensors[grown].hi.max()) == pytest.approx(2 * float(network.tensors[x].hi.max()), rel=1e-5)
