"""What an exported file says about itself is what was certified, where other tools find it."""

from __future__ import annotations

import brevitas.nn as qnn
import onnx
import pytest
import torch
from brevitas.quant import Int8ActPerTensorFloat
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.util.inference_cost import inference_cost

from brevitas_a2q import Int8A2QWeightPerChannelFloat, certify, export_qonnx
from brevitas_a2q._ir import metadata
from brevitas_a2q.export._report import certificate_sha256


def properties(holder):
    return {pair.key: pair.value for pair in holder.metadata_props}


@pytest.fixture(scope="module")
def exported(small_net, image, tmp_path_factory):
    """A network of 14 bits: the report of its export, and the file."""
    path = tmp_path_factory.mktemp("exported") / "net.onnx"
    model = small_net(Int8A2QWeightPerChannelFloat, weight_accumulator_bit_width=14)
    return export_qonnx(model, image, path), path


def test_layers_carry_width_range_and_hash(exported):
    report, path = exported
    file = onnx.load(path)
    nodes = {node.name: properties(node) for node in file.graph.node}
    for name in ("body.0", "depthwise", "head"):
        found, certified = nodes[name], report.certificate.layers[name]
        assert found[metadata.ACCUMULATOR_BIT_WIDTH] == "14"
        assert found[metadata.REQUIRED_BIT_WIDTH] == str(certified.required_bit_width)
        assert found[metadata.ACCUMULATOR_LOWER] == str(min(certified.sums.lower))
        assert found[metadata.ACCUMULATOR_UPPER] == str(max(certified.sums.upper))
        assert found[metadata.WEIGHTS_SHA256] == certified.weights_sha256
    assert properties(file)[metadata.CERTIFICATE_SHA256] == report.certificate_sha256


def test_hash_can_be_found_again_from_the_file(exported):
    report, path = exported
    assert certificate_sha256(certify(path)) == report.certificate_sha256


def test_plain_quantizers_get_no_target(small_net, image, tmp_path):
    export_qonnx(small_net(), image, tmp_path / "net.onnx")
    assert all(
        metadata.ACCUMULATOR_BIT_WIDTH not in properties(node) for node in onnx.load(tmp_path / "net.onnx").graph.node
    )
    assert all(layer.accumulator_bit_width is None for layer in certify(tmp_path / "net.onnx").layers)


def test_data_types_of_scaled_sums(exported):
    file = ModelWrapper(str(exported[1]))
    types = {node.name: file.get_tensor_datatype(node.output[0]).name for node in file.graph.node}
    assert types["quant.act_quant"] == "SCALEDINT<8>"
    assert types["body.0"] == "SCALEDINT<14>"
    assert types["depthwise"] != "SCALEDINT<14>"  # its float bias makes the sum a real number


def test_data_type_is_int_where_the_tensor_holds_the_sum(image, tmp_path):
    model = torch.nn.Sequential(
        qnn.QuantIdentity(act_quant=Int8ActPerTensorFloat, bit_width=4, return_quant_tensor=True,
            scaling_impl_type="const", scaling_init=8.0),
        qnn.QuantConv2d(
            2, 2, 3, bias=False, weight_quant=Int8A2QWeightPerChannelFloat, weight_bit_width=4,
            weight_accumulator_bit_width=10, weight_scaling_impl_type="const", weight_scaling_init=7.0,
        ),
    )  # fmt: skip
    model[1].weight.data = torch.randint(-7, 8, model[1].weight.shape).float()
    model(image)
    report = export_qonnx(model.eval(), image, tmp_path / "net.onnx")
    file = ModelWrapper(str(tmp_path / "net.onnx"))
    node = file.get_node_from_name("1")
    assert report.certificate.layers["1"].required_bit_width <= 10
    assert file.get_tensor_datatype(node.output[0]).name == "INT10"


def test_qonnx_counts_the_width(exported):
    """UPSTREAM 14: without it qonnx counts 32 bits for every output of a layer."""
    cost = inference_cost(ModelWrapper(str(exported[1])), preprocess=False, discount_sparsity=False)
    assert cost["total_cost"]["mem_o_SCALEDINT<14>"] == 4 * 6 * 6


@pytest.mark.torch28
def test_nothing_of_this_machine_is_in_the_file(small_net, image, tmp_path):
    """The dynamo exporter writes stack traces into every node."""
    export_qonnx(small_net(), image, tmp_path / "net.onnx", exporter="dynamo")
    assert b".py" not in (tmp_path / "net.onnx").read_bytes()


class Squared(torch.nn.Module):
    """A node that reads one tensor twice, between two layers."""

    def __init__(self):
        super().__init__()
        options = {"weight_quant": Int8A2QWeightPerChannelFloat, "weight_accumulator_bit_width": 14, "bias": False}
        self.first, self.second = (qnn.QuantConv2d(2, 2, 3, **options) for _ in range(2))
        self.quant, self.again = (qnn.QuantIdentity(bit_width=4, return_quant_tensor=True) for _ in range(2))

    def forward(self, x):
        x = self.first(self.quant(x))
        return self.second(self.again(x * x))


def test_a_tensor_that_is_read_twice_by_a_node_keeps_its_name(tmp_path):
    torch.manual_seed(0)
    model, image = Squared(), torch.rand(1, 2, 8, 8)
    model(image)
    report = export_qonnx(model.eval(), image, tmp_path / "net.onnx")
    assert [layer.name for layer in report.certificate.layers] == ["first", "second"]
    (product,) = (
        n for n in onnx.load(tmp_path / "net.onnx").graph.node if n.op_type == "Mul" and len(set(n.input)) == 1
    )
    assert not product.metadata_props
