"""Every bad file gets one named error that says where, what was found and what was expected."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from brevitas_a2q import _ir as ir
from brevitas_a2q._ir.layers import dot_product_layers
from brevitas_a2q.errors import OnnxFileError

Build = Callable[..., Any]


def small(build: Build, **options: Any) -> Any:
    """A quantized 1x1 convolution of two channels."""
    b = build(**options)
    b.node("Conv", b.quant("x", 0.5, 8, 1), b.weights(np.ones((3, 2, 1, 1))))
    return b


def refused(path: Path, *parts: str) -> None:
    with pytest.raises(OnnxFileError) as caught:
        dot_product_layers(ir.read(path))
    for part in parts:
        assert part in str(caught.value), str(caught.value)
    assert "expected" in str(caught.value)


def test_a_good_file_is_read(builder: Build) -> None:
    assert [layer.name for layer in dot_product_layers(ir.read(small(builder).save()))] == ["n2"]


@pytest.mark.parametrize("data", [b"", b"hello world", b"\x08\x07", b"\xff" * 100])
def test_what_is_no_onnx_file(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "bad.onnx"
    path.write_bytes(data)
    refused(path, "bad.onnx")


def test_truncated_files(builder: Build) -> None:
    path = small(builder).save()
    data = path.read_bytes()
    for end in range(1, len(data) - 60, 7):  # the last bytes are the opsets, which nothing depends on
        path.write_bytes(data[:end])
        refused(path, "model.onnx")


def test_paths_that_hold_no_file(tmp_path: Path) -> None:
    refused(tmp_path, "no regular file")
    refused(tmp_path / "missing.onnx", "missing.onnx", "cannot be read")
    refused(Path("/dev/zero"), "no regular file")


def test_dynamic_shapes(builder: Build) -> None:
    refused(small(builder, shape=("batch", 2, 4, 4)).save(), "input x", "(batch, 2, 4, 4)", "static", "dynamic axes")
    refused(small(builder, shape=(1, 2, 0, 4)).save(), "input x", "(1, 2, 0, 4)")


def test_huge_shapes(builder: Build) -> None:
    refused(small(builder, shape=(1, 2, 1 << 20, 1 << 20)).save(), "input x", "elements")
    b = small(builder)
    b.nodes[-1].attribute.append(helper.make_attribute("pads", [1 << 19, 1 << 19, 0, 0]))
    refused(b.save(), "n2", "elements")


def test_floats_where_integers_are_needed(builder: Build) -> None:
    b = builder()
    b.node("Conv", "x", b.weights(np.ones((3, 2, 1, 1))))
    refused(b.save(), "n1", "float input", "QuantIdentity")
    b = builder()
    b.node("Conv", b.quant("x"), b.constant(np.ones((3, 2, 1, 1), np.float32)))
    refused(b.save(), "n1", "float weights", "quantize")


def test_operators_whose_shapes_nobody_knows(builder: Build) -> None:
    for op, domain in (("NotAnOperator", ""), ("Quant", "evil.domain"), ("Im2Col", "qonnx.custom_op.general")):
        b = small(builder)
        b.node(op, "t2", domain=domain)
        refused(b.save(), "n3", op, "shape cannot be told")
    b = small(builder)
    b.node("QGemm", "t2", domain="com.microsoft")
    refused(b.save(), "n3", "an operator of onnxruntime alone", "QuantFormat.QDQ")


def test_versions_that_no_rule_states(builder: Build) -> None:
    for opset in (1, 6, 25, 200):
        path = small(builder).save()
        model = onnx.load(path)
        model.opset_import[0].version = opset
        onnx.save(model, path)
        refused(path, f"version {opset} of ONNX", "7 to 24")


def test_operators_that_the_file_defines_itself(builder: Build) -> None:
    path = small(builder).save()
    model = onnx.load(path)
    body = [helper.make_node("Identity", ["X"], ["Y"])]
    model.functions.append(
        helper.make_function(
            "qonnx.custom_op.general", "Quant", ["X", "s", "z", "b"], ["Y"], body, [helper.make_opsetid("", 13)]
        )
    )
    onnx.save(model, path)
    refused(path, "Quant", "defines itself")


def test_files_without_a_quantized_layer(builder: Build) -> None:
    b = builder()
    b.node("Relu", "x")
    refused(b.save(), "no quantized layer", "export with export_qonnx")


@pytest.mark.parametrize("scale", [0.0, float("nan"), float("inf")])
def test_scales(builder: Build, scale: float) -> None:
    b = builder()
    b.node("Conv", b.quant("x", scale), b.weights(np.ones((3, 2, 1, 1))))
    refused(b.save(), "finite")


@pytest.mark.parametrize("bits", [0, -4, 2.5, float("nan")])
def test_bit_widths(builder: Build, bits: float) -> None:
    b = builder()
    b.node("Conv", b.quant("x", bits=bits), b.weights(np.ones((3, 2, 1, 1))))
    refused(b.save())


def test_constants_that_are_not_finite(builder: Build) -> None:
    b = small(builder)
    b.node("Mul", "t2", b.constant(np.float32([1, np.nan]), "bad"))
    refused(b.save(), "initializer bad", "NaN")


def test_minifloats_are_refused_by_name(builder: Build) -> None:
    b = small(builder)
    b.constants.append(helper.make_tensor("eight", TensorProto.FLOAT8E4M3FN, (2,), [1.0, 2.0]))
    refused(b.save(), "initializer eight", "FLOAT8E4M3FN")


def test_cycles(builder: Build) -> None:
    b = small(builder)
    b.nodes[0].input[0] = "t3"
    b.node("Relu", "t2")
    refused(b.save(), "cycle")


def test_tensors_written_twice_or_never(builder: Build) -> None:
    b = small(builder)
    b.nodes[2].input[0] = "nowhere"
    refused(b.save(), "nowhere", "n2")
    b = small(builder)
    b.node("Relu", "t2")
    b.nodes[3].output[0] = "t0"
    refused(b.save("t2"), "t0", "n3")


def test_sparse_initializers_and_subgraphs(builder: Build) -> None:
    b = small(builder)
    model = b.model("t2")
    model.graph.sparse_initializer.add()
    b.path.write_bytes(model.SerializeToString())
    refused(b.path, "sparse")
    b = small(builder)
    b.node("If", "t2", then_branch=b.model("t2").graph)
    refused(b.save(), "n3", "then_branch")


@pytest.mark.parametrize(
    "change",
    [
        lambda t: t.dims.append(1 << 40),
        lambda t: t.dims.append(-1),
        lambda t: setattr(t, "raw_data", t.raw_data[:-1]),
        lambda t: setattr(t, "data_type", TensorProto.STRING),
        lambda t: setattr(t, "data_type", 77),
    ],
)
def test_initializers_that_contradict_themselves(builder: Build, change: Callable[[Any], None]) -> None:
    b = small(builder)
    weights = next(c for c in b.constants if len(c.dims) == 4)
    change(weights)
    refused(b.save(), f"initializer {weights.name}")


def outside(b: Any, location: str, **entries: str) -> Path:
    """The file with its weights as external data."""
    tensor = next(c for c in b.constants if len(c.dims) == 4)
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in {"location": location, **entries}.items():
        tensor.external_data.append(onnx.StringStringEntryProto(key=key, value=value))
    path: Path = b.save()
    return path


def test_external_data_inside_the_folder_is_read(builder: Build) -> None:
    b = small(builder)
    (b.path.parent / "weights.bin").write_bytes(b"pad " + np.full(6, 3, np.float32).tobytes())
    (layer,) = dot_product_layers(ir.read(outside(b, "weights.bin", offset="4")))
    assert (layer.weights == 3).all()


@pytest.mark.parametrize("location", ["../outside.bin", "/etc/hostname", "link.bin", "", ".", "missing.bin", "a\0b"])
def test_external_data_elsewhere_is_refused(builder: Build, location: str) -> None:
    b = small(builder)
    b.path = b.path.parent / "model" / "model.onnx"
    b.path.parent.mkdir()
    secret = b.path.parent.parent / "outside.bin"
    secret.write_bytes(bytes(64))
    (b.path.parent / "link.bin").symlink_to(secret)
    refused(outside(b, location), "initializer")


@pytest.mark.parametrize("entries", [{"offset": "-4"}, {"offset": "1e3"}, {"offset": "9" * 40}, {"offset": "60"}])
def test_external_data_out_of_bounds_is_refused(builder: Build, entries: dict[str, str]) -> None:
    b = small(builder)
    (b.path.parent / "weights.bin").write_bytes(bytes(64))
    refused(outside(b, "weights.bin", **entries), "initializer")


def test_products_beyond_64_bits(builder: Build) -> None:
    b = builder()
    wide = b.quant("x", 1.0, 32, 1)
    b.node("Conv", wide, b.weights(np.full((3, 2, 1, 1), 2.0**30), bits=32))
    refused(b.save(), "n2", "62 bits")


def test_scales_that_differ_within_a_sum(builder: Build) -> None:
    b = builder()
    b.node("Conv", b.quant("x", np.float32([[[[0.5]], [[0.25]]]])), b.weights(np.ones((3, 2, 1, 1))))
    refused(b.save(), "n2", "differ within a sum")


def test_names_that_are_no_text(builder: Build) -> None:
    path = small(builder).save()
    path.write_bytes(path.read_bytes().replace(b"Conv", b"Co\xff\xfe"))
    refused(path, "model.onnx")


def test_half_precision_and_listed_values_are_read(builder: Build) -> None:
    b = small(builder)
    index = next(i for i, c in enumerate(b.constants) if len(c.dims) == 4)
    name = b.constants[index].name
    b.constants[index] = helper.make_tensor(name, TensorProto.FLOAT16, [3, 2, 1, 1], np.full(6, 2.0))
    assert (dot_product_layers(ir.read(b.save()))[0].weights == 2).all()
    b.constants[index] = helper.make_tensor(name, TensorProto.FLOAT, [3, 2, 1, 1], np.full(6, 3.0))
    assert (dot_product_layers(ir.read(b.save()))[0].weights == 3).all()
    b.constants[index] = numpy_helper.from_array(np.full((3, 2, 1, 1), 5, np.int32), name)
    assert (dot_product_layers(ir.read(b.save()))[0].weights == 5).all()


@pytest.mark.parametrize(
    ("kind", "where"),
    [("attribute", "node 0"), ("version", "operators"), ("input", "inputs"), ("type", "data types"), ("property", "")],
)
def test_what_is_said_twice_in_two_ways(builder: Build, kind: str, where: str) -> None:
    """Readers differ in which of the two they take."""
    path = small(builder).save()
    model = onnx.load(path)
    if kind == "attribute":
        again = next(a for a in model.graph.node[0].attribute if a.name == "signed")
        model.graph.node[0].attribute.append(helper.make_attribute("signed", 1 - again.i))
    elif kind == "version":
        (mine,) = [opset for opset in model.opset_import if opset.domain == ""]
        model.opset_import.append(helper.make_opsetid("", mine.version - 1))
    elif kind == "input":
        model.graph.input.append(helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 2, 1, 1]))
    elif kind == "type":
        for text in ("INT8", "UINT4"):
            note = model.graph.quantization_annotation.add(tensor_name="x")
            note.quant_parameter_tensor_names.add(key="finn_datatype", value=text)
    else:
        for text in ("0,1", "0,2"):
            model.metadata_props.add(key="a2q.input_range", value=text)
    onnx.save(model, path)
    refused(path, "twice, with two values", where)


def test_attributes_of_functions_outside_of_them(builder: Build) -> None:
    path = small(builder).save()
    model = onnx.load(path)
    model.graph.node[0].attribute[0].ref_attr_name = "another"
    onnx.save(model, path)
    refused(path, "another's")
