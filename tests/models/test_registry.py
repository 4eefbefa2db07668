"""Networks by name, in float and quantized form."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch

from brevitas_a2q.data._registry import DATA_SETS
from brevitas_a2q.data._tasks import TASKS
from brevitas_a2q.errors import ConfigError, DataError
from brevitas_a2q.models import QuantSpec, build_model, load_float_weights
from brevitas_a2q.models._registry import MODELS, model_entry
from brevitas_a2q.quant._layers import accumulator_layers


@pytest.mark.parametrize("method", ["none", "a2q", "a2q+", "projected"])
@pytest.mark.parametrize("name", sorted(MODELS))
def test_both_forms_share_their_weights(name: str, method: str) -> None:
    torch.manual_seed(0)
    small = {"width": 8} if "width" in MODELS[name].options else {}
    floating = build_model(name, **small)
    quantized = build_model(name, QuantSpec(method, accumulator_bit_width=16), **small)  # type: ignore[arg-type]
    load_float_weights(quantized, floating.state_dict())
    loaded = quantized.state_dict()
    for key, value in floating.state_dict().items():
        assert torch.equal(loaded[key], value)
    images = torch.rand(2, *MODELS[name].input_shape)
    assert quantized(images).shape == floating(images).shape


def test_hidden_layers_are_constrained_and_boundary_layers_are_not() -> None:
    model = build_model("digits-cnn", QuantSpec("projected", 4, 4, 12))
    constrained = {name: layer.weight_quant.accumulator_bit_width for name, layer in accumulator_layers(model)}
    assert constrained == {"features.4": 12, "features.8": 12, "classifier.0": 12}


def test_unknown_names_are_refused_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match="did you mean 'digits-cnn'"):
        build_model("digit-cnn")


@pytest.mark.parametrize(
    "change",
    [
        {"method": "a2"},
        {"weight_bit_width": 1},
        {"accumulator_bit_width": 65},
        {"activation_bit_width": 4.0},
        {"activation_bit_width": 1},
    ],
)
def test_settings_out_of_range_are_refused(change: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match=next(iter(change))):
        QuantSpec(**change)  # type: ignore[arg-type]


def test_weights_of_another_network_are_refused() -> None:
    state = build_model("digits-cnn").state_dict()
    state["features.1.other"] = state.pop("features.1.weight")
    with pytest.raises(ConfigError, match=r"features\.1\.other.*features\.1\.weight"):
        load_float_weights(build_model("digits-cnn", QuantSpec()), state)


@pytest.mark.parametrize("name", sorted(MODELS))
def test_entries_say_what_training_starts_from(name: str) -> None:
    entry = model_entry(name)
    assert entry.task in TASKS
    options = DATA_SETS[entry.data].options(**entry.data_options)
    sides = {"digits": (1, 8), "cifar10": (3, 32), "cifar10-subset": (3, getattr(options, "size", 0))}
    if entry.task == "classification":
        assert (entry.input_shape[0], entry.input_shape[1]) == sides[entry.data]
        outputs = build_model(name, **({"width": 4} if "width" in entry.options else {}), classes=7)
        assert outputs(torch.rand(2, *entry.input_shape)).shape == (2, 7)
    else:
        assert options.crop // options.factor // 4 * 4 == entry.input_shape[1] == entry.input_shape[2]
        assert "upscale_factor" in entry.options


# Parameters of the networks as they are known on CIFAR-10: 11.17 million for ResNet18 and 3.22 million for MobileNetV1
# (github.com/kuangliu/pytorch-cifar, from which most take them); ours have no bias in the last layer.
@pytest.mark.parametrize(("name", "parameters"), [("resnet18", 11_173_962), ("mobilenet-v1", 3_217_226)])
def test_benchmark_networks_have_the_known_size(name: str, parameters: int) -> None:
    classes = 10
    assert sum(p.numel() for p in build_model(name).parameters()) == parameters - classes


def test_torchvision_classifiers_are_float() -> None:
    model = build_model("torchvision:shufflenet_v2_x0_5", classes=7)
    assert model.eval()(torch.rand(1, 3, 32, 32)).shape == (1, 7)
    assert model_entry("torchvision:shufflenet_v2_x0_5").options == ("classes", "weights")
    with pytest.raises(ConfigError, match=r"torchvision:resnet18.*constrain_"):
        build_model("torchvision:resnet18", QuantSpec())
    with pytest.raises(ConfigError, match=r"found model 'torchvision:resnet19'.*did you mean 'resnet18'"):
        build_model("torchvision:resnet19")
    with pytest.raises(ConfigError, match="found weights 'NONE_SUCH'"):
        build_model("torchvision:resnet18", weights="NONE_SUCH")


def test_weights_that_cannot_be_fetched_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(*_: object, **__: object) -> None:
        raise OSError("network is unreachable")

    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", offline)
    with pytest.raises(DataError, match=r"cannot be fetched.*unreachable.*train from scratch"):
        build_model("torchvision:squeezenet1_1", weights="DEFAULT")


@pytest.mark.parametrize("name", ["squeezenet1_1", "mobilenet_v3_small"])
def test_pretrained_weights_get_a_new_last_layer(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from torchvision import models

    pretrained = models.get_model(name, weights=None)
    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", lambda *_, **__: pretrained.state_dict())
    model = build_model(f"torchvision:{name}", classes=5, weights="DEFAULT")
    assert model.eval()(torch.rand(1, 3, 64, 64)).shape == (1, 5)
    first = next(iter(pretrained.state_dict()))
    assert torch.equal(model.state_dict()[first], pretrained.state_dict()[first])


def test_the_documentation_counts_parameters_and_names_options() -> None:
    page = (Path(__file__).parents[2] / "docs" / "models_and_data.md").read_text(encoding="utf-8")
    for name, entry in MODELS.items():
        parameters = sum(p.numel() for p in build_model(name).parameters())
        options = ", ".join(f"`{option}`" for option in entry.options)
        assert f"| `{name}` | {entry.task} | {parameters:,} | {options} |" in page
    for name, kind in DATA_SETS.items():
        (row,) = (
            line for line in page.splitlines() if line.startswith(f"| `{name}` |") and "classification" not in line
        )
        for option in dataclasses.fields(kind.options):
            assert option.name == "validation" or f"`{option.name}`" in row or name == "cifar10-subset"
