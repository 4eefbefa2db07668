"""From float weights to the start of quantization-aware training."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from torch import Tensor, nn

from brevitas_a2q._config import NONE, A2QConfig
from brevitas_a2q.convert import constrain_
from brevitas_a2q.convert._brevitas_model import extend_quantizer_
from brevitas_a2q.errors import ConfigError
from brevitas_a2q.models import build_model, load_float_weights
from brevitas_a2q.models._registry import model_entry
from brevitas_a2q.models._spec import QuantSpec
from brevitas_a2q.ptq._start import solve_weights_
from brevitas_a2q.quant._calibrate import calibrate
from brevitas_a2q.quant._init import ep_init_, scale_init_
from brevitas_a2q.quant._layers import accumulator_layers, learn_input_ranges
from brevitas_a2q.train._bias_correction import correct_bias_
from brevitas_a2q.train._config import RunConfig
from brevitas_a2q.train._equalize import equalize_

__all__ = ["Examples", "StartStep", "quantize_start", "quantized_form"]

_FEW = 256  # images that weights are solved for, where none are asked for
_FIRST_LOOK = 8  # images that tell layers the type of their inputs; values do not matter


class Examples(Protocol):
    """What a data set must offer here."""

    def examples(self, count: int) -> Tensor:
        """The first training inputs, not augmented.  # shape: (count, channels, height, width)"""
        ...


@dataclass(frozen=True)
class StartStep:
    """One thing that was done to the network, for progress messages and records."""

    name: str
    message: str
    seconds: float

    def to_json(self) -> dict[str, Any]:
        """All fields."""
        return asdict(self)


def quantized_form(float_model: nn.Module, config: RunConfig) -> nn.Module:
    """The quantized form of a network with the weights of its float form, before any initialization.

    A network of the package has a quantized form of its own; any other gets it from
    :func:`brevitas_a2q.constrain_`. The state of a trained network loads into either.

    Args:
        float_model: The float form; it is left as it was.
        config: Says which network, how it is quantized, and which layers have an accumulator of their own width.

    Raises:
        ConfigError: A layer rule that matches no constrained layer, or weights of another network.
    """
    spec = _spec(config)
    if spec.method == NONE and config.layer_rules:
        raise ConfigError(
            "found layer_rules with the method 'none'", where="run", expected="a method that constrains layers"
        )
    conversion = spec.conversion(config.layer_rules)
    if model_entry(config.model).converted:
        model = copy.deepcopy(float_model)
        constrain_(model, conversion)
    else:
        model = build_model(config.model, spec, **config.model_options)
        load_float_weights(model, float_model.state_dict())
        _apply_rules(model, conversion)
    return model


def quantize_start(
    float_model: nn.Module,
    config: RunConfig,
    data: Examples,
    on_step: Callable[[StartStep], None] | None = None,
) -> nn.Module:
    """Quantize a float network and bring it to where quantization-aware training starts.

    In this order, each where ``config.start`` asks for it: equalization of the float network, its quantized form,
    activation scales, weight scales, weights, EP-init, bias correction. Nothing is drawn at random.

    Args:
        float_model: The float form with the weights to start from; it is left as it was.
        config: What to do.
        data: Training data; its examples decide on the device.
        on_step: Called after each step.

    Returns:
        The quantized network in evaluation mode.

    Raises:
        ConfigError: See :func:`quantized_form`.
        ModelError: The network cannot be traced for equalization, or a layer's input is not quantized.
    """
    start = config.start
    log = _Log(on_step)
    first = data.examples(_FIRST_LOOK)
    source = copy.deepcopy(float_model).to(first.device).eval()
    if start.equalize:
        with log.step("equalization") as say:
            say(f"{equalize_(source)} groups of layers share their ranges")
    with log.step("quantized form") as say:
        model = quantized_form(source, config).to(first.device).eval()
        say(_describe(model))
    if start.calibrate_images:
        with log.step("activation scales") as say:
            images = data.examples(start.calibrate_images)
            calibrate(model, images)
            say(f"from {len(images)} training inputs")
    with log.step("weight scales") as say:
        _start_from_statistics(model, first)
        searched = scale_init_(model) if start.scale != "stats" else []
        say(f"searched within the budget in {len(searched)} layers" if searched else "from the largest weights")
    if start.scale == "ptq":
        with log.step("weights") as say:
            solved = solve_weights_(model, data.examples(start.calibrate_images or _FEW).cpu())
            say(f"solved for least output error in {solved} layers")
    if start.ep_init:
        with log.step("EP-init") as say:
            say(f"{len(ep_init_(model))} layers; those that project in every step need none")
    if start.bias_correction_images and start.calibrate_images:  # without activation scales, means would be of noise
        with log.step("bias correction") as say:
            images = data.examples(start.bias_correction_images)
            say(f"{correct_bias_(model, source, images)} layers, from {len(images)} training inputs")
    return model


class _Log:
    """Times steps and passes them on."""

    def __init__(self, on_step: Callable[[StartStep], None] | None) -> None:
        self._on_step = on_step

    @contextmanager
    def step(self, name: str) -> Iterator[Callable[[str], None]]:
        messages: list[str] = []
        started = time.perf_counter()
        yield messages.append
        if self._on_step is not None:
            self._on_step(StartStep(name, " ".join(messages), time.perf_counter() - started))


def _spec(config: RunConfig) -> QuantSpec:
    if config.quant is None:
        raise ConfigError("found no quant", where="run", expected="bit widths and a method", remedy="set `quant`")
    return config.quant


def _apply_rules(model: nn.Module, conversion: A2QConfig) -> None:
    """Give the constrained layers that a rule matches the width it says."""
    layers = dict(accumulator_layers(model))
    for rule in conversion.rules if layers else ():
        if not any(rule.matches(name) for name in layers):
            raise ConfigError(
                "matches no constrained layer",
                where=f"layer_rules, {rule.pattern!r}",
                remedy=f"they are {', '.join(list(layers)[:8])}",
            )
    for name, layer in layers.items():
        settings = conversion.for_layer(name)
        if settings.accumulator_bit_width != layer.weight_quant.accumulator_bit_width:
            extend_quantizer_(layer, name, settings)


def _start_from_statistics(model: nn.Module, first: Tensor) -> None:
    """Let layers see an input, and start every scale at the largest weight, as the papers do, until it is searched.

    The projection would search its scale right here, and ``scale_init_`` do it again.
    """
    quantizers = [layer.weight_quant.tensor_quant for _, layer in accumulator_layers(model)]
    asked = [quantizer.budget_aware_scale for quantizer in quantizers]
    for quantizer in quantizers:
        quantizer.budget_aware_scale = False
    learn_input_ranges(model, first)
    for quantizer, flag in zip(quantizers, asked, strict=True):
        quantizer.budget_aware_scale = flag


def _describe(model: nn.Module) -> str:
    widths = sorted({layer.weight_quant.accumulator_bit_width for _, layer in accumulator_layers(model)})
    if not widths:
        return "no layer is constrained"
    span = f"{widths[0]}" if len(widths) == 1 else f"{widths[0]} to {widths[-1]}"
    return f"{len(list(accumulator_layers(model)))} layers within {span} accumulator bits"
