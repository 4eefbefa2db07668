"""Re-initialize a quantizer without replacing its parameters."""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import nn

__all__ = ["adopt"]

_FLAGS = ("init_done", "norm_ready", "observer_only")

Module = TypeVar("Module", bound=nn.Module)


def _anatomy(module: nn.Module) -> list[tuple[object, ...]]:
    tensors = [*module.named_parameters(), *module.named_buffers()]
    parts: list[tuple[object, ...]] = [(name, type(part)) for name, part in module.named_modules()]
    parts.append(getattr(module, "configuration", ()))
    return parts + [(name, tensor.shape, tensor.dtype, tensor.device) for name, tensor in tensors]


def adopt(old: Module, new: Module) -> Module:
    """The state of ``new`` in the modules of ``old`` where the two are built alike; ``new`` itself otherwise.

    Brevitas builds a quantizer anew whenever a state dict is loaded or batch norm is merged. Values may change then,
    but an optimizer made before must keep stepping the parameters that the model uses.

    Returns:
        ``old``, with the values of ``new``; or ``new``.
    """
    inner = getattr(old, "_orig_mod", old)  # what torch.compile wraps
    if _anatomy(inner) != _anatomy(new):
        return new
    with torch.no_grad():
        for mine, theirs in zip(
            [*inner.parameters(), *inner.buffers()], [*new.parameters(), *new.buffers()], strict=True
        ):
            mine.copy_(theirs)
    for part, fresh in zip(inner.modules(), new.modules(), strict=True):
        for flag in _FLAGS:
            if hasattr(fresh, flag):
                setattr(part, flag, getattr(fresh, flag))
    return old
