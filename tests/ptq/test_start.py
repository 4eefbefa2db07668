"""Weights that training may start from."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from brevitas_a2q.bounds import accumulator_range, exact_range
from brevitas_a2q.models import QuantSpec, build_model
from brevitas_a2q.models._spec import Method
from brevitas_a2q.ptq._start import solve_weights_
from brevitas_a2q.quant._layers import accumulator_layers
from brevitas_a2q.train._config import RunConfig, StartConfig
from brevitas_a2q.train._start import StartStep, quantize_start


class Patterns:
    """Inputs whose pixels belong together, as those of images do."""

    def examples(self, count: int) -> Tensor:
        generator = torch.Generator().manual_seed(0)
        coarse = torch.rand(count, 1, 3, 3, generator=generator)
        return nn.functional.interpolate(coarse, (8, 8), mode="bilinear")


def floating() -> nn.Module:
    torch.manual_seed(0)
    model = build_model("digits-cnn")
    model.train()(Patterns().examples(256))
    return model.eval()


def start(scale: str, method: Method = "projected") -> tuple[nn.Module, list[StartStep]]:
    steps: list[StartStep] = []
    images = {"calibrate_images": 128, "bias_correction_images": 128}
    config = RunConfig(
        quant=QuantSpec(method, 4, 4, 9),
        start=StartConfig(equalize=False, scale=scale, **images),  # type: ignore[arg-type]
    )
    return quantize_start(floating(), config, Patterns(), steps.append), steps


def error(model: nn.Module) -> float:
    x = Patterns().examples(200)[128:]
    with torch.no_grad():
        wanted, found = floating()(x), model(x)
    return float((found - wanted).square().sum() / (wanted - wanted.mean(0)).square().sum())


def test_solved_weights_are_nearer_to_the_float_network() -> None:
    searched, _ = start("search")
    solved, steps = start("ptq")
    assert any("solved for least output error in 3 layers" in step.message for step in steps)
    assert error(solved) < 0.7 * error(searched)
    for _, layer in accumulator_layers(solved):
        inputs = layer.weight_quant.input_range()
        assert layer.weight_quant.accumulator_bit_width == 9
        for row in layer.weight_quant.integer_weight().tolist():
            reach = exact_range(sum(q for q in row if q > 0), -sum(q for q in row if q < 0), inputs)
            assert accumulator_range(9).contains(reach)


def test_the_start_can_be_trained() -> None:
    model, _ = start("ptq")
    model.train()(Patterns().examples(16)).square().sum().backward()
    assert all(layer.weight.grad.abs().sum() > 0 for _, layer in accumulator_layers(model))


@pytest.mark.parametrize("method", ["a2q", "a2q+", "none"])
def test_layers_that_are_not_projected_are_left_alone(method: Method) -> None:
    model, _ = start("search", method)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    assert solve_weights_(model, Patterns().examples(32)) == 0
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
