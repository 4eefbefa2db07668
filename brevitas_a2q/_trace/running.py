"""Run the model that is being run once more, traced, from inside of one of its layers.

A layer that is asked for its weights before it knows its inputs learns them here: the outermost running module is
found on the call stack, with what it was called with, and run once in evaluation mode. Nothing is installed beforehand
and nothing stays; random numbers, modes and buffers are as before.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Any, Final

import torch
from torch import nn

from brevitas_a2q._trace.modules import evaluating
from brevitas_a2q._trace.tracing import Trace

__all__ = ["Call", "is_sharded", "learn_ranges", "outermost_call"]

_CALL: Final = nn.Module._call_impl.__code__
_WRAPPERS: Final = (nn.parallel.DistributedDataParallel, nn.DataParallel)


@dataclass(frozen=True, eq=False)
class Call:
    """A module and what it was called with."""

    module: nn.Module
    args: tuple[Any, ...]
    kwargs: dict[str, Any]


def outermost_call() -> Call | None:
    """The outermost module that is running in this thread, if any; of one wrapped for parallel training, the inside."""
    found: Call | None = None
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        if frame.f_code is _CALL:
            names = frame.f_locals
            if not isinstance(names.get("self"), _WRAPPERS):
                found = Call(names["self"], tuple(names["args"]), dict(names["kwargs"]))
        frame = frame.f_back
    return found


def is_sharded(model: nn.Module) -> bool:
    """Whether parts of the model gather their parameters only while they run, so that they cannot run inside a run."""
    if not torch.distributed.is_available() or not torch.distributed.is_initialized():
        return False
    from torch.distributed.fsdp import FSDPModule, FullyShardedDataParallel

    return any(isinstance(module, (FSDPModule, FullyShardedDataParallel)) for module in model.modules())


def learn_ranges(call: Call) -> Trace:
    """Run a call once more under a trace; layers note what they learn by themselves."""
    trace = Trace(call.module, learning=True)
    with _unchanged(call.module), evaluating(call.module), trace.running(call.args, call.kwargs):
        call.module(*call.args, **call.kwargs)
    return trace


@contextmanager
def _unchanged(model: nn.Module) -> Iterator[None]:
    """Random numbers and the buffers of modules other than quantizers are as before afterwards."""
    devices = {tensor.device.index for tensor in model.parameters() if tensor.is_cuda}
    buffers = [(buffer, buffer.clone()) for name, buffer in model.named_buffers() if "_quant." not in f"{name}."]
    with torch.random.fork_rng(devices=sorted(d for d in devices if d is not None)):
        try:
            yield
        finally:
            with torch.no_grad():
                for buffer, before in buffers:
                    if not torch.equal(buffer, before):
                        buffer.copy_(before)
