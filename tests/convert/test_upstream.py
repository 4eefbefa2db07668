"""Brevitas' own A2Q and A2Q+ quantizers: taken over with all that they have learned."""

from __future__ import annotations

from typing import Any

import brevitas.nn as qnn
import pytest
import torch
from brevitas.quant import (
    Int8AccumulatorAwareWeightQuant,
    Int8AccumulatorAwareZeroCenterWeightQuant,
    Int8WeightPerChannelFloat,
    Uint8ActPerTensorFloat,
)
from torch import nn

from brevitas_a2q import A2QConfig, accumulator_aware, certify, constrain_, export_qonnx

UPSTREAM = {"a2q": Int8AccumulatorAwareWeightQuant, "a2q+": Int8AccumulatorAwareZeroCenterWeightQuant}


def _trained(method: str, bits: int = 13) -> nn.Sequential:
    """A network of Brevitas' quantizers after a few steps, its two scales apart (as they drift upstream)."""
    torch.manual_seed(0)

    def conv(*shape: int, **settings: Any) -> nn.Module:
        return qnn.QuantConv2d(
            *shape,
            input_quant=Uint8ActPerTensorFloat,
            input_bit_width=4,
            weight_quant=UPSTREAM[method],
            weight_bit_width=4,
            weight_accumulator_bit_width=bits,
            **settings,
        )

    model = nn.Sequential(conv(3, 8, 3), nn.ReLU(), conv(8, 8, 3), nn.ReLU(), conv(8, 6, 3), nn.ReLU(), conv(6, 4, 1))
    optimizer = torch.optim.Adam(model.parameters(), 0.02)
    for _ in range(8):
        optimizer.zero_grad()
        model(torch.rand(2, 3, 10, 10)).square().mean().neg().backward()
        optimizer.step()
    return model.eval()


def _codes(layer: Any, x: torch.Tensor) -> torch.Tensor:
    weight = layer.weight_quant(layer.weight, layer.input_quant(x))
    return (weight.value / weight.scale).round()


@pytest.mark.parametrize("bits", [13, 10])
@pytest.mark.parametrize("to", ["same", "projected"])
@pytest.mark.parametrize("method", UPSTREAM)
def test_the_integers_stay(method: str, to: str, bits: int) -> None:
    model, x = _trained(method, bits), torch.rand(2, 3, 10, 10)
    inputs = {2: torch.rand(1, 8, 8, 8), 4: torch.rand(1, 8, 6, 6)}
    before = {index: _codes(model[index], inputs[index]) for index in inputs}
    scales = {index: model[index].weight_quant.tensor_quant.scaling_impl for index in inputs}
    drift = {
        index: (impl(model[index].weight, torch.tensor(1.0)) /
                model[index].weight_quant.tensor_quant.pre_scaling_impl.scaling_impl(
                    model[index].weight, torch.tensor(1.0))).log().abs().max()
        for index, impl in scales.items()
    }  # fmt: skip
    assert max(drift.values()) > 0.01  # they are two parameters upstream
    expected = model(x)
    report = constrain_(model, A2QConfig(accumulator_bit_width=bits, method=method if to == "same" else to), x)
    assert [row.name for row in report.constrained] == ["2", "4"]
    assert all(row.weight_bit_width == 4 and row.accumulator_bit_width == bits for row in report.constrained)
    for index, codes in before.items():
        assert codes.abs().sum() > 0
        found = _codes(model[index], inputs[index])
        # Upstream centres in float32, and ours exactly: a weight at the edge between two codes may fall to either side.
        assert (found != codes).float().mean() <= (0.005 if method == "a2q+" and to == "same" else 0)
    if method == "a2q" or to == "projected":
        torch.testing.assert_close(model(x), expected)
    assert certify(model, x).holds


def test_one_line_migrates_a_quantizer() -> None:
    base = Int8AccumulatorAwareWeightQuant.let(bit_width=5, accumulator_bit_width=14)
    for method in ("projected", "a2q", "a2q+"):
        layer = qnn.QuantLinear(
            16, 4, bias=True, weight_quant=accumulator_aware(base, method), input_quant=Uint8ActPerTensorFloat
        )
        proxy = layer.weight_quant
        assert (proxy.method, proxy.accumulator_bit_width) == (method, 14)
        assert int(proxy.quant_injector.bit_width) == 5
        layer(torch.rand(2, 16)).sum().backward()
        assert certify(nn.Sequential(layer), torch.rand(1, 16)).holds


# Every network of Brevitas' super-resolution example that has a published checkpoint.
PUBLISHED = {
    "float_espcn_x2": ("a2q", 16),
    "quant_espcn_x2_w8a8_base": ("a2q", 16),
    "quant_espcn_x2_w8a8_a2q_32b": ("a2q", 32),
    "quant_espcn_x2_w8a8_a2q_16b": ("a2q", 16),
    "quant_espcn_x2_w8a8_a2q_plus_16b": ("a2q+", 16),
    "quant_espcn_x2_w4a4_base": ("a2q", 13),
    "quant_espcn_x2_w4a4_a2q_32b": ("a2q", 32),
    "quant_espcn_x2_w4a4_a2q_13b": ("a2q", 13),
    "quant_espcn_x2_w4a4_a2q_plus_13b": ("a2q+", 13),
}


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("name", PUBLISHED)
def test_checkpoints_of_brevitas_networks(name: str, tmp_path: Any) -> None:
    """State dicts under the names and shapes of the published ones; the files themselves are not here."""
    models = pytest.importorskip("brevitas_examples.super_resolution.models")
    method, bits = PUBLISHED[name]
    x = torch.rand(1, 3, 12, 12)
    published = models.model_impl[name]()
    published(x)
    torch.save(published.state_dict(), tmp_path / "published.pth")
    model = models.model_impl[name]().eval()
    model.load_state_dict(torch.load(tmp_path / "published.pth", weights_only=True))
    report = constrain_(model, A2QConfig(accumulator_bit_width=bits, method=method), x)
    assert [row.name for row in report.constrained] == ["conv2", "conv3"]
    certificate = certify(model, x)
    assert certificate.holds
    assert {layer.name for layer in certificate.layers} == {"conv1", "conv2", "conv3", "conv4"}
    if "a2q_plus" in name:
        export_qonnx(model, x, tmp_path / "network.onnx")
        assert certify(tmp_path / "network.onnx").holds


@pytest.mark.filterwarnings("ignore")  # Brevitas' examples, of themselves
def test_a_checkpoint_of_the_papers_resnet() -> None:
    """One of the ten published A2Q ResNet18s, which differ in method and P: its integers stay what they were."""
    models = pytest.importorskip("brevitas_examples.imagenet_classification.a2q.utils")
    name, x = "quant_resnet18_w4a4_a2q_plus_12b", torch.rand(2, 3, 32, 32)
    published = models.get_model_by_name(name)
    published(x)
    model = models.get_model_by_name(name).eval()
    model.load_state_dict(published.state_dict())
    expected = model(x)
    report = constrain_(model, A2QConfig(accumulator_bit_width=12, method="a2q+"), x)
    assert len(report.constrained) == 19
    assert torch.equal(model(x), expected)
    certificate = certify(model, x[:1])
    assert certificate.holds
    assert certificate.targets == 19
    assert [str(layer).partition(":")[0] for layer in certificate.uncovered] == ["conv1"]


def _network(quantizer: Any) -> nn.Module:
    return nn.Sequential(
        qnn.QuantLinear(8, 8, input_quant=Uint8ActPerTensorFloat, weight_quant=quantizer),
        nn.ReLU(),
        qnn.QuantLinear(8, 4, input_quant=Uint8ActPerTensorFloat, weight_quant=quantizer),
    )


def test_a_plain_checkpoint_loads() -> None:
    """Parameters of a quantizer keep their names when it is made accumulator-aware."""
    plain = _network(Int8WeightPerChannelFloat)
    plain(torch.rand(4, 8))
    aware = _network(accumulator_aware(Int8WeightPerChannelFloat, accumulator_bit_width=24))
    aware.load_state_dict(plain.state_dict())
    x = torch.rand(4, 8)
    torch.testing.assert_close(aware.eval()(x), plain.eval()(x))
    assert certify(aware, x).holds


@pytest.mark.parametrize("name", ["TFC_2W2A", "CNV_2W2A", "TFC_1W2A"])
def test_networks_as_people_write_them(name: str) -> None:
    """Activations hand out plain tensors there (``return_quant_tensor=False``): a trace tells what they hold."""
    models = pytest.importorskip("brevitas_examples.bnn_pynq.models")
    torch.manual_seed(0)
    model, _ = models.model_with_cfg(name, pretrained=False)
    x = torch.rand(2, 3, 32, 32) if "CNV" in name else torch.rand(2, 1, 28, 28)
    report = constrain_(model.eval(), A2QConfig(accumulator_bit_width=8), x)
    hidden = report.rows[1:-1]
    if "1W" in name:
        assert all("binary weights" in str(row.skipped_because) for row in hidden)
        return
    assert all(row.method == "projected" and (row.input_bit_width, row.input_signed) == (2, True) for row in hidden)
    certificate = certify(model, x)
    assert certificate.holds
    assert certificate.targets == len(hidden)
