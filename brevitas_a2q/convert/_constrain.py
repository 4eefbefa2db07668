"""``constrain_``: make a model accumulator-aware in place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from brevitas.nn import QuantMultiheadAttention
from brevitas.quant_tensor import IntQuantTensor
from torch import nn

from brevitas_a2q._config import NONE, A2QConfig
from brevitas_a2q._terminal import progress
from brevitas_a2q._trace import Trace, evaluating
from brevitas_a2q.bounds import BIPOLAR, two_sided_budget
from brevitas_a2q.convert._brevitas_model import extend_quantizer_, weight_layers
from brevitas_a2q.convert._by_hand import HandMultiplied
from brevitas_a2q.convert._examples import examples, run_once
from brevitas_a2q.convert._float_model import FLOAT_LAYERS, InputType, quantize_float_model_
from brevitas_a2q.convert._hardware import obstacle
from brevitas_a2q.convert._order import first_and_last
from brevitas_a2q.convert._relus import quantize_relus_
from brevitas_a2q.convert._report import ConversionReport, ConversionRow
from brevitas_a2q.errors import ConfigError, ModelError
from brevitas_a2q.quant._activations import fuse_activations_
from brevitas_a2q.quant._calibrate import calibrate, scales_without_data
from brevitas_a2q.quant._compilation import make_traceable_
from brevitas_a2q.quant._layers import learn_input_ranges
from brevitas_a2q.quant._layout import WeightLayout
from brevitas_a2q.quant._proxy import AccumulatorAwareWeightQuantProxy
from brevitas_a2q.quant._scale_search import WHEN_FOUND
from brevitas_a2q.quant._scripted import kind_of
from brevitas_a2q.verify._torch_layers import UncoveredError, arguments
from brevitas_a2q.verify._torch_model import bounded

__all__ = ["check_is_python", "constrain_", "constrained_"]

_FIRST_OR_LAST = "first or last layer"
_NOT_RUN = "did not run on the example"
_BY_HAND = "did not run: the model multiplies by its weights itself (hand_multiplied=True converts it)"
_BY_RULE = "a rule says so"
_NO_METHOD = "its method is none"
_BINARY = ("BinaryQuant", "ClampedBinaryQuant")


def constrain_(model: nn.Module, config: A2QConfig | None = None, example_inputs: Any = None) -> ConversionReport:
    """Make a model accumulator-aware, in place.

    A Brevitas model keeps its activations, weights, bit widths and scales; only its weight quantizers change. A float
    model is quantized first: 8-bit weights and inputs unless the configuration says otherwise, float biases. Every
    value that layers, residual sums and averages read gets one quantizer where it is made, and sums and concatenations
    one scale, so that the network is integer from end to end. The model's ``forward`` becomes what ``torch.fx`` traced
    in evaluation mode with these quantizers in it: replace layers before, and save the state, not the object. A model
    that cannot be traced keeps its ``forward``, and each of its layers quantizes its own input.

    Args:
        model: Any Brevitas model, or any float model made of linear, convolutional and attention layers.
        config: What to do; None for the defaults.
        example_inputs: Input tensor, tuple of inputs, or a loader. A float model's activation scales are set from
            them: give a few hundred samples of the usual kind. Input ranges are learnt right away, so that the report
            can show N and the budget of every layer, and a layer whose input turns out not to be quantized is skipped
            instead of raising when the model runs.

    Returns:
        What was done to each layer.

    Raises:
        ConfigError: A rule that matches no layer, or a configuration that is none.
        DataError: Example inputs that are none; the model is as it was.
        ModelError: What is no model, has no layer to constrain, or does not run on the example inputs.

    Example:
        >>> model = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 2))
        >>> print(constrain_(model, A2QConfig(accumulator_bit_width=14, weight_bit_width=4, activation_bit_width=4)))
        layer  kind         method     M  N   P   K  budget  FINN  note
        -----  -----------  ---------  -  --  --  -  ------  ----  ----------------------------
        0      QuantLinear  -          8  s8  -   8  -       yes   skipped: first or last layer
        2      QuantLinear  projected  4  u4  14  8  546     yes
        4      QuantLinear  -          8  u8  -   8  -       yes   skipped: first or last layer
        scales of 3 activation quantizers have seen no data: give example_inputs, or train
    """
    config = A2QConfig() if config is None else config
    if not isinstance(config, A2QConfig):
        raise ConfigError(
            f"found {config!r} as configuration",
            where="constrain_",
            expected="an A2QConfig",
            remedy="pass A2QConfig(accumulator_bit_width=...), or A2QConfig.from_yaml(path)",
        )
    check_is_python(model, "constrain_")
    report = constrained_(model, config, example_inputs)
    quantize_relus_(model)
    return report


def constrained_(
    model: nn.Module, config: A2QConfig, example_inputs: Any = None, by_hand: HandMultiplied = ()
) -> ConversionReport:
    """:func:`constrain_`, but that every float operation stays what it is.

    Args:
        model: As there.
        config: As there.
        example_inputs: As there.
        by_hand: Layers by whose weights the model's code multiplies, where that is known.
    """
    inputs: Mapping[str, InputType] = {}
    every, first = examples(example_inputs)
    if weight_layers(model):
        inputs, unknown, calls = _arriving(model, first)
        skipped = _extend_brevitas_model_(model, config, unknown, calls)
    else:
        skipped, inputs = _convert_float_model_(model, config, first, by_hand)
        if every is not None:
            modes = [(module, module.training) for module in model.modules()]
            calibrate(model, every)
            for module, mode in modes:
                module.training = mode
    make_traceable_(model)
    unfused = fuse_activations_(model) if config.fused_activations else {}
    ran = _learn_ranges(model, first)
    if ran is not None:
        skipped = {name: _NOT_RUN for name, _ in weight_layers(model) if name not in ran} | skipped
    return ConversionReport(tuple(_rows(model, skipped, inputs)), tuple(unfused.items()), scales_without_data(model))


def check_is_python(model: Any, where: str) -> None:
    """Refuse what is no module, or one of TorchScript.

    Raises:
        ModelError: Says which.
    """
    if not isinstance(model, nn.Module) or isinstance(model, torch.jit.ScriptModule):
        raise ModelError(
            f"found {'a module of TorchScript' if isinstance(model, nn.Module) else type(model).__name__}",
            where=where,
            expected="a torch.nn.Module",
            remedy="convert the model that was scripted" if isinstance(model, nn.Module) else None,
        )


def _learn_ranges(model: nn.Module, example: Any) -> frozenset[str] | None:
    """Which layers ran; the first run also searches the scale of every layer's weights, most of the time."""
    constrained = sum(isinstance(module, AccumulatorAwareWeightQuantProxy) for module in model.modules())
    with progress("scales of weights", constrained) as step:
        token = WHEN_FOUND.set(step)
        try:
            return learn_input_ranges(model, example)
        finally:
            WHEN_FOUND.reset(token)


def _check_rules(config: A2QConfig, names: list[str]) -> None:
    if not names:
        raise ModelError("found no layer with weights", where="constrain_", expected="linear or convolutional layers")
    for rule in config.rules:
        if not any(rule.matches(name) for name in names):
            raise ConfigError(
                "matches no layer", where=f"rule {rule.pattern!r}", remedy=f"layers are {', '.join(names[:8])}"
            )


def _reason_by_config(config: A2QConfig, name: str, exempt: frozenset[str]) -> str | None:
    settings = config.for_layer(name)
    skip = settings.skip
    if skip:
        return _NO_METHOD if settings.method == NONE else _BY_RULE
    return _FIRST_OR_LAST if name in exempt and skip is None else None


def _convert_float_model_(
    model: nn.Module, config: A2QConfig, example: Any, by_hand: HandMultiplied
) -> tuple[dict[str, str], Mapping[str, InputType]]:
    """Returns: Reasons of the layers that are quantized but not constrained, and what reaches layers, by name."""
    names = []
    for name, module in model.named_modules():
        if isinstance(module, nn.MultiheadAttention):
            names += [f"{name}.in_proj", f"{name}.out_proj"]
        elif type(module) in FLOAT_LAYERS:
            names.append(name)
    _check_rules(config, names)
    run = None if example is None else run_once(model, example)
    quantized = quantize_float_model_(model, config, names, by_hand, run)
    reasons = {name: _reason_by_config(config, name, quantized.exempt) for name in names}
    left = dict.fromkeys(quantized.never_called, _BY_HAND)
    return left | {name: reason for name, reason in reasons.items() if reason is not None}, quantized.inputs


def _extend_brevitas_model_(
    model: nn.Module, config: A2QConfig, unknown: Mapping[str, str], calls: Sequence[str]
) -> dict[str, str]:
    """Returns: Reasons of the layers that were left as they are, by name; ``unknown``: of those without integers."""
    layers = weight_layers(model)
    names = [name for name, _ in layers]
    _check_rules(config, names)
    exempt = first_and_last(names, calls) if config.skip_first_and_last else frozenset[str]()
    skipped = dict[str, str]()
    for name, layer in layers:
        settings = config.for_layer(name)
        reason = _reason_by_config(config, name, exempt)
        if reason is None and not layer.weight_quant.is_quant_enabled:
            reason = "its weights are not quantized"
        if reason is None and kind_of(layer.weight_quant.tensor_quant) in _BINARY:
            reason = "its binary weights are all of one size: there is nothing to constrain"
        if reason is None and name in unknown and settings.input_bit_width is None:
            reason = f"its input is not quantized: {unknown[name]}"
        if reason is None:
            try:
                extend_quantizer_(layer, name, settings)
            except ModelError as error:
                reason = str(error)
        if reason is not None:
            skipped[name] = reason
    return skipped


def _arriving(model: nn.Module, example_inputs: Any) -> tuple[dict[str, InputType], dict[str, str], list[str]]:
    """Types of the integers that reach layers, and of other layers why none do, by name; and layers as they are called.

    Found by a trace of the operations before them, so that a plain tensor behind a quantizer is as good as any.
    """
    types, reasons, calls = dict[str, InputType](), dict[str, str](), list[str]()
    if example_inputs is None:
        return types, reasons, calls
    trace = Trace(model)

    def look(name: str, layer: Any, original: Any, x: Any, weight: Any, bias: Any) -> Any:
        calls.append(name)
        try:
            codes = bounded(name, layer, x, trace).codes
            assert codes is not None
            types[name] = InputType(codes.dtype.bit_width, codes.dtype.signed, by_layer=False)
        except UncoveredError as error:
            reasons.setdefault(name, error.found)
        return original(x, weight, bias)

    trace.calls = look
    given = arguments(model, example_inputs)
    with evaluating(model), trace.running(*given):
        model(*given)
    return types, reasons, calls


def _rows(model: nn.Module, skipped: dict[str, str], inputs: Mapping[str, InputType]) -> list[ConversionRow]:
    rows = []
    quantized = weight_layers(model)
    attentions = tuple(f"{name}." for name, part in model.named_modules() if isinstance(part, QuantMultiheadAttention))
    for name, layer in quantized:
        given = inputs.get(name)
        origins = None if given is None else given.origins
        between = ("attention",) if name.startswith(attentions) else origins
        rows.append(_row(name, layer, skipped.get(name), given, between))
    covered = {id(layer) for _, layer in quantized}
    for name, module in model.named_modules():
        unquantized = isinstance(module, (*FLOAT_LAYERS, nn.RNNBase)) and not hasattr(module, "weight_quant")
        if unquantized and id(module) not in covered:
            rows.append(_float_row(name, module))
    return rows


def _float_row(name: str, module: Any) -> ConversionRow:
    weight = getattr(module, "weight", None)
    size = WeightLayout.of(module).dot_product_size(tuple(weight.shape)) if weight is not None else 0
    reason = f"{type(module).__name__} is not quantized"
    kind = type(module).__name__
    return ConversionRow(name, kind, None, None, None, None, None, size, None, reason, f"no unit for {kind}")


def _row(
    name: str, layer: Any, reason: str | None, given: InputType | None, between: tuple[str, ...] | None
) -> ConversionRow:
    proxy = layer.weight_quant
    shape = tuple(layer.weight.shape)
    act: Any = getattr(layer, "input_quant", None)
    bits, signed = (None, None) if given is None else (given.bit_width, given.signed)
    budget = None
    if act is not None and act.is_quant_enabled:
        bits, signed = int(act.bit_width()), bool(act.is_signed)
    constrained = isinstance(proxy, AccumulatorAwareWeightQuantProxy) and reason is None
    if constrained:
        inputs = proxy.input_range()
        if inputs is not None:
            budget = two_sided_budget(proxy.accumulator_bit_width, inputs).max_positive_sum
            if bits is None:
                bits = 1 if inputs == BIPOLAR else inputs.bit_width - int(inputs.lo >= 0)
                signed = inputs.lo < 0
    return ConversionRow(
        name=name,
        kind=type(layer).__name__,
        method=proxy.method if constrained else None,
        weight_bit_width=_weight_bits(layer),
        input_bit_width=bits,
        input_signed=signed,
        accumulator_bit_width=proxy.accumulator_bit_width if constrained else None,
        dot_product_size=WeightLayout.of(layer).dot_product_size(shape),
        budget=budget,
        skipped_because=reason,
        hardware=obstacle(layer, between),
    )


@torch.no_grad()
def _weight_bits(layer: Any) -> int | None:
    proxy = layer.weight_quant
    if not proxy.is_quant_enabled:
        return None
    if "bit_width" in proxy.quant_injector:
        return int(proxy.quant_injector.bit_width)
    weights = proxy(layer.weight)  # binary and ternary quantizers know their own
    return int(weights.bit_width) if isinstance(weights, IntQuantTensor) else None
