"""One-call conversion of Brevitas and float models."""

from __future__ import annotations

from typing import Any

import brevitas.nn as qnn
import numpy as np
import pytest
import torch
import torchvision
from brevitas.quant import (
    Int8ActPerTensorFloat,
    Int8WeightPerChannelFloat,
    Int8WeightPerTensorFixedPoint,
    ShiftedUint8WeightPerTensorFloat,
)
from brevitas.quant.binary import SignedBinaryActPerTensorConst, SignedBinaryWeightPerTensorConst
from torch import nn

from brevitas_a2q._config import A2QConfig, LayerRule
from brevitas_a2q.convert import constrain_
from brevitas_a2q.errors import A2QError, ConfigError, ModelError
from brevitas_a2q.quant._accumulator_aware import accumulator_aware
from brevitas_a2q.quant._layers import accumulator_layers
from brevitas_a2q.quant._quantizers import Int8A2QWeightPerChannelFloat
from brevitas_a2q.verify import certify


def brevitas_model(weight_quant: Any = Int8WeightPerChannelFloat, **settings: Any) -> nn.Sequential:
    def act() -> Any:
        return qnn.QuantReLU(bit_width=4, return_quant_tensor=True)

    layers = [qnn.QuantIdentity(return_quant_tensor=True)]
    for size in (3, 6, 6, 6):
        layers += [qnn.QuantConv2d(size, 6, 3, weight_quant=weight_quant, weight_bit_width=5, **settings), act()]
    return nn.Sequential(*layers)


def sums(model: nn.Module) -> None:
    """Every constrained layer holds its accumulator for the range it knows."""
    for _, layer in accumulator_layers(model):
        proxy = layer.weight_quant
        codes, inputs, top = proxy.integer_weight(), proxy.input_range(), 2 ** (proxy.accumulator_bit_width - 1)
        plus, minus = codes.clamp_min(0).sum(1), (-codes.clamp_max(0)).sum(1)
        assert int((plus * inputs.hi - minus * inputs.lo).max()) < top
        assert int((minus * inputs.hi - plus * inputs.lo).max()) <= top


def test_brevitas_model_keeps_widths_weights_and_scale() -> None:
    torch.manual_seed(0)
    model = brevitas_model(weight_scaling_impl_type="parameter_from_stats")
    x = torch.randn(2, 3, 12, 12)
    model(x)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    report = constrain_(model, A2QConfig(accumulator_bit_width=11))
    assert [row.name for row in report.constrained] == ["3", "5"]
    assert {row.skipped_because for row in report.skipped} == {"first or last layer"}
    after = model.state_dict()
    assert all(torch.equal(after[name], value) for name, value in before.items())
    model(x).value.sum().backward()
    sums(model)
    assert {row.weight_bit_width for row in report.rows} == {5}


def test_wide_accumulators_change_nothing() -> None:
    """Where the budget does not bind, the projection is plain rounding: outputs are what they were."""
    torch.manual_seed(0)
    for quantizer in (Int8WeightPerChannelFloat, Int8WeightPerTensorFixedPoint):
        model, x = brevitas_model(quantizer).eval(), torch.randn(2, 3, 12, 12)
        before = model(x).value
        constrain_(model, A2QConfig(accumulator_bit_width=32, skip_first_and_last=False))
        assert torch.equal(model(x).value, before)


def test_rules_choose_method_width_and_exemptions() -> None:
    model = brevitas_model()
    config = A2QConfig(
        accumulator_bit_width=16,
        rules=(
            LayerRule("1", skip=False, accumulator_bit_width=20),
            LayerRule("3", method="a2q", weight_bit_width=4),
            LayerRule("5", skip=True),
        ),
    )
    rows = {row.name: row for row in constrain_(model, config, torch.randn(1, 3, 12, 12)).rows}
    assert (rows["1"].accumulator_bit_width, rows["1"].method) == (20, "projected")
    assert (rows["3"].method, rows["3"].weight_bit_width, rows["3"].input_bit_width) == ("a2q", 4, 4)
    assert rows["3"].budget == (2**15 - 1) // 15
    assert rows["5"].skipped_because == "a rule says so"
    assert rows["7"].skipped_because == "first or last layer"


def test_a_rule_for_no_layer_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"rule 'layer9.*': matches no layer; layers are 1, 3"):
        constrain_(brevitas_model(), A2QConfig(rules=(LayerRule("layer9.*", skip=True),)))


@pytest.mark.parametrize("config", [12, "config.yaml", {"accumulator_bit_width": 12}])
def test_what_is_no_configuration_is_refused(config: Any) -> None:
    with pytest.raises(ConfigError, match=r"expected an A2QConfig; pass A2QConfig\(accumulator_bit_width"):
        constrain_(brevitas_model(), config)


def test_binary_network() -> None:
    def act() -> Any:
        return qnn.QuantIdentity(act_quant=SignedBinaryActPerTensorConst, return_quant_tensor=True)

    model = nn.Sequential(
        act(),
        qnn.QuantConv2d(3, 6, 3, weight_quant=SignedBinaryWeightPerTensorConst),
        act(),
        qnn.QuantConv2d(6, 6, 3, weight_quant=Int8WeightPerChannelFloat),
        act(),
        qnn.QuantConv2d(6, 6, 3, weight_quant=SignedBinaryWeightPerTensorConst),
    )
    report = constrain_(model, A2QConfig(accumulator_bit_width=7), torch.randn(2, 3, 12, 12))
    rows = {row.name: row for row in report.rows}
    assert (rows["3"].input_bit_width, rows["3"].input_signed, rows["3"].budget) == (1, True, 63)
    assert [rows[name].weight_bit_width for name in ("1", "3", "5")] == [1, 8, 1]
    sums(model)


def test_converting_twice_changes_the_target() -> None:
    model, x = brevitas_model(), torch.randn(2, 3, 12, 12)
    constrain_(model, A2QConfig(accumulator_bit_width=16), x)
    report = constrain_(model, A2QConfig(accumulator_bit_width=10, method="a2q+"))
    assert {(row.accumulator_bit_width, row.method) for row in report.constrained} == {(10, "a2q+")}
    sums(model)


@pytest.mark.parametrize(
    ("quantizer", "reason"),
    [
        (SignedBinaryWeightPerTensorConst, "binary weights are all of one size"),
        (ShiftedUint8WeightPerTensorFloat, "is asymmetric"),
        (None, "its weights are not quantized"),
    ],
)
def test_other_quantizers_are_skipped_with_the_reason(quantizer: Any, reason: str) -> None:
    settings = {} if quantizer is SignedBinaryWeightPerTensorConst else {"weight_bit_width": 5}
    middle = qnn.QuantLinear(4, 4, weight_quant=quantizer, **(settings if quantizer else {}))
    model = nn.Sequential(
        qnn.QuantLinear(4, 4, input_quant=Int8ActPerTensorFloat), middle, qnn.QuantLinear(4, 4, bias=False)
    )
    kind = type(middle.weight_quant)
    row = constrain_(model).rows[1]
    assert reason in (row.skipped_because or "")
    assert type(middle.weight_quant) is kind


def test_layers_fed_plain_tensors_are_skipped_when_inputs_are_given() -> None:
    model = nn.Sequential(qnn.QuantLinear(4, 4), qnn.QuantLinear(4, 4), qnn.QuantLinear(4, 4))
    x = torch.randn(2, 4)
    report = constrain_(model, A2QConfig(), x)
    assert "input is not quantized" in (report.rows[1].skipped_because or "")
    model(x)
    told = constrain_(model, A2QConfig(rules=(LayerRule("1", input_bit_width=4, input_signed=False),)), x)
    assert (told.rows[1].skipped_because, told.rows[1].input_bit_width) == (None, 4)


def test_recurrent_layers_are_reported() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.LSTM(4, 4))
    rows = constrain_(model, A2QConfig(skip_first_and_last=False)).rows
    assert [(row.name, row.skipped_because) for row in rows] == [("0", None), ("1", "LSTM is not quantized")]


@pytest.mark.parametrize("model", [nn.ReLU(), nn.Sequential(nn.Flatten())])
def test_models_without_layers_are_refused(model: nn.Module) -> None:
    with pytest.raises(ModelError, match="found no layer with weights"):
        constrain_(model)


def test_a_bare_layer_is_refused() -> None:
    with pytest.raises(ModelError, match=r"wrap it in nn.Sequential"):
        constrain_(nn.Linear(2, 2), A2QConfig(skip_first_and_last=False))


class Residual(nn.Module):
    """Signed and unsigned inputs, a method call, a function, and an attention layer."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.left = nn.Conv2d(8, 8, 1)
        self.right = nn.ConvTranspose2d(8, 8, 1)
        self.attention = nn.MultiheadAttention(8, 2)
        self.head = nn.Linear(8, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.stem(x))
        x = self.left(x) + self.right(x)
        tokens = x.mean(3).permute(2, 0, 1)
        tokens = self.attention(tokens, tokens, tokens)[0]
        return self.head(tokens.mean(0))


def test_float_model_is_quantized_in_place() -> None:
    torch.manual_seed(0)
    model, x = Residual(), torch.randn(2, 3, 6, 6)
    report = constrain_(model, A2QConfig(accumulator_bit_width=13, weight_bit_width=4, activation_bit_width=4), x)
    rows = {row.name: row for row in report.rows}
    assert isinstance(model, Residual)
    assert [name for name, row in rows.items() if row.skipped_because is None] == [
        "left",
        "right",
        "attention.in_proj",
        "attention.out_proj",
    ]
    assert (rows["left"].input_bit_width, rows["left"].input_signed) == (4, False)
    assert rows["attention.in_proj"].input_signed is True
    assert (rows["head"].weight_bit_width, rows["head"].input_bit_width) == (8, 8)
    model(x).sum().backward()
    sums(model)
    model.eval()(x)
    sums(model)


def test_untraceable_models_get_signed_inputs() -> None:
    class Branching(nn.Sequential):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return super().forward(x if x.sum() > 0 else -x)

    model = Branching(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4))
    row = constrain_(model).constrained[0]
    assert row.input_signed is True


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v2"])
def test_torchvision(name: str) -> None:
    model = getattr(torchvision.models, name)(num_classes=10)
    report = constrain_(model, A2QConfig(accumulator_bit_width=14, weight_bit_width=4, activation_bit_width=4))
    assert [row.name for row in report.skipped] == [report.rows[0].name, report.rows[-1].name]
    assert {row.kind for row in report.constrained} == {"QuantConv2d"}
    unsigned = sum(row.input_signed is False for row in report.constrained)
    assert unsigned == {"resnet18": 19, "mobilenet_v2": 34}[name]
    assert "first or last layer" in str(report)


def test_quantizers_that_are_accumulator_aware_already() -> None:
    model = brevitas_model(Int8A2QWeightPerChannelFloat, weight_accumulator_bit_width=20)
    report = constrain_(model, A2QConfig(accumulator_bit_width=12, skip_first_and_last=False))
    assert {(row.accumulator_bit_width, row.method) for row in report.rows} == {(12, "projected")}
    own = accumulator_aware(Int8WeightPerChannelFloat, "a2q", 9)
    assert constrain_(brevitas_model(own), A2QConfig(method="a2q")).constrained[0].accumulator_bit_width == 16


EXAMPLES: dict[str, tuple[Any, str]] = {
    "none": (torch.rand(0, 8), "found no data"),
    "no numbers": (torch.full((4, 8), float("nan")), "infinite or no numbers"),
    "another shape": (torch.rand(4, 9), "does not run on the example inputs"),
    "text": ("images.npz", "found str"),
    "a mapping": ({"x": torch.rand(4, 8)}, "found dict"),
}


@pytest.mark.parametrize("case", EXAMPLES)
def test_examples_that_are_none_change_nothing(case: str) -> None:
    given, said = EXAMPLES[case]
    model = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 4))
    with pytest.raises(A2QError, match=said):
        constrain_(model, example_inputs=given)
    assert [type(part) for part in model] == [nn.Linear, nn.ReLU, nn.Linear]


def test_examples_may_be_an_array() -> None:
    model = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 4))
    assert not constrain_(model, example_inputs=np.random.default_rng(0).random((32, 8))).without_data


def test_an_encoder_of_torch() -> None:
    layer = nn.TransformerEncoderLayer(16, 4, 32, batch_first=True, dropout=0.0)
    model = nn.Sequential(nn.Linear(8, 16), layer, nn.Flatten(1), nn.Linear(80, 4)).eval()
    x = torch.rand(16, 5, 8)
    before = model(x)
    report = constrain_(model, A2QConfig(accumulator_bit_width=20, skip_first_and_last=False), x)
    assert len(report.constrained) == 6
    assert certify(model, x[:1]).holds
    assert (model(x) - before).norm() < 0.05 * before.norm()
