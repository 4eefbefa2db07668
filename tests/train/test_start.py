"""The start of quantization-aware training, step by step and as a whole."""

from __future__ import annotations

import copy
import dataclasses

import pytest
import torch
from brevitas.nn import QuantConv2d, QuantLinear
from torch import Tensor, nn

from brevitas_a2q._trace import quantized_layers
from brevitas_a2q.convert._batch_norm import batch_norms_behind
from brevitas_a2q.errors import ConfigError, ModelError
from brevitas_a2q.models import QuantSpec, build_model
from brevitas_a2q.models._registry import MODELS
from brevitas_a2q.quant._layers import accumulator_layers
from brevitas_a2q.train._bias_correction import correct_bias_
from brevitas_a2q.train._config import RunConfig, StartConfig
from brevitas_a2q.train._equalize import equalize_
from brevitas_a2q.train._model_state import ModelState
from brevitas_a2q.train._start import StartStep, quantize_start, quantized_form

SMALL = {"resnet18": {"width": 4}, "mobilenet-v1": {"width": 8}}


class Images:
    """Training inputs of one shape."""

    def __init__(self, shape: tuple[int, ...] = (1, 8, 8)) -> None:
        self.x = torch.rand(64, *shape, generator=torch.Generator().manual_seed(0))

    def examples(self, count: int) -> Tensor:
        return self.x[:count]


def trained_like(name: str, **options: object) -> nn.Module:
    """A float network whose batch norms have channels of very different ranges, as training makes them."""
    torch.manual_seed(0)
    model = build_model(name, **options)
    for module in model.modules():
        if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
            nn.init.uniform_(module.weight, 0.02, 3)
            nn.init.normal_(module.bias)
    return model.eval()


def config(
    method: str = "projected", bits: int = 12, rules: dict[str, int] | None = None, **start: object
) -> RunConfig:
    few = {"calibrate_images": 32, "bias_correction_images": 32, **start}
    return RunConfig(quant=QuantSpec(method, 4, 4, bits), layer_rules=rules or {}, start=StartConfig(**few))


@pytest.mark.parametrize("name", MODELS)
def test_equalization_keeps_the_function_and_the_names(name: str) -> None:
    model = trained_like(name, **SMALL.get(name, {})).double()
    before, x = copy.deepcopy(model), torch.rand(2, *model.input_shape, dtype=torch.float64)
    groups = equalize_(model)
    with torch.no_grad():
        reference = before(x)
        torch.testing.assert_close(model(x), reference, rtol=1e-9, atol=1e-9 * float(reference.abs().max()))
    assert list(model.state_dict()) == list(before.state_dict())
    changed = any(not torch.equal(a, b) for a, b in zip(model.parameters(), before.parameters(), strict=True))
    assert changed == (groups > 0)


def test_equalization_evens_out_channels() -> None:
    """A channel of small gain, read by large weights, meets the others half-way."""
    model = nn.Sequential(nn.Conv2d(1, 2, 1, bias=False), nn.ReLU(), nn.Conv2d(2, 1, 1, bias=False)).eval()
    with torch.no_grad():
        model[0].weight.copy_(torch.tensor([1.0, 0.01]).reshape(2, 1, 1, 1))
        model[2].weight.copy_(torch.tensor([1.0, 100.0]).reshape(1, 2, 1, 1))
    assert equalize_(model) == 1
    assert model[0].weight.flatten().tolist() == pytest.approx([1.0, 1.0])
    assert model[2].weight.flatten().tolist() == pytest.approx([1.0, 1.0])


def test_equalization_refuses_what_it_cannot_trace() -> None:
    class Branching(nn.Sequential):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x if x.sum() > 0 else -x)

    with pytest.raises(ModelError, match=r"cannot be traced.*start it without equalization"):
        equalize_(Branching(nn.Linear(2, 2)).eval())
    with pytest.raises(ModelError, match="training mode"):
        equalize_(nn.Sequential(nn.Linear(2, 2)))


def test_batch_norms_are_found_where_they_alone_read_a_layer() -> None:
    pairs = batch_norms_behind(build_model("resnet18", width=4))
    assert pairs["features.1"] == "features.2"
    assert pairs["features.6.shortcut.0"] == "features.6.shortcut.1"
    assert len(pairs) == 20
    assert "classifier" not in pairs


@pytest.mark.parametrize("with_norm", [True, False])
@pytest.mark.parametrize("kind", ["conv", "linear"])
def test_bias_correction_takes_off_the_mean_error(kind: str, with_norm: bool) -> None:
    """The mean over these images of every channel is what it is in float: to the digit, for it is one layer."""
    torch.manual_seed(0)
    conv = kind == "conv"
    x = torch.rand(20, 3, 8, 8) if conv else torch.rand(20, 3)
    act = {"input_quant": None, "weight_bit_width": 2, "bias": not with_norm}
    norm = (nn.BatchNorm2d(8) if conv else nn.BatchNorm1d(8)) if with_norm else nn.Identity()
    float_layer = nn.Conv2d(3, 8, 3, bias=not with_norm) if conv else nn.Linear(3, 8, bias=not with_norm)
    reference = nn.Sequential(float_layer, norm).eval()
    model = nn.Sequential(QuantConv2d(3, 8, 3, **act) if conv else QuantLinear(3, 8, **act), copy.deepcopy(norm))
    model.load_state_dict(reference.state_dict(), strict=False)
    # As EP-init does: the quantized layer no longer has the float network's weights.
    model[0].weight.data += 0.1
    mean = (0, 2, 3) if conv else 0
    with torch.no_grad():
        wanted = reference(x).mean(mean)
        assert float((wanted - model.eval()(x).mean(mean)).abs().max()) > 1e-2
        assert correct_bias_(model.train(), reference, x, batch_size=8) == 1
        torch.testing.assert_close(model(x).mean(mean), wanted)
    assert (model[0].bias is None) == with_norm


def test_a_layer_without_bias_and_batch_norm_is_left_alone() -> None:
    reference = nn.Sequential(nn.Conv2d(3, 8, 3, bias=False))
    model = nn.Sequential(QuantConv2d(3, 8, 3, bias=False, weight_bit_width=2))
    assert correct_bias_(model, reference, torch.rand(4, 3, 8, 8)) == 0
    assert model[0].bias is None


def test_bias_correction_gives_a2q_plus_back_the_mean_of_its_weights() -> None:
    """Centred weights lose what the mean of the float weights made of inputs that are never negative."""
    float_model, images = trained_like("digits-cnn"), Images()
    wide = {"equalize": False, "scale": "stats"}

    def error(count: int) -> float:
        model = quantize_start(float_model, config("a2q+", 20, bias_correction_images=count, **wide), images)
        with torch.no_grad():
            return float((model(images.x) - float_model(images.x)).square().mean())

    assert error(64) < 0.5 * error(0)


@pytest.mark.parametrize("method", ["none", "projected", "a2q", "a2q+"])
def test_every_step_speaks_and_the_float_network_stays(method: str) -> None:
    float_model, steps = trained_like("digits-cnn"), list[StartStep]()
    before = copy.deepcopy(float_model.state_dict())
    model = quantize_start(float_model, config(method), Images(), steps.append)
    assert [step.name for step in steps] == [
        "equalization",
        "quantized form",
        "activation scales",
        "weight scales",
        "EP-init",
        "bias correction",
    ]
    assert all(step.message and step.seconds >= 0 and step.to_json()["name"] == step.name for step in steps)
    assert all(torch.equal(before[name], value) for name, value in float_model.state_dict().items())
    assert not model.training
    assert len(dict(accumulator_layers(model))) == (0 if method == "none" else 3)


@pytest.mark.parametrize("method", ["projected", "a2q", "a2q+"])
def test_the_start_is_closer_to_the_float_network_than_the_plainest(method: str) -> None:
    """Mean output error over the images."""
    float_model, images = trained_like("digits-cnn"), Images()

    def error(**start: object) -> float:
        with torch.no_grad():
            model = quantize_start(float_model, config(method, 11, **start), images)
            return float((model(images.x) - float_model(images.x)).square().mean())

    plain = error(equalize=False, scale="stats", ep_init=False, bias_correction_images=0)
    assert error() < plain


def test_ep_init_and_scale_are_left_out_where_not_asked_for() -> None:
    float_model, images = trained_like("digits-cnn"), Images()
    options = {"equalize": False, "bias_correction_images": 0}
    projected = quantize_start(float_model, config("a2q", 11, scale="stats", **options), images)
    kept = quantize_start(float_model, config("a2q", 11, scale="stats", ep_init=False, **options), images)
    for name, layer in accumulator_layers(kept):
        assert torch.equal(layer.weight, float_model.get_submodule(name).weight)
        assert not torch.equal(layer.weight, projected.get_submodule(name).weight)
        largest = layer.weight.abs().flatten(1).amax(1)
        torch.testing.assert_close(layer.quant_weight().scale.flatten() * 7, largest)


def test_only_what_is_asked_for_is_done() -> None:
    steps: list[StartStep] = []
    nothing = {"equalize": False, "scale": "stats", "ep_init": False, "calibrate_images": 0}
    float_model = trained_like("digits-cnn")
    model = quantize_start(float_model, config("a2q", **nothing), Images(), steps.append)
    # Bias correction needs activation scales.
    assert [step.name for step in steps] == ["quantized form", "weight scales"]
    for name in ("features.2", "features.5"):
        assert torch.equal(model.get_submodule(name).running_mean, float_model.get_submodule(name).running_mean)


def test_starts_are_the_same_bit_for_bit() -> None:
    float_model = trained_like("digits-cnn")
    one, two = (quantize_start(float_model, config("a2q+"), Images()).state_dict() for _ in range(2))
    assert list(one) == list(two)
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_rules_give_layers_their_own_width() -> None:
    asked = config(bits=14, rules={"features.*": 11, "features.8": 13})
    model = quantize_start(trained_like("digits-cnn"), asked, Images())
    widths = {name: layer.weight_quant.accumulator_bit_width for name, layer in accumulator_layers(model)}
    assert widths == {"features.4": 11, "features.8": 13, "classifier.0": 14}
    for _, layer in accumulator_layers(model):
        codes, inputs = layer.weight_quant.integer_weight(), layer.weight_quant.input_range()
        assert int(codes.clamp_min(0).sum(1).max()) * inputs.hi < 2 ** (layer.weight_quant.accumulator_bit_width - 1)


def test_rules_that_match_nothing_are_refused() -> None:
    float_model = trained_like("digits-cnn")
    with pytest.raises(ConfigError, match=r"layer_rules, 'layer9': matches no constrained layer; they are features.4"):
        quantized_form(float_model, config(rules={"layer9": 12}))
    with pytest.raises(ConfigError, match="method 'none'"):
        quantized_form(float_model, config("none", rules={"*": 12}))
    with pytest.raises(ConfigError, match="found no quant"):
        quantized_form(float_model, RunConfig(quant=None))


@pytest.mark.parametrize("method", ["none", "projected", "a2q+"])
def test_the_state_of_a_start_loads_into_a_new_quantized_form(method: str) -> None:
    float_model, images = trained_like("digits-cnn"), Images()
    asked = config(method, rules={} if method == "none" else {"features.4": 10})
    model = quantize_start(float_model, asked, images)
    again = quantized_form(build_model("digits-cnn"), asked).eval()
    again.load_state_dict(model.state_dict())
    with torch.no_grad():
        assert torch.equal(again(images.x), model(images.x))


class Residual(nn.Module):
    """A float network as torchvision makes them."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.norm, self.relu = nn.Conv2d(1, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU(inplace=True)
        self.block = nn.Sequential(nn.Conv2d(6, 6, 3, padding=1, bias=False), nn.BatchNorm2d(6))
        self.pool, self.fc = nn.AdaptiveAvgPool2d(1), nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.norm(self.stem(x)))
        return self.fc(self.pool(self.relu(self.block(x) + x)).flatten(1))


@pytest.mark.parametrize("method", ["none", "projected", "a2q+"])
def test_networks_of_torchvision_are_converted(method: str) -> None:
    torch.manual_seed(0)
    float_model, images, steps = Residual().eval(), Images(), list[StartStep]()
    rules = {} if method == "none" else {"block.0": 11}
    asked = dataclasses.replace(config(method, rules=rules), model="torchvision:resnet18")
    model = quantize_start(float_model, asked, images, steps.append)
    assert type(float_model.stem) is nn.Conv2d
    widths = {name: layer.weight_quant.accumulator_bit_width for name, layer in accumulator_layers(model)}
    assert widths == ({} if method == "none" else {"block.0": 11})
    assert {name: layer.weight_quant.quant_injector.bit_width for name, layer in quantized_layers(model)} == {
        "stem": 8,
        "block.0": 4,
        "fc": 8,
    }
    assert steps[-1].message.startswith("3 layers")
    again = quantized_form(Residual(), asked)
    ModelState.of(model).restore(again)
    with torch.no_grad():
        error = (model(images.x) - float_model(images.x)).abs().mean() / float_model(images.x).abs().mean()
        assert torch.equal(again.eval()(images.x), model(images.x))
    assert error < 0.2
