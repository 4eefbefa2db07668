"""Networks by name, in float and quantized form."""

from __future__ import annotations

import pytest
import torch

from brevitas_a2q.errors import ConfigError
from brevitas_a2q.models import MODELS, QuantSpec, build_model, load_float_weights
from brevitas_a2q.quant.layers import accumulator_layers


@pytest.mark.parametrize("method", ["none", "a2q", "a2q+", "projected"])
@pytest.mark.parametrize("name", sorted(MODELS))
def test_both_forms_share_their_weights(name: str, method: str) -> None:
    torch.manual_seed(0)
    small = {"width": 8} if name in {"mobilenet-v1", "resnet18"} else {}
    floating = build_model(name, **small)
    quantized = build_model(name, QuantSpec(method, accumulator_bit_width=16), **small)  # type: ignore[arg-type]
    load_float_weights(quantized, floating.state_dict())
    for key, value in floating.state_dict().items():
        assert torch.equal(quantized.state_dict()[key], value)
    images = torch.rand(2, *MODELS[name].input_shape)
    assert quantized(images).shape == floating(images).shape == (2, 10)


def test_hidden_layers_are_constrained_and_boundary_layers_are_not() -> None:
    model = build_model("digits-cnn", QuantSpec("projected", 4, 4, 12))
    constrained = {name: layer.weight_quant.accumulator_bit_width for name, layer in accumulator_layers(model)}
    assert constrained == {"features.4": 12, "features.8": 12, "classifier.0": 12}


def test_unknown_names_are_refused_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match="did you mean digits-cnn"):
        build_model("digit-cnn")


@pytest.mark.parametrize(
    "change", [{"method": "a2"}, {"weight_bit_width": 1}, {"accumulator_bit_width": 65}, {"activation_bit_width": 4.0}]
)
def test_settings_out_of_range_are_refused(change: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match=next(iter(change))):
        QuantSpec(**change)  # type: ignore[arg-type]


def test_weights_of_another_network_are_refused() -> None:
    state = build_model("digits-cnn").state_dict()
    state["features.1.other"] = state.pop("features.1.weight")
    with pytest.raises(ConfigError, match=r"features\.1\.other.*features\.1\.weight"):
        load_float_weights(build_model("digits-cnn", QuantSpec()), state)
