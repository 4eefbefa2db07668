"""Weights that are asked for many times while nothing changes are quantized once.

A certificate and an export run a network a dozen times; the projection of a hundred million weights takes seconds.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Final

import torch
from brevitas import is_dynamo_compiling
from torch import Tensor

__all__ = ["Quantized", "constant_when_traced", "held_weights", "quantized"]

Quantized = tuple[Tensor, Tensor, Tensor, Tensor]  # dequantized weight, scale, zero-point, bit width


@dataclass(frozen=True, eq=False)
class _Held:
    """Copies of what was quantized, of all that it depends on, and of the result: models may write to any of them."""

    given: tuple[Tensor, ...]
    result: tuple[Tensor, ...]

    def is_of(self, given: tuple[Tensor, ...]) -> bool:
        """Whether the same numbers are given."""
        return len(given) == len(self.given) and all(map(torch.equal, given, self.given))


_HELD: Final[ContextVar[dict[int, _Held] | None]] = ContextVar("a2q_held_weights", default=None)


@contextmanager
def held_weights() -> Iterator[None]:
    """While active, a quantizer gives its weights again where all that they depend on is as it was; no gradients."""
    if _HELD.get() is not None:
        yield
        return
    token = _HELD.set({})
    try:
        yield
    finally:
        _HELD.reset(token)


def quantized(quantizer: Any, x: Tensor, scale: Tensor, budget: Any) -> Quantized:
    """Quantize weights, or give them again.

    Args:
        quantizer: Module called with the other three.
        x: Weights.
        scale: Of them.
        budget: Tuple of tensors.
    """
    held = None if is_dynamo_compiling() or quantizer.training else _HELD.get()
    if held is None or x.is_inference():
        fresh: Quantized = quantizer(x, scale, budget)
        return fresh
    given = (scale, *budget, *quantizer.parameters(), *quantizer.buffers(), x)
    known = held.get(id(quantizer))
    if known is None or not known.is_of(given):
        with torch.no_grad():
            known = held[id(quantizer)] = _Held(_copies(given), _copies(quantizer(x, scale, budget)))
    weight, its_scale, zero_point, bit_width = _copies(known.result)
    return weight, its_scale, zero_point, bit_width


def constant_when_traced(make: Callable[[Any, Tensor], Quantized]) -> Callable[[Any, Tensor], Quantized]:
    """Let weights be constants of what ``torch.jit.trace`` makes of a model in evaluation mode.

    They do not change any more, and the functions of Python that make them could not be saved.
    """

    @functools.wraps(make)
    def made(proxy: Any, x: Tensor) -> Quantized:
        tracing = torch._C._get_tracing_state()
        if proxy.training or tracing is None:
            return make(proxy, x)
        torch._C._set_tracing_state(None)  # type: ignore[attr-defined]
        try:
            with torch.no_grad():
                weight, scale, zero_point, bit_width = make(proxy, x)
                return weight.detach(), scale.detach(), zero_point.detach(), bit_width.detach()
        finally:
            torch._C._set_tracing_state(tracing)  # type: ignore[attr-defined]

    return made


def _copies(tensors: Iterable[Tensor]) -> tuple[Tensor, ...]:
    return tuple(tensor.detach().clone() for tensor in tensors)
