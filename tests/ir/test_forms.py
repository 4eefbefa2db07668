"""Files that say the same in another form, or something else in the same form."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from brevitas_a2q import certify
from brevitas_a2q.errors import OnnxFileError

Build = Callable[..., Any]


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
