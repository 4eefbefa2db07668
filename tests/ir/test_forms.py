"""Files that say the same in another form, or something else in the same form."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

from brevitas_a2q import certify, simulate
from brevitas_a2q.errors import OnnxFileError

Build = Callable[..., Any]
QONNX = "qonnx.custom_op.general"


def _linear(build: Build) -> tuple[Any, dict[str, str]]:
    """Activations and weights of ONNX' own quantizers; and the names of the constants that decide their integers."""
    b = build()
    names = {
        "scale": b.constant(np.float32(0.5)),
        "zero-point": b.constant(np.uint8(0)),
        "limit": b.constant(np.uint8(3)),
        "weights": b.constant(np.ones((2, 2, 1, 1), np.int8)),
    }
    integers = b.node("QuantizeLinear", "x", names["scale"], names["zero-point"])
    clipped = b.node("Clip", integers, b.constant(np.uint8(0)), names["limit"])
    x = b.node("DequantizeLinear", clipped, names["scale"], names["zero-point"])
    b.node("Conv", x, b.node("DequantizeLinear", names["weights"], names["scale"], b.constant(np.int8(0))))
    return b, names


def _with_default(path: Path, name: str) -> None:
    model = onnx.load(path)
    constant = next(c for c in model.graph.initializer if c.name == name)
    model.graph.input.append(helper.make_tensor_value_info(name, constant.data_type, constant.dims))
    onnx.save(model, path)


@pytest.mark.parametrize("what", ["scale", "zero-point", "limit", "weights"])
def test_defaults_behind_quantizers_of_onnx_are_assumptions(builder: Build, what: str) -> None:
    """They are read before the graph is, where two nodes become one quantizer."""
    b, names = _linear(builder)
    path = b.save()
    assert certify(path).assumptions == ()
    _with_default(path, names[what])
    [assumption] = certify(path).assumptions
    assert (assumption.accepted, names[what] in assumption.text) == (False, True)
    assert certify(path, assume_defaults=True).assumptions[0].accepted


@pytest.mark.parametrize("domain", ["", "ai.onnx"])
@pytest.mark.parametrize("op", ["QuantizeLinear", "Clip", "Conv", "Relu"])
def test_functions_in_onnx_own_domain_under_either_name(builder: Build, domain: str, op: str) -> None:
    b, _ = _linear(builder)
    path = b.save()
    model = onnx.load(path)
    body = [helper.make_node("Identity", ["a"], ["b"])]
    model.functions.append(helper.make_function(domain, op, ["a"], ["b"], body, [helper.make_opsetid("", 13)]))
    onnx.save(model, path)
    with pytest.raises(OnnxFileError, match="an operator that the file defines itself"):
        certify(path)


def test_two_versions_of_onnx_under_its_two_names(builder: Build) -> None:
    b, _ = _linear(builder)
    path = b.save()
    model = onnx.load(path)
    model.opset_import.append(helper.make_opsetid("ai.onnx", 9))
    onnx.save(model, path)
    with pytest.raises(OnnxFileError, match=r"found versions \[9, 1\d\] of ONNX' operators"):
        certify(path)


def test_types_that_a_file_claims_of_tensors_do_not_count(builder: Build) -> None:
    b, _ = _linear(builder)
    path = b.save()
    before = certify(path).layers["n4"].sums
    model = onnx.load(path)
    for node in model.graph.node:
        model.graph.value_info.append(helper.make_tensor_value_info(node.output[0], TensorProto.UINT8, [7, 1]))
    onnx.save(model, path)
    assert certify(path).layers["n4"].sums == before


@pytest.mark.parametrize("how", ["Constant", "Identity"])
def test_constants_of_nodes_decide_quantizers_as_initializers_do(builder: Build, how: str) -> None:
    b, names = _linear(builder)
    path = b.save()
    before = certify(path).layers["n4"].sums
    model = onnx.load(path)
    constant = next(c for c in model.graph.initializer if c.name == names["weights"])
    reader = next(node for node in model.graph.node if names["weights"] in node.input)
    if how == "Constant":
        model.graph.initializer.remove(constant)
        model.graph.node.insert(0, helper.make_node("Constant", [], [constant.name], "weights", value=constant))
    else:
        model.graph.node.insert(0, helper.make_node("Identity", [constant.name], ["same"], "same"))
        reader.input[0] = "same"
        model.graph.input.append(helper.make_tensor_value_info(constant.name, constant.data_type, constant.dims))
    onnx.save(model, path)
    found = certify(path)
    assert found.layers["n4"].sums == before
    assert len(found.assumptions) == (how == "Identity")  # the default behind it


def _named(b: Any, output: str, op: str, *inputs: str, **attributes: Any) -> None:
    b.nodes.append(helper.make_node(op, list(inputs), [output], **attributes))


@pytest.mark.parametrize("name", ["y/sum", "y/bias", "y/bits", "y/scale", "y/zero_point", "wd/real"])
@pytest.mark.parametrize("later", [False, True])
def test_names_that_the_reader_would_give_are_the_files(builder: Build, name: str, later: bool) -> None:
    """Tensors that come of a combined operator, or of two that become one, take no name that is in the file."""
    b = builder()
    scale, point = b.constant(np.float32(0.5)), b.constant(np.uint8(0))
    clipped = b.node("Clip", b.node("QuantizeLinear", "x", scale, point), point, b.constant(np.uint8(3)))
    _named(b, "q", "DequantizeLinear", clipped, scale, point)
    _named(b, "y" if name in ("y/bits", "y/scale", "y/zero_point") else "r", "DequantizeLinear", clipped, scale, point)
    _named(b, "wd", "DequantizeLinear", b.constant(np.ones((2, 2, 1, 1), np.int8)), scale, b.constant(np.int8(0)))
    narrow = "y" if name.startswith("y/") and name not in ("y/sum", "y/bias") else "q"
    _named(b, "z" if narrow == "y" else "y", "Conv", narrow, "wd", b.constant(np.float32([1, 2])))
    ours = [
        b.constant(np.float32(v), name if name == f"y/{n}" else "")
        for n, v in (("scale", 0.5), ("zero_point", 0), ("bits", 8))
    ]
    quantizer = helper.make_node(
        "Quant",
        ["x", *ours],
        ["w" if name not in ("y/sum", "y/bias") else name],
        domain=QONNX,
        signed=0,
        narrow=0,
        rounding_mode="ROUND",
    )
    weights = b.quant(b.constant(np.full((2, 2, 1, 1), 2.0, np.float32), name if name == "wd/real" else ""), 1.0, 4, 1)
    layer = helper.make_node("Conv", [quantizer.output[0], weights], ["l"], name="L")
    b.nodes += [quantizer, layer] if later else []
    b.nodes[:0] = [] if later else [quantizer]
    b.nodes += [] if later else [layer]
    layers = {layer.name: layer for layer in certify(b.save("l", "z" if narrow == "y" else "y")).layers}
    assert layers.pop("L").sums.upper == (2 * 2 * 255,) * 2
    assert [layer.input_range.upper for layer in layers.values()] == [3]


@pytest.mark.parametrize("point", range(4))
def test_quantize_linear_rounds_before_it_adds_its_zero_point(builder: Build, point: int) -> None:
    """Half-way between two integers that is another one than a Quant makes; asked of onnxruntime."""
    b = builder(shape=(1, 1, 1, 16))
    scale, zero = b.constant(np.float32(0.5)), b.constant(np.uint8(point))
    x = b.node("Clip", "x", b.constant(np.float32(-0.75)), b.constant(np.float32(0.75)))
    read = b.node("DequantizeLinear", b.node("QuantizeLinear", x, scale, zero), scale, zero)
    b.node("Conv", read, b.weights(np.ones((1, 1, 1, 1))))
    path = b.save()
    [layer] = certify(path).layers
    model = b.model(read)
    del model.graph.node[3:]
    model.ir_version = 8
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    values = np.linspace(-1, 1, 16, dtype=np.float32).reshape(1, 1, 1, 16)
    codes = session.run(None, {"x": values})[0] / 0.5
    assert (codes.min(), codes.max()) == (-min(2, point), 2)
    assert layer.input_range.lower <= codes.min() <= codes.max() <= layer.input_range.upper
    assert simulate(path, values).outputs[0].max() == 1.0


def test_quantizers_in_half_precision_are_not_those_of_single_precision(builder: Build) -> None:
    """What follows them is computed in half precision: 2048 and a half is 2048 there."""
    b = builder()
    scale, zero = b.constant(np.float16(0.5)), b.constant(np.uint8(0))
    halves = b.node(
        "Clip", b.node("Cast", "x", to=10), zero_half := b.constant(np.float16(0)), b.constant(np.float16(0.5))
    )
    read = b.node("DequantizeLinear", b.node("QuantizeLinear", halves, scale, zero), scale, zero)
    moved = b.node(
        "Sub", b.node("Add", read, b.constant(np.float16(2048))), b.node("Identity", b.constant(np.float16(2046)))
    )
    b.node(
        "Conv", b.quant(b.node("Cast", b.node("Add", moved, zero_half), to=1), bits=8), b.weights(np.ones((2, 2, 1, 1)))
    )
    path = b.save()
    model = onnx.load(path)
    model.opset_import[0].version = 19
    onnx.save(model, path)
    assert certify(path).layers[0].input_range.upper == 255
