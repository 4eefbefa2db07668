"""The exported file holds the trained integers, or there is no file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import brevitas.nn as qnn
import numpy as np
import onnx
import pytest
import torch
from brevitas.quant import (
    Int8AccumulatorAwareWeightQuant,
    Int8AccumulatorAwareZeroCenterWeightQuant,
    Int8WeightPerChannelFloat,
    Int8WeightPerTensorFloat,
    SignedBinaryActPerTensorConst,
    SignedBinaryWeightPerTensorConst,
    Uint8ActPerTensorFloat,
)
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.core.onnx_exec import execute_onnx

import brevitas_a2q.export._qonnx as qonnx_module
from brevitas_a2q import (
    Int8A2QPlusWeightPerChannelFloat,
    Int8A2QWeightPerChannelFloat,
    Int8ProjectedA2QWeightPerChannelFloat,
    certify,
    export_qonnx,
    simulate,
)
from brevitas_a2q._ir.layers import dot_product_layers
from brevitas_a2q._ir.reader import read_network
from brevitas_a2q.errors import CertificateError, ExportError, ModelError
from brevitas_a2q.verify._torch_model import layers_of

QUANTIZERS = [
    Int8WeightPerTensorFloat,
    Int8WeightPerChannelFloat,
    Int8AccumulatorAwareWeightQuant,
    Int8AccumulatorAwareZeroCenterWeightQuant,
    Int8A2QWeightPerChannelFloat,
    Int8A2QPlusWeightPerChannelFloat,
    Int8ProjectedA2QWeightPerChannelFloat,
]
ACCUMULATOR_AWARE = QUANTIZERS[2:]
TYPES = [torch.float32, torch.float64, torch.bfloat16, torch.float16]


def integer_weights(path: Path) -> dict[str, Any]:
    return {layer.name: layer.weights for layer in dot_product_layers(read_network(path))}


@pytest.mark.parametrize(
    ("quantizer", "exporter"),
    [
        *((quantizer, "torchscript") for quantizer in QUANTIZERS),
        pytest.param(Int8A2QWeightPerChannelFloat, "dynamo", marks=pytest.mark.torch28),
    ],
)
def test_file_holds_the_trained_integers(small_net, image, tmp_path, quantizer, exporter):
    model = small_net(quantizer)
    export_qonnx(model, image, tmp_path / "net.onnx", exporter=exporter)
    found = integer_weights(tmp_path / "net.onnx")
    trained = {layer.name: layer.weights for layer in layers_of(model, image)}
    assert list(found) == list(trained) == ["body.0", "depthwise", "head"]
    for name, weights in trained.items():
        np.testing.assert_array_equal(found[name], weights)


@pytest.mark.parametrize("quantizer", ACCUMULATOR_AWARE)
def test_narrow_accumulators_survive_the_export(small_net, image, tmp_path, quantizer):
    """UPSTREAM 13: Brevitas alone writes float weights, whose sums leave the range they were trained for."""
    model = small_net(quantizer, weight_accumulator_bit_width=12)
    report = export_qonnx(model, image, tmp_path / "net.onnx", allow_overflow=True)
    for layer in report.certificate.layers:
        assert layer.accumulator_bit_width == 12
        if quantizer.__module__.startswith("brevitas_a2q"):
            assert layer.required_bit_width <= 12


@pytest.mark.parametrize(
    ("dtype", "quantizer"),
    [*((dtype, Int8AccumulatorAwareWeightQuant) for dtype in TYPES), (torch.bfloat16, Int8A2QWeightPerChannelFloat)],
)
def test_weights_are_those_of_the_models_own_type(small_net, image, tmp_path, dtype, quantizer):
    model = small_net(quantizer, weight_accumulator_bit_width=12).to(dtype)
    seen = []
    hook = model.body[0].weight_quant.register_forward_hook(lambda m, i, weight: seen.append(weight.detach()))
    with torch.no_grad():
        model(image.to(dtype))
    hook.remove()
    export_qonnx(model, image.to(dtype), tmp_path / "net.onnx", allow_overflow=True)
    codes = (seen[0].value.double() / seen[0].scale.double()).round().long().flatten(1)
    np.testing.assert_array_equal(integer_weights(tmp_path / "net.onnx")["body.0"], codes.numpy())


def test_outputs_and_integers_equal_in_qonnx_by_hand(small_net, image, tmp_path):
    """The claim of the report, repeated with qonnx alone."""
    model = small_net(Int8A2QWeightPerChannelFloat)
    export_qonnx(model, image, tmp_path / "net.onnx")
    file = ModelWrapper(str(tmp_path / "net.onnx"))
    outputs = execute_onnx(file, {file.graph.input[0].name: image.numpy()}, return_full_exec_context=True)
    node = file.get_node_from_name("relu.act_quant")
    seen = []
    model.relu.act_quant.register_forward_hook(lambda m, i, o: seen.append(o))
    with torch.no_grad():
        expected = model(image)
    np.testing.assert_array_equal(outputs[node.output[0]], seen[0].value.numpy())
    np.testing.assert_allclose(outputs[file.graph.output[0].name], expected.numpy(), rtol=1e-5, atol=1e-6)


def test_residual_branches_share_a_quantizer(residual_net, image, tmp_path):
    report = export_qonnx(residual_net(), image, tmp_path / "net.onnx")
    assert report.round_trip.quantizers == 4  # two weights, the input, and one for three calls


def test_quantized_biases(small_net, image, tmp_path, bias_quant):
    report = export_qonnx(small_net(bias_quant=bias_quant), image, tmp_path / "net.onnx")
    assert report.round_trip.quantizers == 8


@pytest.mark.parametrize("exporter", ["torchscript", pytest.param("dynamo", marks=pytest.mark.torch28)])
def test_network_that_returns_quantized_tensors(image, tmp_path, exporter):
    """Its output is their values alone, not the scale, zero-point and bit width that they carry."""
    quant = qnn.QuantIdentity(bit_width=4, return_quant_tensor=True)
    layer = qnn.QuantConv2d(2, 3, 1, bias=False, weight_quant=Int8WeightPerChannelFloat, weight_bit_width=4)
    model = torch.nn.Sequential(quant, layer, qnn.QuantReLU(bit_width=4, return_quant_tensor=True))
    model(image)
    expected = model.eval()(image).value.detach().numpy()
    export_qonnx(model, image, tmp_path / "net.onnx", exporter=exporter)
    file = ModelWrapper(str(tmp_path / "net.onnx"))
    (output,) = file.graph.output
    found = execute_onnx(file, {file.graph.input[0].name: image.numpy()})[output.name]
    np.testing.assert_array_equal(found, expected)


def test_binary_network(image, tmp_path):
    """Bipolar activations, of which padding makes zeros; binary weights, and constrained ones for P = 5."""

    def bipolar():
        return qnn.QuantIdentity(act_quant=SignedBinaryActPerTensorConst, return_quant_tensor=True)

    projected = {"weight_quant": Int8ProjectedA2QWeightPerChannelFloat, "weight_accumulator_bit_width": 5}
    model = torch.nn.Sequential(
        bipolar(),
        qnn.QuantConv2d(2, 8, 3, padding=1, weight_quant=SignedBinaryWeightPerTensorConst),
        bipolar(),
        qnn.QuantConv2d(8, 4, 3, padding=1, bias=False, weight_bit_width=4, **projected),
    )
    torch.nn.init.constant_(model[1].bias, 0.05)  # half a weight: no sum is 0, where float noise chooses the sign
    model(image)
    export_qonnx(model.eval(), image, tmp_path / "net.onnx")
    for certificate in (certify(model, image), certify(tmp_path / "net.onnx")):
        assert certificate.holds
        assert [layer.required_bit_width for layer in certificate.layers] == [6, 5]
        assert (certificate.layers[0].lower, certificate.layers[0].upper) == (-18, 18)
    images = torch.randn(8, 2, 6, 6)
    outputs, overflows = simulate(tmp_path / "net.onnx", images, overflow="check")
    assert not any(overflows.values())
    np.testing.assert_allclose(outputs, model(images).detach().numpy(), atol=1e-6)


def test_weight_quantizer_shared_by_two_layers(image, tmp_path):
    quant = qnn.QuantIdentity(bit_width=4, return_quant_tensor=True)
    first = qnn.QuantConv2d(2, 2, 1, bias=False, weight_quant=Int8WeightPerTensorFloat, weight_bit_width=4)
    second = qnn.QuantConv2d(2, 2, 1, bias=False, weight_quant=first.weight_quant)
    middle = qnn.QuantReLU(bit_width=4, return_quant_tensor=True)
    model = torch.nn.Sequential(quant, first, middle, second).eval()
    export_qonnx(model, image, tmp_path / "net.onnx")
    assert list(integer_weights(tmp_path / "net.onnx")) == ["1", "3"]


def test_model_is_not_changed(small_net, image, tmp_path):
    model = small_net(Int8A2QWeightPerChannelFloat)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    export_qonnx(model, image, tmp_path / "one.onnx")
    export_qonnx(model, image, tmp_path / "two.onnx")
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name]), name
    assert (tmp_path / "one.onnx").read_bytes() == (tmp_path / "two.onnx").read_bytes()


def test_file_is_valid_and_complete(small_net, image, tmp_path):
    export_qonnx(small_net(), image, tmp_path / "net.onnx")
    model = onnx.load(tmp_path / "net.onnx")
    onnx.checker.check_model(model, full_check=False)
    constants = {tensor.name for tensor in model.graph.initializer}
    assert [value.name for value in model.graph.input] == ["global_in"]  # batch norm's parameters are initializers
    known = constants | {"global_in"}
    for node in model.graph.node:
        assert set(filter(None, node.input)) <= known
        known |= set(node.output)
    shapes = {value.name for value in (*model.graph.value_info, *model.graph.output)}
    assert all(set(node.output) <= shapes for node in model.graph.node)
    assert [path.name for path in tmp_path.iterdir()] == ["net.onnx"]


class TestNoFileIsLeft:
    """Whatever goes wrong."""

    @pytest.fixture(params=[False, True], ids=["new", "over an old file"])
    def target(self, tmp_path, request):
        if request.param:
            (tmp_path / "net.onnx").write_text("old")
        yield tmp_path / "net.onnx"
        if request.param:
            assert (tmp_path / "net.onnx").read_text() == "old"
        assert [path.name for path in tmp_path.iterdir()] == (["net.onnx"] if request.param else [])

    def test_wrong_weights(self, small_net, image, target, monkeypatch):
        monkeypatch.setattr(qonnx_module, "bake", lambda *_: None)
        with pytest.raises(ExportError, match=r"^layer body\.0: .*other integer weights"):
            export_qonnx(small_net(Int8A2QWeightPerChannelFloat, weight_accumulator_bit_width=12), image, target)

    @pytest.mark.parametrize(("node", "index"), [("relu.act_quant", 1), ("quant.act_quant", 1), ("depthwise", 2)])
    def test_wrong_numbers(self, small_net, image, target, monkeypatch, node, index):
        """A scale or a bias that is off: the round trip names the first quantizer that differs."""
        clean = qonnx_module.tidied

        def spoil(model):
            model = clean(model)
            qonnx_module.name_nodes(model, "net")
            name = next(n for n in model.graph.node if n.name == node).input[index]
            tensor = next(t for t in model.graph.initializer if t.name == name)
            values = onnx.numpy_helper.to_array(tensor) + np.float32(0.3)
            tensor.CopyFrom(onnx.numpy_helper.from_array(values, name))
            return model

        monkeypatch.setattr(qonnx_module, "tidied", spoil)
        quantizer = node if node.endswith("quant") else "relu.act_quant"
        with pytest.raises(ExportError, match=f"^quantizer {quantizer}: "):
            export_qonnx(small_net(), image, target)

    def test_overflow(self, small_net, image, target):
        """UPSTREAM 1: Brevitas' A2Q+ on a constant depthwise channel leaves its accumulator."""
        quant = qnn.QuantIdentity(act_quant=Uint8ActPerTensorFloat, return_quant_tensor=True)
        weights = {"weight_quant": Int8AccumulatorAwareZeroCenterWeightQuant, "weight_accumulator_bit_width": 16}
        depthwise = qnn.QuantConv2d(2, 2, 3, groups=2, bias=False, **weights)
        depthwise.weight.data.fill_(0.1)
        model = torch.nn.Sequential(quant, depthwise)
        model(image)
        with pytest.raises(CertificateError, match=r"^layer 1: its sums reach .* needs \d\d bits"):
            export_qonnx(model.eval(), image, target)

    def test_training_mode(self, small_net, image, target):
        with pytest.raises(ModelError, match=r"training mode.*call model\.eval\(\)"):
            export_qonnx(small_net().train(), image, target)

    @pytest.mark.parametrize("args", [torch.randn(1, 5, 6, 6), (torch.randn(1, 2, 6, 6),) * 2, "image", torch.ones(3)])
    def test_args_that_do_not_fit(self, small_net, target, args):
        with pytest.raises(ModelError, match="model SmallNet"):
            export_qonnx(small_net(), args, target)

    def test_unquantized_input(self, small_net, image, tmp_path):
        target = tmp_path / "float_input.onnx"
        model = small_net()
        model.quant = torch.nn.Identity().eval()
        report = export_qonnx(model, image, target)  # the layer is listed, and the others are certified
        assert len(report.certificate.uncovered) == 1
        assert len(report.certificate.layers) == 2

    def test_no_quantizer(self, image, target):
        with pytest.raises(ModelError, match="no Brevitas quantizer"):
            export_qonnx(torch.nn.Conv2d(2, 2, 1).eval(), image, target)


@pytest.mark.parametrize("path", ["", "missing/net.onnx", "file/net.onnx", "net\0.onnx"])
def test_path_that_cannot_be_written(small_net, image, tmp_path, path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ExportError, match="expected"):
        export_qonnx(small_net(), image, f"{tmp_path}/{path}")
    assert [found.name for found in tmp_path.iterdir()] == ["file"]


def test_sums_that_cancel_are_no_difference(tmp_path: Path) -> None:
    """Equal positive and negative weights: constant images give zero but for float residue."""
    torch.manual_seed(0)
    model = torch.nn.Sequential(
        qnn.QuantReLU(bit_width=4, return_quant_tensor=True),
        qnn.QuantConv2d(
            64,
            64,
            3,
            bias=False,
            weight_quant=Int8ProjectedA2QWeightPerChannelFloat,
            weight_bit_width=4,
            weight_accumulator_bit_width=12,
        ),
    )
    images = torch.rand(1, 64, 8, 8)
    model(images)
    assert export_qonnx(model.eval(), images, tmp_path / "conv.onnx").certificate.holds


def test_a_float_layer_that_reads_the_raw_image_cancels_nothing_away(tmp_path: Path) -> None:
    """Brevitas' MobileNetV1 begins so. Images of a million times the usual size would leave sums of residue alone."""
    torch.manual_seed(0)
    first = qnn.QuantConv2d(3, 16, 3, stride=2, padding=1, bias=False, weight_bit_width=8)
    last = qnn.QuantConv2d(16, 2, 1, bias=False, weight_bit_width=4)
    model = torch.nn.Sequential(first, torch.nn.BatchNorm2d(16), qnn.QuantReLU(bit_width=4), last)
    images = torch.rand(1, 3, 128, 128)
    model(images)
    trip = export_qonnx(model.eval(), images, tmp_path / "network.onnx").round_trip
    assert "beyond" in trip.inputs


@pytest.mark.filterwarnings("ignore:ONNX opset version set to")
@pytest.mark.parametrize("exporter", ["export_qonnx", "export_onnx_qcdq", "export_torch_qcdq"])
def test_exporters_of_brevitas_say_what_to_call(small_net, image, tmp_path, exporter: str) -> None:
    import brevitas.export

    model = small_net(Int8ProjectedA2QWeightPerChannelFloat)
    expected = model(image)
    with pytest.raises(ExportError, match=r"call brevitas_a2q\.export_qonnx"):
        getattr(brevitas.export, exporter)(model, args=image, export_path=str(tmp_path / "x"))
    assert torch.equal(model(image), expected)
    export_qonnx(model, image, tmp_path / "ours.onnx")


@pytest.mark.filterwarnings("ignore:ONNX opset version set to")
@pytest.mark.parametrize("exporter", ["export_qonnx", "export_torch_qcdq"])
def test_they_do_so_of_fused_activations_alone(image, tmp_path, exporter: str) -> None:
    """A model of which ``constrain_`` could constrain no weights has fused activations all the same."""
    import brevitas.export
    from brevitas.quant import Int8WeightPerTensorFloat

    from brevitas_a2q.quant._activations import fuse_activations_

    layers = (
        qnn.QuantIdentity(return_quant_tensor=True),
        qnn.QuantConv2d(2, 4, 3, weight_quant=Int8WeightPerTensorFloat),
    )
    model = torch.nn.Sequential(*layers).eval()
    expected = model(image)
    fuse_activations_(model)
    with pytest.raises(ExportError, match=r"do not know fused activations; call brevitas_a2q\.export_qonnx"):
        getattr(brevitas.export, exporter)(model, args=image, export_path=str(tmp_path / "x"))
    assert torch.equal(model(image), expected)
    export_qonnx(model, image, tmp_path / "ours.onnx")


def test_where_images_are_smaller_than_kernels_the_file_and_the_model_keep_to_one_limit(tmp_path, monkeypatch):
    """Sums without the taps that only padding meets need weights laid out anew; beyond a limit all taps are summed."""
    options = {"bias": False, "weight_quant": Int8ProjectedA2QWeightPerChannelFloat, "weight_accumulator_bit_width": 14}
    model = torch.nn.Sequential(
        qnn.QuantIdentity(bit_width=4, return_quant_tensor=True),
        qnn.QuantConv2d(2, 3, 5, padding=2, **options),
        qnn.QuantReLU(bit_width=4, return_quant_tensor=True),
        qnn.QuantConv2d(3, 3, 5, padding=2, **options),
    )
    image = torch.randn(1, 2, 2, 2)
    model(image)
    model.eval()
    for limit, noted in ((1 << 24, 2), (700, 1), (0, 0)):
        monkeypatch.setattr("brevitas_a2q._ir.layers.MORE_WEIGHTS", limit)
        monkeypatch.setattr("brevitas_a2q.verify._torch_model.MORE_WEIGHTS", limit)
        report = export_qonnx(model, image, tmp_path / f"{limit}.onnx")
        assert sum(bool(layer.notes) for layer in report.certificate.layers) == noted
        assert report.certificate.layers[0].weights_sha256 == certify(model, image).layers[0].weights_sha256
