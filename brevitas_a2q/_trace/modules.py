"""Modules of a model: its quantized layers, its mode, and what stands in for a layer's product."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import torch
from torch import nn

from brevitas_a2q._brevitas import QuantWeightBiasInputOutputLayer, _global_forward_hooks

__all__ = [
    "LayerCall",
    "clamps_its_own",
    "evaluating",
    "intercepted",
    "is_brevitas_product",
    "is_hooked",
    "parts_of",
    "quantized_layers",
]

_OURS = ("brevitas", "brevitas_a2q")
_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)


class LayerCall(Protocol):
    """What stands in for a layer's product: ``original`` computes it as Brevitas would."""

    def __call__(self, name: str, layer: Any, original: Any, x: Any, weight: Any, bias: Any) -> Any: ...


def quantized_layers(model: nn.Module) -> Iterator[tuple[str, Any]]:
    """Linear and convolutional layers of Brevitas in a model, with their names."""
    for name, module in parts_of(model):
        if isinstance(module, QuantWeightBiasInputOutputLayer) and isinstance(module, (nn.Linear, *_CONVOLUTIONS)):
            yield name or type(module).__name__, module


def parts_of(model: nn.Module, closed: tuple[type, ...] = ()) -> Iterator[tuple[str, nn.Module]]:
    """Modules with their names, each once, outer ones first; nothing of what lies inside of ``closed`` kinds.

    What ``named_modules`` yields, without a generator for each level: Brevitas nests its quantizers deeply.
    """
    seen: set[int] = set()
    waiting: list[tuple[str, nn.Module]] = [("", model)]
    while waiting:
        name, module = waiting.pop()
        if id(module) in seen:
            continue
        seen.add(id(module))
        yield name, module
        if not isinstance(module, closed):
            before = f"{name}." if name else ""
            waiting += [(before + key, part) for key, part in reversed(module._modules.items()) if part is not None]


def is_hooked(module: nn.Module) -> bool:
    """Whether forward hooks of the user's see what the module, or a part of it, returns; they can change it."""
    own = [hook for _, part in parts_of(module) for hook in part._forward_hooks.values()]
    return any(_package(hook) not in _OURS for hook in (*own, *_global_forward_hooks.values()))


def foreign_hooks(module: nn.Module) -> list[Any]:
    """Hooks of the user's on one module, which can change what it is given and returns."""
    if not (module._forward_hooks or module._forward_pre_hooks):
        return []
    hooks = (*module._forward_hooks.values(), *module._forward_pre_hooks.values())
    return [hook for hook in hooks if _package(hook) not in _OURS]


def clamps_its_own(module: nn.Module) -> bool:
    """Whether a quantizer of weights is Brevitas': some clamp them where they are, once, and they stay so."""
    return type(module).__module__.partition(".")[0] in _OURS and not foreign_hooks(module)


def is_brevitas_product(original: Any) -> bool:
    """Whether the method that multiplies in a layer is Brevitas' own, of the weights and inputs that it is given."""
    return _package(original) in _OURS


def _package(hook: Any) -> str:
    function = getattr(hook, "func", hook)  # of a partial one
    return str(getattr(function, "__module__", "")).partition(".")[0]


@contextmanager
def intercepted(model: nn.Module, call: LayerCall) -> Iterator[None]:
    """While active, ``call`` stands in for the product of every quantized layer."""
    patched = []
    try:
        for name, layer in quantized_layers(model):
            # An attribute of the instance hides the method of its class, or another attribute of the instance.
            patched.append((layer, vars(layer).get("inner_forward_impl")))
            layer.inner_forward_impl = _bound(call, name, layer, layer.inner_forward_impl)
        yield
    finally:
        for layer, before in reversed(patched):
            if before is None:
                del layer.inner_forward_impl
            else:
                layer.inner_forward_impl = before


def _bound(call: LayerCall, name: str, layer: Any, original: Any) -> Any:
    return lambda x, weight, bias: call(name, layer, original, x, weight, bias)


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Evaluation mode without gradients; every module's own mode is as before afterwards."""
    modes = [(module, module.training) for _, module in parts_of(model)]
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for module, mode in modes:
            module.training = mode
