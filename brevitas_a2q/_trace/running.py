"""Run a model that is being run once more, traced, from inside of one of its layers.

A layer that is asked for its weights before it knows its inputs learns them here: the outermost running module is run
once in evaluation mode. Nothing is installed beforehand and nothing stays; random numbers, modes and buffers are as
before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, TypeVar

import torch
from torch import nn

from brevitas_a2q._brevitas import kept_output_sizes
from brevitas_a2q._trace.calls import Call, as_written
from brevitas_a2q._trace.modules import evaluating, parts_of
from brevitas_a2q._trace.questions import run_both_ways
from brevitas_a2q._trace.standing import Standing
from brevitas_a2q._trace.state import NOTHING, Doubts, own_tensors
from brevitas_a2q._trace.tracing import Trace

__all__ = ["is_sharded", "learn_ranges", "repeated"]

T = TypeVar("T")
_REPEATS: Final = 4  # each finds something new that changes; then all of it is unknown


def is_sharded(model: nn.Module) -> bool:
    """Whether parts of the model gather their parameters only while they run, so that they cannot run inside a run."""
    if not torch.distributed.is_available() or not torch.distributed.is_initialized():
        return False
    from torch.distributed.fsdp import FSDPModule, FullyShardedDataParallel

    return any(isinstance(module, (FSDPModule, FullyShardedDataParallel)) for module in model.modules())


def learn_ranges(call: Call) -> Trace:
    """Run a call once more under a trace; layers note what they learn by themselves."""
    standing = Standing.of(call)

    def traced(doubts: Doubts) -> tuple[Trace, None]:
        trace = Trace(call.module, learning=True, doubts=doubts, standing=standing)
        with as_written(), _unchanged(call.module), evaluating(call.module), trace.running(call.args, call.kwargs):
            run_both_ways(trace.asked, call.module, call.args, call.kwargs)
        return trace, None

    trace = repeated(call.module, traced)[0]
    standing.leave_out(trace.counters)
    return trace


def repeated(model: nn.Module, traced: Callable[[Doubts], tuple[Trace, T]]) -> tuple[Trace, T]:
    """What a traced run finds, run again where the model changes what it computes with: there it is unknown.

    Args:
        model: The model that runs.
        traced: Runs it under a trace with these doubts; returns the trace, and what was found.
    """
    doubts = NOTHING
    for _ in range(_REPEATS):
        trace, found = traced(doubts)
        if trace.doubts == doubts:
            return trace, found
        doubts = trace.doubts
    return traced(Doubts(frozenset(own_tensors(model)), True))


@contextmanager
def _unchanged(model: nn.Module) -> Iterator[None]:
    """Random numbers, sizes asked for, and the buffers of modules other than quantizers are as before afterwards."""
    parts = list(parts_of(model))
    devices = {tensor.device.index for tensor in model.parameters() if tensor.is_cuda}
    held = [(f"{name}.{key}.", b) for name, part in parts for key, b in part._buffers.items()]
    buffers = [(b, b.clone()) for name, b in held if b is not None and "_quant." not in name]
    sizes = kept_output_sizes(part for _, part in parts)
    with sizes, torch.random.fork_rng(devices=sorted(d for d in devices if d is not None)):
        try:
            yield
        finally:
            with torch.no_grad():
                for buffer, before in buffers:
                    if not torch.equal(buffer, before):
                        buffer.copy_(before)
