"""One process or many: what a training run needs to know of the others.

Several processes are started by ``accelerate launch`` (or ``torchrun``), one for each GPU, on one machine or more. Each
trains on its shard of every batch; gradients are averaged, so that all take the same step as one process would (batch
norm aside, whose statistics are each shard's own). Only the main process writes.
"""

from __future__ import annotations

import os

import torch
import torch.distributed as dist
from torch import Tensor, nn

from brevitas_a2q._extras import need
from brevitas_a2q.errors import ConfigError, ModelError
from brevitas_a2q.train._model_state import model_tensors

__all__ = ["SINGLE", "Processes", "start_processes"]


class Processes:
    """This process among ``count``.

    Args:
        rank: Number of this process, from 0.
        count: How many there are; with 1 nothing is communicated.
        device: What this process computes on.
    """

    def __init__(self, rank: int, count: int, device: torch.device) -> None:
        self.rank, self.count, self.device = rank, count, device

    @property
    def is_main(self) -> bool:
        """Whether this is the one that writes."""
        return self.rank == 0

    def shard(self, batch: Tensor) -> Tensor:
        """This process's part of a batch; all parts are equally long, so up to ``count - 1`` examples are left out."""
        size = len(batch) // self.count
        return batch[self.rank * size : (self.rank + 1) * size]

    def average_gradients(self, model: nn.Module) -> None:
        """Replace the gradients by their mean over the processes, in one message."""
        if self.count == 1:
            return
        gradients = [p.grad for p in model.parameters() if p.grad is not None]
        joined = torch.cat([gradient.reshape(-1) for gradient in gradients])
        dist.all_reduce(joined)
        joined /= self.count
        for gradient, part in zip(gradients, joined.split([g.numel() for g in gradients]), strict=True):
            gradient.copy_(part.view_as(gradient))

    def total(self, value: Tensor) -> Tensor:
        """Sum over the processes."""
        if self.count > 1:
            value = value.clone()
            dist.all_reduce(value)
        return value

    def broadcast(self, model: nn.Module) -> None:
        """Give every process the main one's parameters and buffers; constants that stay on the host need no sending."""
        if self.count > 1:
            for tensor in model_tensors(model).values():
                if tensor.device.type == self.device.type:
                    dist.broadcast(tensor.detach(), 0)

    def average_buffers(self, model: nn.Module) -> None:
        """Replace running statistics by their mean over the processes; other buffers are the same in all."""
        if self.count > 1:
            for buffer in model.buffers():
                if buffer.is_floating_point() and buffer.device.type == self.device.type:
                    dist.all_reduce(buffer)
                    buffer /= self.count

    def require_agreement(self, model: nn.Module) -> None:
        """Check that parameters and buffers have the same bits in all processes.

        Raises:
            ModelError: They differ.
        """
        if self.count == 1:
            return
        sums = torch.stack([_bits(tensor).to(self.device) for tensor in model_tensors(model).values()])
        low, high = sums.clone(), sums.clone()
        dist.all_reduce(low, dist.ReduceOp.MIN)
        dist.all_reduce(high, dist.ReduceOp.MAX)
        if not torch.equal(low, high):
            wrong = [name for name, same in zip(model_tensors(model), (low == high).tolist(), strict=True) if not same]
            raise ModelError(
                f"found {', '.join(wrong[:3])} to differ between processes",
                where=f"process {self.rank}",
                expected="the same network in all",
                remedy="calibrate before training (start.calibrate_images), so that no process collects its own scales",
            )

    def wait(self) -> None:
        """Wait until every process is here."""
        if self.count > 1:
            dist.barrier()


SINGLE = Processes(0, 1, torch.device("cpu"))
"""One process on the CPU."""


def _bits(tensor: Tensor) -> Tensor:
    """A checksum of the bits, position included.  # shape: ()"""
    raw = tensor.detach().contiguous().reshape(-1).view(torch.uint8).long()
    return (raw * (torch.arange(len(raw), device=raw.device) % 65521 + 1)).sum()


def start_processes(device: str) -> Processes:
    """Find out what was launched, and join the others if there are any.

    Args:
        device: ``"auto"``, or a device by torch's name.

    Raises:
        ConfigError: No such device here, or several processes without `accelerate`.
    """
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count == 1:
        return Processes(0, 1, _find(device))
    need(f"training on {count} processes", "accelerate")
    from accelerate import PartialState

    on_cpu = device == "cpu" or not torch.cuda.is_available()
    state = PartialState(cpu=on_cpu)
    return Processes(state.process_index, state.num_processes, torch.device(state.device))


def _find(device: str) -> torch.device:
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        found = torch.device(device)
        if found.type not in ("cpu", "cuda"):
            raise RuntimeError("not supported")
        torch.empty(0, device=found)
    except (RuntimeError, AssertionError) as error:  # AssertionError: torch was built without CUDA
        reason = str(error).splitlines()[0]
        raise ConfigError(f"found device {device!r} ({reason})", where="runtime", remedy="use auto or cpu") from error
    return found
