"""Float models with sums, concatenations and averages, from conversion to the estimate."""

from __future__ import annotations

import copy
import operator
from pathlib import Path
from typing import Any

import float_networks as networks
import pytest
import torch
import torch.nn.functional as F
from brevitas.graph.calibrate import quantization_status_manager
from brevitas.quant_tensor import IntQuantTensor
from torch import Tensor, nn

from brevitas_a2q import certify, export_qonnx, hw
from brevitas_a2q._config import A2QConfig, LayerRule
from brevitas_a2q.convert import constrain_
from brevitas_a2q.convert._tracing import trace
from brevitas_a2q.convert._values import dataflow
from brevitas_a2q.errors import ExportError
from brevitas_a2q.quant._calibrate import calibrate

W8A8 = A2QConfig(accumulator_bit_width=18, weight_bit_width=8, activation_bit_width=8)


def images(count: int = 8, seed: int = 0) -> Tensor:
    return torch.rand(count, *networks.SHAPE, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("name", networks.NETWORKS)
def test_from_float_to_estimate(name: str, tmp_path: Path) -> None:
    model, x = networks.network(name), images()
    with torch.no_grad():
        wanted = model(x)
    report = constrain_(model, W8A8, x)
    calibrate(model, x)
    with torch.no_grad():
        error = (model(x) - wanted).abs().mean() / wanted.abs().mean()
    assert error < 0.1
    assert certify(model, x).holds
    exported = export_qonnx(model, x[:1], tmp_path / "model.onnx")
    assert exported.certificate.targets == len(report.constrained)
    assert exported.round_trip.layers_driven == len(report.rows)
    assert hw.estimate(tmp_path / "model.onnx").total.lut > 0


def values(model: nn.Module) -> dict[str, tuple[list[str], bool, list[str], list[tuple[str, int]]]]:
    """Origins, sign, layers and mixed sums of every value, by its first origin."""
    graph = trace(model)
    assert graph is not None
    flow = dataflow(graph, dict(model.named_modules()), (nn.Conv2d, nn.Linear))
    return {
        value.origins[0].name: (
            [node.name for node in value.origins],
            value.unsigned,
            value.layers,
            [(node.name, index) for node, index in value.sums],
        )
        for value in flow.values
    }


def test_operands_of_a_residual_sum_share_a_quantizer() -> None:
    found = values(networks.MiniResNet())
    # The identity is never negative: a quantizer of its own without a sign, and the sum's on top.
    assert found["relu"] == (["relu"], True, ["layer1.0.conv1"], [])
    assert found["layer1_0_bn2"] == (["layer1_0_bn2"], False, [], [("add", 1)])
    # A convolution in the shortcut: both operands have a sign, and share.
    both = ["layer2_0_bn2", "layer2_0_downsample_1"]
    assert found["layer2_0_bn2"] == (both, False, [], [])
    # What goes into an average is integer, and so is what comes out.
    assert found["layer2_0_relu_1"] == (["layer2_0_relu_1"], True, [], [])
    assert found["avgpool"] == (["avgpool"], False, ["fc"], [])
    assert found["x"][1:3] == (False, ["conv1"])


def test_sums_in_a_row_have_a_quantizer_each() -> None:
    found = values(networks.mini_mobilenet())
    pairs = [sorted(origins) for origins, unsigned, _, sums in found.values() if len(origins) == 2 and not sums]
    assert pairs == [["features_2_conv_3", "features_3_conv_3"], ["add", "features_4_conv_3"]]


class Attention(nn.Module):
    """Scores plus a mask, a sum that a norm reads, and one that a layer reads."""

    def __init__(self) -> None:
        super().__init__()
        self.query, self.key, self.value, self.out, self.up = (nn.Linear(8, 8) for _ in range(5))
        self.norm = nn.LayerNorm(8)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        scores = self.query(x) @ self.key(x).transpose(-1, -2) + (1 - mask)[:, None] * -1e9
        x = self.norm((x + scores.softmax(-1) @ self.value(x)).transpose(0, 1)).transpose(0, 1)
        return self.up(x + self.out(x))


def test_sums_that_only_real_arithmetic_reads_stay_real() -> None:
    """A mask of -1e9 on the scores' scale would leave none of them; so would an outlier that only a norm reads."""
    torch.manual_seed(0)
    model = Attention().eval()
    graph = trace(model)
    assert graph is not None
    flow = dataflow(graph, dict(model.named_modules()), (nn.Linear,))
    assert [node.name for node in flow.sums] == ["add_2"]
    assert {node.name for node in flow.real} == {"add", "add_1"}
    assert flow.values[0].origins[0].name == "x"
    assert flow.values[0].only_layers  # the sum behind the attention reads past the quantizer
    x, mask = torch.randn(32, 5, 8), (torch.rand(32, 5) > 0.3).float()
    mask[:, 0] = 1
    with torch.no_grad():
        wanted = model(x, mask)
        constrain_(model, W8A8, (x, mask))
        assert (model(x, mask) - wanted).abs().mean() / wanted.abs().mean() < 0.05


def test_what_is_concatenated_shares_a_quantizer() -> None:
    found = values(networks.MiniSqueezeNet())
    origins, unsigned, layers, _ = found["features_3_expand1x1_activation"]
    assert (origins, unsigned) == (["features_3_expand1x1_activation", "features_3_expand3x3_activation"], True)
    assert layers == ["features.4.squeeze"]


def test_scales_at_a_sum_are_equal_and_the_identity_keeps_all_its_levels() -> None:
    model, x = networks.network("resnet"), images()
    constrain_(model, W8A8, x)
    calibrate(model, x)
    seen: dict[str, Any] = {}
    for name in ("relu", "layer1_0_bn2"):
        model.value_quantizers[name].register_forward_hook(
            lambda m, i, o, name=name: seen.setdefault(name, []).append(o)
        )
    with torch.no_grad():
        model(x)
    branch, identity = seen["layer1_0_bn2"][-2:]  # a model with new hooks is run once more, traced
    assert torch.equal(branch.scale, identity.scale)
    assert branch.signed
    assert not seen["relu"][0].signed
    assert int(seen["relu"][0].value.div(seen["relu"][0].scale).max().round()) > 127


class Zoo(nn.Module):
    """Operations between layers that move integers, compute on them, or ask for their shape."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(2, 8, 1)
        self.third, self.last = nn.Conv2d(16, 4, 1), nn.Linear(16, 5)
        self.gate = nn.Parameter(torch.full((1, 4, 1, 1), 0.5))
        self.attention = nn.MultiheadAttention(4, 2)

    def forward(self, x: Tensor, scale: float = 1.0) -> Tensor:
        a = F.relu(self.first(x))
        b = self.second(F.pixel_shuffle(a, 2)) * torch.sigmoid(a.mean((2, 3), keepdim=True))[:, :1]
        a = F.interpolate(a, scale_factor=2, mode="nearest")
        c = self.third(torch.cat([a, operator.iadd(b, a)], dim=1) + 0.25)
        c = c * self.gate + c.add(c) * scale
        c = F.adaptive_avg_pool2d(c.permute(0, 1, 3, 2).contiguous(), 2)
        tokens = c.flatten(2).permute(2, 0, 1)
        tokens = tokens + self.attention(tokens, tokens, tokens)[0]
        return self.last(tokens.permute(1, 2, 0).reshape(x.size(0), -1).view(c.shape[0], 16))


def test_the_function_stays_whatever_lies_between_the_layers() -> None:
    """With its quantizers switched off, the converted model computes what the float model did."""
    torch.manual_seed(0)
    model, x = Zoo().eval(), images()
    reference = copy.deepcopy(model)
    constrain_(model, W8A8, x)
    model.train()(x).sum().backward()
    assert all(parameter.grad is not None for name, parameter in model.named_parameters() if name.endswith("weight"))
    model.eval()
    with torch.no_grad(), quantization_status_manager(model, disable_act_quant=True, disable_weight_quant=True):
        torch.testing.assert_close(model(x), reference(x))
        torch.testing.assert_close(model(x, scale=3.0), reference(x, scale=3.0))


def test_the_model_stays_what_it_was() -> None:
    model, x = networks.network("resnet"), images()
    names = list(model.state_dict())
    constrain_(model, W8A8, x)
    calibrate(model, x)
    assert isinstance(model, networks.MiniResNet)
    assert type(model).__name__ == "MiniResNet"
    assert set(names) <= set(model.state_dict())
    twin = copy.deepcopy(model)
    again = networks.network("resnet")
    constrain_(again, W8A8)
    again.load_state_dict(model.state_dict())
    with torch.no_grad():
        wanted = model.eval()(x)
        assert type(wanted) is Tensor
        assert torch.equal(twin.eval()(x), wanted)
        assert torch.equal(again.eval()(x), wanted)


def test_training_mode_sums_and_concatenates_before_scales_have_settled() -> None:
    for name in ("resnet", "squeezenet"):
        model = networks.network(name)
        constrain_(model, W8A8)
        model.train()
        for step in range(3):
            model(images(seed=step)).sum().backward()


def test_a_layer_that_asks_for_less_quantizes_again() -> None:
    model, x = networks.network("resnet"), images()
    config = A2QConfig(
        accumulator_bit_width=18, weight_bit_width=8, rules=(LayerRule("layer2.0.conv1", input_bit_width=3),)
    )
    rows = {row.name: row for row in constrain_(model, config, x).rows}
    assert (rows["layer2.0.conv1"].input_bit_width, rows["layer2.0.downsample.0"].input_bit_width) == (3, 8)
    assert model.layer2[0].conv1.input_quant.is_quant_enabled
    assert certify(model, x).layers["layer2.0.conv1"].input_range.bit_width == 3


def test_a_layer_called_on_two_values_has_one_type_of_input() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.shared, self.last = nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 4)

        def forward(self, x: Tensor) -> Tensor:
            x = self.first(x)
            return self.last(self.shared(torch.relu(x)) + self.shared(x))

    model, x = Twice(), torch.randn(6, 4)
    rows = {row.name: row for row in constrain_(model, W8A8, x).rows}
    assert rows["shared"].input_signed is True
    assert certify(model, x).holds


def test_values_are_integers_of_brevitas_where_layers_read_them() -> None:
    model, x = networks.network("mobilenet"), images()
    constrain_(model, W8A8, x)
    kinds = set()
    for module in model.modules():
        if hasattr(module, "weight_quant"):
            module.register_forward_pre_hook(lambda m, inputs: kinds.add(type(inputs[0])))
    model(x)
    assert kinds == {IntQuantTensor}


def test_an_operation_that_no_file_can_hold_is_named(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """VGG on images so small that a maximum pool would have to enlarge them."""
    model, x = networks.network("vgg"), images()
    model.avgpool, model.classifier[0] = nn.AdaptiveMaxPool2d(3), nn.Linear(72, 8)
    constrain_(model, W8A8, x)
    model.eval()(x)
    with pytest.raises(ExportError, match=r"^layer avgpool: .* adaptive_max_pool2d"):
        export_qonnx(model, x[:1], tmp_path / "model.onnx")
    assert capfd.readouterr().out == ""
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", [nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d])
@pytest.mark.parametrize("groups", [2, 4])
def test_transposed_convolutions_in_groups_may_be_the_first_and_the_last(kind: Any, groups: int) -> None:
    model = nn.Sequential(
        kind(4, 4, 3, groups=groups), nn.ReLU(), kind(4, 4, 3), nn.ReLU(), kind(4, 8, 3, groups=groups)
    )
    x = torch.rand(2, 4, *(3,) * (model[0].weight.dim() - 2))
    constrain_(model, W8A8, x)
    calibrate(model, x)
    certificate = certify(model, x)
    assert (certificate.holds, certificate.targets, certificate.uncovered) == (True, 1, ())
