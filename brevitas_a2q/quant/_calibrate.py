"""Activation scales from data."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from brevitas_a2q._brevitas import ActQuantProxyFromInjectorBase
from brevitas_a2q.quant._scripted import kind_of

with warnings.catch_warnings():
    # On import Brevitas' graph tools warn of an optional package and of a part of themselves that is to go.
    warnings.simplefilter("ignore")
    from brevitas_a2q._brevitas import calibration_mode

__all__ = ["calibrate", "calls_of", "scales_without_data"]


@torch.no_grad()
def calibrate(model: nn.Module, inputs: Any, batch_size: int = 128) -> None:
    """Set the scale of every activation quantizer from the float activations of these inputs, in place.

    Without it Brevitas collects statistics during the first 300 training steps, and short runs end while their scales
    still jump. Float models are left as they are.

    Args:
        model: Brevitas model; put in evaluation mode.
        inputs: A tensor of samples, a tuple of arguments, or a loader, whose items are either, or mappings of keyword
            arguments; of pairs of samples and labels that a loader gives the samples are taken.
        batch_size: Samples of a tensor per forward pass.
    """
    model.eval()
    with calibration_mode(model):
        for args, kwargs in calls_of(inputs, batch_size):
            model(*args, **kwargs)


def calls_of(inputs: Any, batch_size: int = 128) -> Iterator[tuple[tuple[Any, ...], dict[str, Any]]]:
    """Arguments of each pass over these inputs; see :func:`calibrate`."""
    if isinstance(inputs, Tensor):
        yield from (((part,), {}) for part in (inputs.split(batch_size) if inputs.dim() else (inputs,)))
    elif isinstance(inputs, Mapping):
        yield (), dict(inputs)
    elif isinstance(inputs, (tuple, list)) or not isinstance(inputs, Iterable):
        yield (tuple(inputs) if isinstance(inputs, (tuple, list)) else (inputs,)), {}
    else:
        for item in inputs:
            first = item[0] if isinstance(item, (tuple, list)) else item
            yield ((), dict(first)) if isinstance(first, Mapping) else ((first,), {})


def scales_without_data(model: nn.Module) -> tuple[str, ...]:
    """Names of activation quantizers whose scale is to come from data and has seen none."""
    found = []
    for name, proxy in model.named_modules():
        if isinstance(proxy, ActQuantProxyFromInjectorBase) and proxy.is_quant_enabled:
            for part in proxy.modules():
                if kind_of(part) == "ParameterFromRuntimeStatsScaling" and int(part.counter) == 0:
                    found.append(name.removesuffix(".act_quant"))
                    break
    return tuple(found)
