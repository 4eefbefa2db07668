"""Which call of a model is being run: the outermost module on the call stack, and what it was called with."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from types import FrameType
from typing import Any, Final

import torch
from torch import nn

__all__ = ["Call", "as_written", "outermost_call", "uncompiled"]

_CALL: Final = nn.Module._call_impl.__code__
_WRAPPERS: Final = (nn.parallel.DistributedDataParallel, nn.DataParallel)


@dataclass(frozen=True, eq=False)
class Call:
    """A module and what it was called with."""

    module: nn.Module
    args: tuple[Any, ...]
    kwargs: dict[str, Any]


def uncompiled(model: nn.Module) -> nn.Module:
    """The model that ``torch.compile`` has wrapped; any other as it is."""
    inside: nn.Module = getattr(model, "_orig_mod", model)
    return inside


@contextmanager
def as_written() -> Iterator[None]:
    """Parts that are compiled run as they are written; before torch 2.6 nothing can be done about them."""
    stance = getattr(torch.compiler, "set_stance", None)
    with nullcontext() if stance is None else stance("force_eager"):
        yield


def outermost_call() -> Call | None:
    """The outermost module that is running in this thread, if any; of one wrapped for parallel training, the inside."""
    frames = []
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        if frame.f_code is _CALL:
            frames.append(frame)
        frame = frame.f_back
    for running in reversed(frames):
        names = running.f_locals
        if not isinstance(names.get("self"), _WRAPPERS):
            return Call(uncompiled(names["self"]), tuple(names["args"]), dict(names["kwargs"]))
    return None
