"""Weights that are asked for many times while nothing changes are quantized once.

A certificate and an export run a network a dozen times; the projection of a hundred million weights takes seconds.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Final

import torch
from brevitas import is_dynamo_compiling
from torch import Tensor

__all__ = ["held_weights", "quantized"]

Quantized = tuple[Tensor, Tensor, Tensor, Tensor]  # dequantized weight, scale, zero-point, bit width


@dataclass(frozen=True, eq=False)
class _Held:
    """What was quantized, and all that it depends on."""

    kept: tuple[Tensor, ...]  # of the quantizer, and the weights
    versions: tuple[int, ...]  # of those when they were read
    made: tuple[Tensor, ...]  # anew for each call: scale and budget
    result: Quantized

    def is_of(self, kept: tuple[Tensor, ...], made: tuple[Tensor, ...]) -> bool:
        """Whether all of it is as it was; tensors that are others now may hold the same numbers."""
        if len(kept) != len(self.kept) or self.versions != tuple(tensor._version for tensor in self.kept):
            return False
        same = all(one is other or torch.equal(one, other) for one, other in zip(kept, self.kept, strict=True))
        return same and all(torch.equal(*pair) for pair in zip(made, self.made, strict=True))


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
    kept, made = (*quantizer.parameters(), *quantizer.buffers(), x), (scale, *budget)
    known = held.get(id(quantizer))
    if known is None or not known.is_of(kept, made):
        with torch.no_grad():
            result = quantizer(x, scale, budget)
        versions = tuple(tensor._version for tensor in kept)
        known = held[id(quantizer)] = _Held(kept, versions, tuple(tensor.clone() for tensor in made), result)
    return known.result
