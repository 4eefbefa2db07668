"""The network that is quantized and its float twin: which layers there are, and what each of them reads."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Final

import torch
from torch import nn
from torch.nn.parameter import UninitializedParameter
from torch.nn.utils import parametrize

from brevitas_a2q._brevitas import QuantProxyFromInjector
from brevitas_a2q._config import A2QConfig
from brevitas_a2q.convert._batch_norm import fold_batch_norms_
from brevitas_a2q.convert._brevitas_model import weight_layers
from brevitas_a2q.convert._by_hand import HandMultiplied, multiplied_by_hand
from brevitas_a2q.convert._constrain import check_is_python, constrained_
from brevitas_a2q.convert._float_model import FLOAT_LAYERS
from brevitas_a2q.convert._tracing import trace
from brevitas_a2q.convert._values import VALUE_QUANTIZERS, dataflow, name_of
from brevitas_a2q.errors import ModelError
from brevitas_a2q.ptq._held_out import check_twin
from brevitas_a2q.ptq._lockstep import Call
from brevitas_a2q.quant._bias import bias_is_budgeted

__all__ = ["Network", "Site", "float_twin", "prepare"]

_WIDE: Final = 32  # bits of an accumulator that is not to bind


@dataclass(frozen=True)
class Site:
    """A layer and where its input comes from.

    Attributes:
        name: Qualified name of the layer.
        value: Name of the value it reads; None where that cannot be told.
        alone: Whether it is the only reader of that value.
        shared: Whether a sum, an average or another function reads the value, too.
        rectified: Whether the value is never negative for a reason that FINN takes, a ReLU; an average is none.
    """

    name: str
    value: str | None
    alone: bool
    shared: bool
    rectified: bool = True


@dataclass(frozen=True, eq=False)
class Network:
    """A model whose quantizers are off, ready to be quantized layer by layer.

    Attributes:
        model: Made of ``brevitas.nn`` layers.
        sites: Of every layer, in the order in which they are defined.
        shared_values: Names of values that something else than layers reads.
        native: Whether it was a Brevitas model, whose activations stay as they are.
        by_hand: Layers by whose weights the model's code multiplies.
        integer_biases: Bit widths of the biases that are integers within the accumulator, by layer.
        calls: Layers in the order in which they run, where that has been seen.
    """

    model: nn.Module
    sites: Mapping[str, Site]
    shared_values: tuple[str, ...]
    native: bool
    by_hand: HandMultiplied = ()
    integer_biases: Mapping[str, int] = field(default_factory=dict)
    calls: tuple[str, ...] = ()

    @property
    def layers(self) -> dict[str, Any]:
        """Layers by name."""
        modules = dict(self.model.named_modules())
        return {name: modules[name] for name in self.sites}

    @property
    def value_modules(self) -> nn.ModuleDict:
        """Where the quantizers of values are, by name of the value."""
        found = getattr(self.model, VALUE_QUANTIZERS, None)
        return found if isinstance(found, nn.ModuleDict) else nn.ModuleDict()

    def twin(self) -> Network:
        """A copy."""
        return replace(self, model=copy.deepcopy(self.model))


def prepare(model: nn.Module, example: Call | None = None, by_hand: HandMultiplied = ()) -> Network:
    """The network of a model, which is left as it was.

    Args:
        model: A float model, or one of ``brevitas.nn``.
        example: Runs a model on a batch, to see what its code does that is no graph.
        by_hand: Layers by whose weights the model's code multiplies, where that is known.

    Raises:
        ModelError: It is none, it has no layer to quantize, or it cannot be copied.
    """
    check_is_python(model, "post-training quantization")
    lazy = [name for name, value in model.named_parameters() if isinstance(value, UninitializedParameter)]
    if lazy:
        raise ModelError(
            "has no values yet", where=f"parameter {lazy[0]}", expected="a trained network", remedy="run the model once"
        )
    try:
        twin = copy.deepcopy(model).cpu().float().eval()
    except (RuntimeError, TypeError) as error:
        raise ModelError(
            f"cannot be copied ({error})",
            where=f"model {type(model).__name__}",
            expected="a model copy.deepcopy accepts",
            remedy="make weights that are computed parameters (torch.nn.utils.remove_weight_norm, prune.remove)",
        ) from error
    _compute_parametrized_(twin)
    native = bool(weight_layers(twin))
    expected = None if example is None or native else _output(twin, example)
    network = _native(twin) if native else _from_float(twin, example, by_hand)
    if example is None:
        return network
    output, calls = _seen(network.twin(), example)
    if not native:
        check_twin(expected, output)
    return replace(network, calls=calls)


@torch.no_grad()
def _seen(network: Network, example: Call) -> tuple[Any, tuple[str, ...]]:
    """What a network gives, and its layers in the order in which they run."""
    calls = list[str]()
    for name, layer in network.layers.items():
        layer.register_forward_pre_hook(lambda module, inputs, name=name: calls.append(name))
    return example(network.model), tuple(calls)


def _compute_parametrized_(model: nn.Module) -> None:
    """Weights that are computed from others (weight and spectral norm) become parameters, in place."""
    for module in list(model.modules()):
        if parametrize.is_parametrized(module):
            for name in list(module.parametrizations):  # type: ignore[arg-type]
                parametrize.remove_parametrizations(module, name)


@torch.no_grad()
def _output(model: nn.Module, example: Call) -> Any:
    """What a float model gives; refuses attention that its layers could not compute."""

    def look(name: str) -> Any:
        def hook(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            inputs = [*args, *(kwargs[key] for key in ("query", "key", "value") if key in kwargs)][:3]
            if any(x is not inputs[0] for x in inputs):
                raise ModelError(
                    "found attention from one tensor to another",
                    where=f"layer {name}",
                    expected="self-attention",
                    remedy="compute its projections by nn.Linear, and F.scaled_dot_product_attention",
                )

        return hook

    modules = [(name, part) for name, part in model.named_modules() if isinstance(part, nn.MultiheadAttention)]
    handles = [module.register_forward_pre_hook(look(name), with_kwargs=True) for name, module in modules]
    try:
        return example(model)
    finally:
        for handle in handles:
            handle.remove()


def _from_float(model: nn.Module, example: Call | None, by_hand: HandMultiplied) -> Network:
    fold_batch_norms_(model)
    kinds = tuple(FLOAT_LAYERS)
    graph = trace(model, kinds)
    with torch.no_grad():
        run = None if example is None else partial(example, model)
        by_hand = by_hand or multiplied_by_hand(model, graph, run, kinds)
    flow = None if graph is None else dataflow(graph, dict(model.named_modules()), kinds)
    read: dict[str, list[tuple[str, bool, bool, bool]]] = {}
    for value in () if flow is None else flow.values:
        for name in value.layers:
            found = name_of(value), len(value.layers) == 1, not value.only_layers, value.unsigned
            read.setdefault(name, []).append(found)
    config = A2QConfig(accumulator_bit_width=_WIDE, skip_first_and_last=False, hand_multiplied=True)
    constrained_(model, config, by_hand=by_hand)
    sites = {}
    for name, layer in weight_layers(model):
        if layer.bias is None:
            outputs = layer.out_features if isinstance(layer, nn.Linear) else layer.out_channels
            layer.bias = nn.Parameter(torch.zeros(outputs, dtype=layer.weight.dtype))
        one = read.get(name, [])
        sites[name] = Site(name, *one[0]) if len(one) == 1 else Site(name, None, False, False)
    shared = tuple(name_of(value) for value in flow.values if not value.only_layers) if flow else ()
    network = Network(model, sites, shared, native=False, by_hand=by_hand)
    for name in network.value_modules:
        network.value_modules[name] = nn.Identity()
    _disable(model)
    return network


def _native(model: nn.Module) -> Network:
    """A Brevitas model keeps its activations: only weights are given up, and integer biases."""
    sites, integer_biases = {}, dict[str, int]()
    for name, layer in weight_layers(model):
        if not layer.weight_quant.is_quant_enabled or "bit_width" not in layer.weight_quant.quant_injector:
            continue  # float weights, or binary ones: of one size, with nothing to solve for
        if bias_is_budgeted(layer):
            integer_biases[name] = int(layer.bias_quant.quant_injector.bit_width)
        sites[name] = Site(name, None, False, False)
        for proxy in (layer.weight_quant, layer.bias_quant):
            proxy.disable_quant = True
    if not sites:
        raise ModelError(
            "found no layer with integer weights of several sizes",
            where=f"model {type(model).__name__}",
            expected="layers whose weights are quantized to 2 bits or more",
        )
    return Network(model, sites, (), native=True, integer_biases=integer_biases)


def float_twin(network: Network) -> Network:
    """The float network: a copy whose quantizers are all off."""
    twin = network.twin()
    _disable(twin.model)
    for part in twin.model.modules():
        module: Any = part
        if hasattr(module, "return_quant_tensor"):
            module.return_quant_tensor = False
    return twin


def _disable(model: nn.Module) -> None:
    for module in model.modules():
        if isinstance(module, QuantProxyFromInjector):
            module.disable_quant = True
