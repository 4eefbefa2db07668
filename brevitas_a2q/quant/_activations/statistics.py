"""Scales and zero-points while statistics of activations are collected, in step with Brevitas' own modules.

Their percentiles are found without sorting (:mod:`brevitas_a2q.quant._functional.selection`), and of what a ReLU in
front lets through, which need not be computed for that. Everything is kept where Brevitas keeps it, so that the two can
take turns.
"""

from __future__ import annotations

import itertools
import math
from typing import Any
from weakref import WeakSet, WeakValueDictionary

import torch
from brevitas import is_dynamo_compiling
from torch import Tensor, nn

from brevitas_a2q._brevitas import inplace_momentum_update, inplace_tensor_mul
from brevitas_a2q.quant._functional.registry import NAMESPACE
from brevitas_a2q.quant._functional.selection import MAGNITUDE, NEGATIVE, VALUE, kth_largest
from brevitas_a2q.quant._scripted import kind_of

__all__ = ["Clamp", "collect_for", "collecting_scale", "is_percentile"]

Clamp = tuple[float, float]

_KEYS = itertools.count()
_QUANTIZERS: WeakValueDictionary[str, nn.Module] = WeakValueDictionary()
_PERCENTILES = ("AbsPercentile", "PercentileInterval", "NegativePercentileOrZero")


def is_percentile(stats: nn.Module) -> bool:
    """Whether statistics are a percentile of the whole tensor."""
    return kind_of(stats) in _PERCENTILES and stats.stats_reduce_dim is None


def _percentile(stats: Any, x: Tensor, clamp: Clamp) -> tuple[Tensor, Tensor]:
    """``x`` (see :func:`kth_largest`) and the value."""
    count = x.numel()
    if kind_of(stats) == "AbsPercentile":
        rank = math.floor(0.01 * stats.q * count + 0.5)
        return kth_largest(x, count - rank + 1, MAGNITUDE, *clamp)
    low_q = stats.low_q if kind_of(stats) == "PercentileInterval" else stats.q
    x, negated = kth_largest(x, math.ceil(0.01 * low_q * count), NEGATIVE, *clamp)
    lowest = (-negated).clamp(max=0)
    if kind_of(stats) == "NegativePercentileOrZero":
        return x, lowest
    rank = math.floor(0.01 * stats.high_q * count + 0.5)
    x, highest = kth_largest(x, count - rank + 1, VALUE, *clamp)
    return x, (highest - lowest).abs()


def collect_for(quantizer: nn.Module) -> str:
    """A key under which operators find a quantizer, in this process; no number, which checkpoints would keep."""
    key = str(next(_KEYS))
    _QUANTIZERS[key] = quantizer
    return key


def _remember(scaling: Any, buffer: Tensor, found: Tensor) -> None:
    counter = scaling.counter
    if counter == 0:
        inplace_tensor_mul(buffer, found)
    else:
        inplace_momentum_update(buffer, found, scaling.momentum, counter, counter + 1)
    scaling.counter = counter + 1


def _learned(scaling: Any, threshold: Tensor) -> Tensor:
    """The scale when statistics are over."""
    threshold = scaling.restrict_threshold(scaling.restrict_threshold_pre(threshold))
    # A copy, because an operator may still change the parameter before its gradient is asked for.
    value = scaling.clamp_scaling(scaling.restrict_scaling(scaling.value.clone()))
    scale: Tensor = scaling.restrict_scale_threshold(value / threshold)
    return scale


# --- in compiled graphs -----------------------------------------------------------------------------------------------
# Compilers must not see the counter: they would take it for a constant, and compile in every step. An operator counts,
# and says whether it did. A quantizer that is called twice in a step is ready before others; its graph is left when all
# are, so that there is one graph while statistics are collected and one after.

_COLLECTING: WeakSet[nn.Module] = WeakSet()
_READY: WeakSet[nn.Module] = WeakSet()


@torch.library.custom_op(
    f"{NAMESPACE}::remember_statistics", mutates_args=("buffer", "value"), tags=torch.Tag.cudagraph_unsafe
)
def _remember_untraced(buffer: Tensor, value: Tensor, found: Tensor, key: str) -> Tensor:
    """Whether statistics are collected; if so, it is done."""
    quantizer: Any = _QUANTIZERS[key]
    scaling = quantizer.scaling_impl
    collects = scaling.counter < scaling.collect_stats_steps
    if collects:
        _COLLECTING.add(quantizer)
        _remember(scaling, buffer, found)
        if scaling.counter == scaling.collect_stats_steps:
            # What init_scale does, to the tensors that were given.
            scaling.restrict_inplace_preprocess(buffer)
            inplace_tensor_mul(value, buffer)
            scaling.counter += 1
            _leave(quantizer)
    return torch.full((), collects, device=found.device)


def _leave(quantizer: nn.Module) -> None:
    _COLLECTING.discard(quantizer)
    _READY.add(quantizer)
    if not _COLLECTING:
        for ready in list(_READY):
            ready.count()  # type: ignore[operator]
        _READY.clear()


@_remember_untraced.register_fake
def _(buffer: Tensor, value: Tensor, found: Tensor, key: str) -> Tensor:
    return found.new_empty((), dtype=torch.bool)


def collecting_scale(scaling: Any, x: Tensor, threshold: Tensor, clamp: Clamp, key: str) -> tuple[Tensor, Tensor]:
    """What ``ParameterFromRuntimeStatsScaling`` does in a step of its collection.

    Args:
        scaling: Such a module, whose statistics are a percentile.
        x: Before the clamp.
        threshold: What the scale is divided by.
        clamp: Of the activation in front.
        key: Of the quantizer; see :func:`collect_for`.

    Returns:
        ``x``, to be used in its place; and the scale.
    """
    x, found = _percentile(scaling.stats.stats_impl, x, clamp)
    found = found.view(scaling.value.shape) + 0.0 * scaling.value  # so that the parameter has a gradient
    found = scaling.clamp_scaling(found)
    collected = found / threshold
    if scaling.local_loss_mode:
        return x, collected
    if not is_dynamo_compiling():
        _remember(scaling, scaling.buffer, found.detach())
        return x, collected
    collects = _remember_untraced(scaling.buffer, scaling.value.detach(), found.detach(), key)
    return x, torch.where(collects, collected, _learned(scaling, threshold))
