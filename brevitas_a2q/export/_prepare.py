"""The copy of a model that is exported: in float32, on the CPU, with the integers that were trained."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from brevitas.quant_tensor import QuantTensor
from torch import Tensor, nn

from brevitas_a2q.errors import ModelError
from brevitas_a2q.export._recording import Args, Recording, frozen_weights, quantizers, record

__all__ = ["Prepared", "prepare"]


@dataclass(frozen=True, eq=False)
class Prepared:
    """A copy of the model that exporters may change, and its example inputs."""

    model: nn.Module
    args: Args
    trained: Recording  # what the original gives for the example inputs
    converted: bool  # whether the original was of another type than float32, or elsewhere than on the CPU

    @contextmanager
    def with_trained_weights(self) -> Iterator[None]:
        """While active, the copy has the integer weights of the original, whatever type that computed them in."""
        with frozen_weights(self.model, self.trained.calls) if self.converted else nullcontext():
            yield


def prepare(model: nn.Module, args: Any) -> Prepared:
    """Check a model and copy it; the model itself is never touched.

    Args:
        model: A Brevitas model in evaluation mode.
        args: One example input, or a tuple of them, with which ``model(*args)`` runs.

    Raises:
        ModelError: In training mode, without quantizers, or not to be run on these inputs.
    """
    where = f"model {type(model).__name__}"
    inputs = _checked_args(args, where)
    # What an exporter of Brevitas left behind is no part of the network.
    modules = ((name, part) for name, part in model.named_modules() if not name.endswith("export_handler"))
    training = next((name or "the model itself" for name, module in modules if module.training), None)
    if training is not None:
        raise ModelError(
            f"is in training mode ({training})", where=where, expected="evaluation mode", remedy="call model.eval()"
        )
    if not quantizers(model):
        raise ModelError("has no Brevitas quantizer", where=where, expected="layers of brevitas.nn with weight_quant=")
    try:
        twin = copy.deepcopy(model)
    except (RuntimeError, TypeError) as error:
        raise ModelError(f"cannot be copied: {error}", where=where, expected="a model copy.deepcopy accepts") from error
    trained = record(twin, inputs)
    _disable_unused(twin, trained)
    plain = all(tensor.dtype == torch.float32 and tensor.device.type == "cpu" for tensor in _floats(twin))
    if not plain:
        twin, inputs = twin.float().cpu(), tuple(_as_float32(value) for value in inputs)
    return Prepared(twin, inputs, trained, not plain)


def _disable_unused(model: nn.Module, trained: Recording) -> None:
    # Exporters ask every quantizer for its scale, and one that nothing has reached may have none.
    used = {id(model.get_submodule(name)) for name in trained.calls}
    for quantizer in quantizers(model).values():
        if id(quantizer) not in used:
            quantizer.disable_quant = True


def _checked_args(args: Any, where: str) -> Args:
    inputs = args if isinstance(args, tuple) and not isinstance(args, QuantTensor) else (args,)
    for value in inputs:
        if isinstance(value, QuantTensor) or not isinstance(value, Tensor):
            raise ModelError(
                f"found an example input of type {type(value).__name__}",
                where=where,
                expected="a tensor or a tuple of tensors",
                remedy="start the model with a QuantIdentity instead of passing quantized tensors",
            )
    return inputs


def _floats(model: nn.Module) -> Iterator[Tensor]:
    for tensor in (*model.parameters(), *model.buffers()):
        if tensor.is_floating_point():
            yield tensor


def _as_float32(value: Tensor) -> Tensor:
    return value.detach().cpu().float() if value.is_floating_point() else value.detach().cpu()
