"""Inputs for the comparison of a model with its exported file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from brevitas_a2q.export._recording import Args, QuantizerCall

__all__ = ["stimuli"]


def stimuli(args: Args, calls: Mapping[str, Sequence[QuantizerCall]], seed: int = 0) -> Iterator[tuple[str, Args]]:
    """The example inputs, random ones and extremes, each with the shapes of ``args``.

    Values are spread over what the input's quantizer can represent, and a little beyond. "Boundaries" lie exactly
    half-way between two codes, where rounding to even decides. An input that no quantizer reads goes beyond its example
    by a factor of 2 only: a float layer's sums of huge numbers cancel to what the order of additions decides.

    Args:
        args: Example inputs; what is not a float tensor is passed on as it is.
        calls: What the quantizers gave for ``args``.
        seed: Of the random inputs.

    Yields:
        A name and the inputs.
    """
    generator = torch.Generator().manual_seed(seed)
    yield "example", args
    for kind in ("random", "boundaries", "lowest", "highest", "alternating", "beyond"):
        yield kind, tuple(_like(arg, kind, _quantizer_of(arg, calls), generator) for arg in args)


def _quantizer_of(arg: object, calls: Mapping[str, Sequence[QuantizerCall]]) -> QuantizerCall | None:
    activations = (call for several in calls.values() for call in several if not call.is_parameter)
    shape = tuple(arg.shape) if isinstance(arg, Tensor) else None
    return next((call for call in activations if call.value.shape == shape), None)


def _like(arg: object, kind: str, call: QuantizerCall | None, generator: torch.Generator) -> object:
    if not isinstance(arg, Tensor) or not arg.is_floating_point():
        return arg
    step, low, high = _grid(arg, call)
    far = 2 if call is None else 1e6
    uniform = torch.rand(arg.shape, generator=generator, dtype=torch.float32)
    index = torch.arange(arg.numel()).reshape(arg.shape)
    values = {
        "random": step * (low - 1 + uniform * (high - low + 2)),
        "boundaries": step * ((low - 1 + uniform * (high - low + 1)).floor() + 0.5),
        "lowest": torch.full(arg.shape, step * low),
        "highest": torch.full(arg.shape, step * high),
        "alternating": torch.where(index % 2 == 0, step * low, step * high),
        "beyond": torch.where(uniform < 0.5, -1.0, 1.0) * far * step * max(abs(low), abs(high), 1),
    }[kind]
    return values.to(arg.dtype).to(arg.device)


def _grid(arg: Tensor, call: QuantizerCall | None) -> tuple[float, int, int]:
    """Step and lowest and highest multiple of it that the input's quantizer gives (of the example, without one)."""
    if call is None or call.scale.size != 1:
        largest = float(arg.detach().abs().max()) if arg.numel() else 1.0
        return (largest or 1.0) / 128, -128, 127
    low = -(1 << (call.bit_width - 1)) if call.signed else 0
    zero_point = round(float(np.mean(call.zero_point)))
    return float(call.scale.flat[0]), low - zero_point, low + (1 << call.bit_width) - 1 - zero_point
