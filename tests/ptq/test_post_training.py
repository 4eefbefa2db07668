"""Whole networks: what comes out is an ordinary accumulator-aware model whose bounds hold, or nothing has changed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import brevitas.nn as qnn
import pytest
import torch
from brevitas.quant import Int8WeightPerChannelFloat, Uint8ActPerTensorFloat
from torch import Tensor, nn

from brevitas_a2q import LayerRule, PostTrainingConfig, certify, export_qonnx, quantize_post_training_
from brevitas_a2q.bounds import accumulator_range, exact_range
from brevitas_a2q.errors import ConfigError, DataError, ModelError
from brevitas_a2q.ptq import _task, restore_post_training_, save_post_training
from brevitas_a2q.ptq._guarantee import guarantee
from brevitas_a2q.ptq._held_out import check_output
from brevitas_a2q.ptq._journal import Journal
from brevitas_a2q.ptq._materialize import set_solutions_
from brevitas_a2q.ptq._network import Network
from brevitas_a2q.quant._layers import accumulator_layers

# Brevitas, of inputs with a zero-point: what it says of the output does not matter to layers that return plain tensors.
pytestmark = pytest.mark.filterwarnings("ignore:Computing zero point of output accumulator:UserWarning")
QUICK = {"method": "exchange", "activation_bit_widths": (3, 4, 8), "shrinkages": (0.2,)}


class Everything(nn.Module):
    """One layer of every kind, batch norm, a residual sum, an activation that takes both signs."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.norm = nn.Conv2d(3, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8)
        self.depthwise = nn.Conv2d(8, 8, 3, padding=1, groups=8)
        self.up = nn.ConvTranspose2d(8, 8, 2, stride=2)
        self.grouped = nn.Conv2d(8, 8, 3, padding=1, groups=2)
        self.conv = nn.Conv2d(8, 8, 3, padding=1)
        self.dense, self.last = nn.Linear(8, 12), nn.Linear(12, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.max_pool2d(self.norm(self.stem(x)).relu(), 2)
        x = nn.functional.gelu(self.depthwise(x))
        x = self.up(x).relu()
        x = self.conv(self.grouped(x).relu()).relu() + x
        x = nn.functional.adaptive_avg_pool2d(x, 1).flatten(1)
        return self.last(self.dense(x).relu())


def _everything() -> tuple[nn.Module, Tensor]:
    torch.manual_seed(0)
    model = Everything()
    for _ in range(4):
        model(torch.randn(16, 3, 8, 8) * 2)
    # Of unequal strength: behind the global mean, images of equal noise differ by a two-hundredth of their level only.
    return model.eval(), torch.randn(48, 3, 8, 8) * torch.linspace(0.1, 3, 48)[:, None, None, None]


def _holds_in_integers(model: nn.Module, bits: int) -> int:
    """Channels of the hidden layers that were judged."""
    layers, channels = list(accumulator_layers(model)), 0
    for _, layer in layers[1:-1]:
        inputs = layer.weight_quant.input_range()
        for row in layer.weight_quant.integer_weight().tolist():
            reach = exact_range(sum(q for q in row if q > 0), -sum(q for q in row if q < 0), inputs)
            assert accumulator_range(bits).contains(reach)
            channels += 1
    return channels


@pytest.mark.parametrize("bits", [10, 16])
def test_every_kind_of_layer(bits: int) -> None:
    model, x = _everything()
    with torch.no_grad():
        before = model(x)
    report = quantize_post_training_(model, x, PostTrainingConfig(accumulator_bit_width=bits, **QUICK))
    assert {row.name for row in report.rows} == {name for name, _ in accumulator_layers(model)}
    assert _holds_in_integers(model, bits) == 44
    certificate = certify(model, x[:1])
    assert certificate.holds
    assert {layer.accumulator_bit_width for layer in certificate.layers} == {bits, 32}
    assert all(row.required_bit_width <= row.accumulator_bit_width for row in report.rows)
    with torch.no_grad():
        error = (model(x) - before).square().sum() / (before - before.mean(0)).square().sum()
    assert error < {10: 0.2, 16: 0.03}[bits]  # 8-bit activations alone leave a hundredth


def test_every_kind_of_layer_in_tiles() -> None:
    model, x = _everything()
    with torch.no_grad():
        before = model(x)
    quantize_post_training_(model, x, PostTrainingConfig(accumulator_bit_width=14, tile=16, **QUICK))
    assert certify(model, x[:1]).holds
    with torch.no_grad():
        error = (model(x) - before).square().sum() / (before - before.mean(0)).square().sum()
    assert error < 0.05


@pytest.mark.parametrize("tile", [None, 16])
def test_the_finished_model_gives_what_was_solved(tile: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Layer by layer in the pass, and as a whole afterwards: the same output, of every kind of layer."""
    seen: list[tuple[Tensor, Tensor]] = []

    def compared(model: nn.Module, batch: Any, expected: Tensor) -> None:
        check_output(model, batch, expected)
        with torch.no_grad():
            seen.append((model(*batch[0]), expected))

    monkeypatch.setattr(_task, "check_output", compared)
    model, x = _everything()
    quantize_post_training_(model, x, PostTrainingConfig(accumulator_bit_width=12, tile=tile, **QUICK))
    ((found, expected),) = seen
    assert torch.allclose(found, expected, atol=1e-4 * float(expected.abs().max()))


def test_a_model_that_gives_something_else_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(network: Network, solutions: Any, example: Any) -> None:
        set_solutions_(network, solutions, example)
        with torch.no_grad():
            network.layers["conv"].bias[0] += 3

    monkeypatch.setattr(_task, "set_solutions_", wrong)
    model, x = _everything()
    with torch.no_grad():
        before = model(x)
    with pytest.raises(ModelError, match="finished model's output differs"):
        quantize_post_training_(model, x, PostTrainingConfig(accumulator_bit_width=12, **QUICK))
    with torch.no_grad():
        assert torch.equal(model(x), before)


def test_the_result_is_exported(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(1, 6, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 1),
        nn.ReLU(), nn.Flatten(), nn.Linear(32, 4),
    )  # fmt: skip
    x = torch.randn(40, 1, 8, 8)
    quantize_post_training_(model, x, PostTrainingConfig(accumulator_bit_width=10, zero_point=False, **QUICK))
    report = export_qonnx(model, x[:1], tmp_path / "network.onnx")
    assert report.certificate.holds
    assert certify(tmp_path / "network.onnx").holds


def test_the_result_can_be_trained() -> None:
    model, x = _everything()
    quantize_post_training_(model, x, PostTrainingConfig(accumulator_bit_width=12, **QUICK))
    model.train()
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=1e-2)
    for _ in range(3):
        optimizer.zero_grad()
        model(x).square().mean().backward()
        optimizer.step()
    model.eval()
    assert all(layer.weight.grad is not None for _, layer in accumulator_layers(model))
    assert certify(model, x[:1]).holds


class Attention(nn.Module):
    """Linear layers around products of two activations, with a mask; ``torch.fx`` cannot trace it."""

    def __init__(self) -> None:
        super().__init__()
        self.query, self.key, self.value = (nn.Linear(8, 8) for _ in range(3))
        self.norm, self.up, self.down, self.last = nn.LayerNorm(8), nn.Linear(8, 16), nn.Linear(16, 8), nn.Linear(8, 3)

    def forward(self, x: Tensor, attention_mask: Tensor) -> Tensor:
        if float(attention_mask.sum()) < 0:
            return x
        scores = self.query(x) @ self.key(x).mT + (1 - attention_mask.float())[:, None] * -1e9
        x = self.norm(x + scores.softmax(-1) @ self.value(x))
        x = x + self.down(nn.functional.gelu(self.up(x)))
        pooled: Tensor = self.last((x * attention_mask[..., None]).sum(1))
        return pooled


def test_transformers_keep_float_islands() -> None:
    torch.manual_seed(0)
    model = Attention().eval()
    mask = (torch.rand(64, 6) < 0.7).long()
    mask[:, 0] = 1
    batches = [
        {"x": part, "attention_mask": m}
        for part, m in zip(torch.randn(64, 6, 8).split(16), mask.split(16), strict=True)
    ]
    report = quantize_post_training_(model, batches, PostTrainingConfig(accumulator_bit_width=11, **QUICK))
    assert len(report.rows) == 6
    assert _holds_in_integers(model, 11) == 8 + 8 + 16 + 8
    certificate = guarantee(model, (batches[0]["x"][:1], batches[0]["attention_mask"][:1]))
    assert certificate.holds
    assert len(certificate.layers) == 6


def _native() -> nn.Module:
    torch.manual_seed(0)
    options = {"weight_quant": Int8WeightPerChannelFloat, "bias": True}
    model = nn.Sequential(
        qnn.QuantIdentity(act_quant=Uint8ActPerTensorFloat, return_quant_tensor=True),
        qnn.QuantLinear(8, 16, **options),
        qnn.QuantReLU(act_quant=Uint8ActPerTensorFloat, bit_width=4, return_quant_tensor=True),
        qnn.QuantLinear(16, 16, **options),
        qnn.QuantReLU(act_quant=Uint8ActPerTensorFloat, bit_width=4, return_quant_tensor=True),
        qnn.QuantLinear(16, 4, **options),
    )
    for _ in range(5):
        model(torch.rand(64, 8))
    return model.eval()


def test_a_brevitas_model_keeps_its_activations() -> None:
    model, x = _native(), torch.rand(200, 8)
    scales = [float(model[i].act_quant.scale()) for i in (0, 2, 4)]
    with torch.no_grad():
        before = model(x)
    report = quantize_post_training_(model, x, {"accumulator_bit_width": 12, "method": "exchange"})
    assert [row.activation_bit_width for row in report.rows] == [8, 4, 4]
    assert [float(model[i].act_quant.scale()) for i in (0, 2, 4)] == scales
    assert _holds_in_integers(model, 12) == 16
    assert certify(model, x[:1]).holds
    with torch.no_grad():
        assert (model(x) - before).square().mean() < 0.1 * before.var()


@pytest.mark.parametrize("function", [False, True])
def test_a_relu6_stays_where_codes_reach_beyond_six(function: bool) -> None:
    """Scales that are powers of two do not stop at 6: with an ordinary ReLU the model would give something else."""

    class Clipped(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second, self.last = nn.Conv2d(3, 16, 3), nn.Conv2d(16, 16, 3, padding=1), nn.Linear(16, 5)
            self.clip = nn.functional.relu6 if function else nn.ReLU6()

        def forward(self, x: Tensor) -> Tensor:
            x = self.clip(self.first(x) * 8)
            return self.last((self.second(x).relu() + x).mean((2, 3)))

    torch.manual_seed(0)
    model, x = Clipped().eval(), torch.rand(64, 3, 12, 12)
    with torch.no_grad():
        wanted = model(x)
    quantize_post_training_(model, x, PostTrainingConfig(power_of_two=True, **QUICK), accumulator_bit_width=14)
    with torch.no_grad():
        assert (model(x) - wanted).norm() / wanted.norm() < 0.05
    assert any(isinstance(module, nn.Hardtanh) for module in model.modules())


def test_least_widths() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Linear(8, 24), nn.ReLU(), nn.Linear(24, 24), nn.ReLU(), nn.Linear(24, 24), nn.ReLU(), nn.Linear(24, 4)
    )
    data = torch.randn(400, 8)
    config = PostTrainingConfig(accumulator_bit_width="auto", tolerance=5.0, **QUICK)
    report = quantize_post_training_(model, data, config)
    assert report.agreement >= 95
    assert len(report.trials) > 1
    hidden = [row.accumulator_bit_width for row in report.rows[1:-1]]
    assert max(hidden) < 16
    assert all(row.required_bit_width <= row.accumulator_bit_width for row in report.rows)


def test_rules() -> None:
    model, x = _everything()
    rules = (LayerRule("conv", accumulator_bit_width=9, input_bit_width=3), LayerRule("grouped", skip=True))
    report = quantize_post_training_(model, x, PostTrainingConfig(accumulator_bit_width=14, rules=rules, **QUICK))
    rows = {row.name: row for row in report.rows}
    assert (rows["conv"].accumulator_bit_width, rows["conv"].activation_bit_width) == (9, 3)
    assert rows["grouped"].accumulator_bit_width == 32
    assert rows["depthwise"].accumulator_bit_width == 14


def test_the_same_again() -> None:
    weights = []
    for _ in range(2):
        model, x = _everything()
        quantize_post_training_(model, x, PostTrainingConfig(accumulator_bit_width=12, **QUICK))
        weights.append({name: layer.weight_quant.integer_weight() for name, layer in accumulator_layers(model)})
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


def test_going_on_after_an_interruption(tmp_path: Path) -> None:
    config = PostTrainingConfig(accumulator_bit_width=12, **QUICK)
    model, x = _everything()
    seen: list[str] = []

    def stop(name: str, done: int, total: int) -> None:
        seen.append(name)
        if done == 3:
            raise KeyboardInterrupt

    untouched = {key: value.clone() for key, value in model.state_dict().items()}
    with pytest.raises(KeyboardInterrupt):
        quantize_post_training_(model, x, config, on_progress=stop, journal=Journal(tmp_path))
    assert all(torch.equal(value, untouched[key]) for key, value in model.state_dict().items())
    stored = sorted(tmp_path.rglob("*.npz"))
    assert len(stored) == 3
    before = [path.stat().st_mtime_ns for path in stored]
    report = quantize_post_training_(model, x, config, journal=Journal(tmp_path))
    assert [path.stat().st_mtime_ns for path in stored] == before
    fresh, _ = _everything()
    expected = quantize_post_training_(fresh, x, config)
    assert [row.output_error for row in report.rows] == [row.output_error for row in expected.rows]


def test_saved_and_restored(tmp_path: Path) -> None:
    model, x = _everything()
    report = quantize_post_training_(model, x, PostTrainingConfig(accumulator_bit_width=12, **QUICK))
    saved = save_post_training(model, report, x, tmp_path)
    assert saved.certificate.holds
    again, _ = _everything()
    restore_post_training_(again, tmp_path)
    with torch.no_grad():
        assert torch.equal(again(x), model(x))
    with pytest.raises(DataError, match="another model"):
        restore_post_training_(nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2)), tmp_path)


class Attending(nn.Module):
    """Attention to itself, or to the network's input."""

    def __init__(self, across: bool = False, **settings: Any) -> None:
        super().__init__()
        self.across = across
        self.first, self.last = nn.Linear(8, 8), nn.Linear(8, 3)
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True, **settings)

    def forward(self, x: Tensor) -> tuple[tuple[Tensor], None]:
        h = self.first(x)
        other = x if self.across else h
        return (self.last(self.attention(h, other, other)[0]),), None


@pytest.mark.parametrize("settings", [{}, {"bias": False}, {"add_bias_kv": True}, {"add_zero_attn": True}])
def test_attention_of_every_setting(settings: dict[str, Any]) -> None:
    torch.manual_seed(0)
    model, x = Attending(**settings), torch.randn(40, 6, 8)
    report = quantize_post_training_(model, x, PostTrainingConfig(accumulator_bit_width=14, **QUICK))
    assert report.output_error < 0.05
    # The first and last that run are those of 8 bits, whatever the order in which they are defined.
    wide = {row.name for row in report.rows if row.accumulator_bit_width == 32}
    assert wide == {"first", "last"}
    assert all(row.required_bit_width <= row.accumulator_bit_width for row in report.rows)


def test_weights_that_are_computed() -> None:
    torch.manual_seed(0)
    norms = nn.utils.parametrizations
    middle = norms.weight_norm(nn.Linear(16, 16)), norms.spectral_norm(nn.Linear(16, 16))
    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), middle[0], nn.ReLU(), middle[1], nn.ReLU(), nn.Linear(16, 4))
    x = torch.randn(60, 8)
    report = quantize_post_training_(model.eval(), x, PostTrainingConfig(accumulator_bit_width=14, **QUICK))
    assert report.output_error < 0.05
    assert _holds_in_integers(model, 14) == 32


def test_networks_that_cannot_be_what_they_are_are_refused() -> None:
    """A hook that layers of Brevitas would lose, attention across, lazy weights, a mask for one size of batches."""

    def mlp() -> nn.Sequential:
        return nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 4))

    hooked = mlp()
    hooked[2].register_forward_hook(lambda module, inputs, output: output * 2)
    fixed = mlp()
    fixed.register_forward_pre_hook(lambda module, inputs: (inputs[0] + torch.ones(40, 8),))
    lazy = nn.Sequential(nn.LazyLinear(8), nn.ReLU(), nn.Linear(8, 3))
    cases = [
        (hooked, torch.randn(40, 8), "compute something else"),
        (fixed, torch.randn(40, 8), "does not run on the calibration data"),
        (Attending(across=True), torch.randn(40, 6, 8), "layer attention: found attention from one tensor to another"),
        (lazy, torch.randn(40, 8), "parameter 0.weight: has no values yet"),
    ]
    for model, x, message in cases:
        kinds = [type(module) for module in model.modules()]
        with pytest.raises(ModelError, match=message):
            quantize_post_training_(model.eval(), x, PostTrainingConfig(accumulator_bit_width=14, **QUICK))
        assert [type(module) for module in model.modules()] == kinds


def test_one_bit_activations_have_no_sign() -> None:
    config = {"accumulator_bit_width": 8, "activation_bit_widths": (1,), "zero_point": False}
    model = nn.Sequential(nn.Linear(4, 8), nn.GELU(), nn.Linear(8, 8), nn.GELU(), nn.Linear(8, 2))
    with pytest.raises(ConfigError, match="layer 2: found activations of 1 bit only"):
        quantize_post_training_(model, torch.randn(40, 4), config)
