"""How the arithmetic of a run is done: device, precision, memory layout, compilation."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from subprocess import SubprocessError
from typing import Any

import torch
from torch import Tensor, nn

from brevitas_a2q._brevitas import ZeroZeroPoint
from brevitas_a2q.errors import ConfigError
from brevitas_a2q.train._config import RuntimeConfig
from brevitas_a2q.train._model_state import ModelState

__all__ = ["arithmetic", "autocast", "compiled", "lay_out_", "memory_format", "wants"]


def wants(setting: Any, device: torch.device) -> bool:
    """A setting that is true, or left to ``"auto"`` on a GPU."""
    return setting is True or (setting == "auto" and device.type == "cuda")


@contextmanager
def arithmetic(runtime: RuntimeConfig, device: torch.device) -> Iterator[None]:
    """Choose deterministic operations, or else the fastest, inside of the context.

    Of operations without a deterministic form, torch only warns. To the ones used here that cannot matter: the running
    sums are of integers, and of the k-th largest value only the value is used, not its place.
    """
    before = torch.are_deterministic_algorithms_enabled(), torch.backends.cudnn.benchmark
    warned_only = torch.is_deterministic_algorithms_warn_only_enabled()
    if runtime.deterministic and device.type == "cuda":
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS asks for it
    torch.use_deterministic_algorithms(runtime.deterministic, warn_only=True)
    torch.backends.cudnn.benchmark = not runtime.deterministic
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0], warn_only=warned_only)
        torch.backends.cudnn.benchmark = before[1]


def autocast(runtime: RuntimeConfig, device: torch.device) -> AbstractContextManager[object]:
    """The context that the network's training step runs in."""
    if runtime.amp == "none":
        return nullcontext()
    return torch.autocast(device.type, torch.bfloat16)


def memory_format(runtime: RuntimeConfig, device: torch.device) -> torch.memory_format:
    """Layout of images and weights."""
    return torch.channels_last if wants(runtime.channels_last, device) else torch.contiguous_format


def lay_out_(model: nn.Module, runtime: RuntimeConfig, device: torch.device) -> nn.Module:
    """Move a model to its device, in the memory layout of its training, in place.

    Zero-points that are always zero stay on the host: Brevitas looks at two of them in every layer and step, and a GPU
    would have to finish all of its work for each look. Operations take a single number from either side.
    """
    model.to(device).to(memory_format=memory_format(runtime, device))
    for module in model.modules():
        if isinstance(module, ZeroZeroPoint):
            module.cpu()
    return model


def compiled(
    model: nn.Module, runtime: RuntimeConfig, try_out: Callable[[Any], None], report: Callable[[str], None]
) -> Callable[[Tensor], Tensor]:
    """The model as the training step runs it: by ``torch.compile`` where that is wanted and works.

    The model itself stays as it is, for evaluation and export.

    Args:
        model: Already initialised, on its device.
        runtime: Settings.
        try_out: Runs one training step with what it is given; what it changes in the model is put back.
        report: Gets the message where compilation was left to us and failed.

    Raises:
        ConfigError: Compilation was asked for and failed.
    """
    from brevitas_a2q._brevitas import TorchDynamoException

    if not wants(runtime.compile, next(model.parameters()).device):
        return model
    faster: Callable[[Tensor], Tensor] = torch.compile(lambda images: model(images))  # the model gets no mark of it
    before = ModelState.of(model)
    try:
        try_out(faster)
    except (TorchDynamoException, RuntimeError, OSError, SubprocessError) as error:  # the last from compilers' drivers
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        if runtime.compile is True:
            remedy = "set runtime.compile to auto or false"
            raise ConfigError(f"torch.compile failed ({reason})", where="runtime", remedy=remedy) from error
        report(f"torch.compile failed ({reason}); training goes on without it")
        faster = model
    before.restore(model)
    return faster
