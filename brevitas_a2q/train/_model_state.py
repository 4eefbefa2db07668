"""The whole state of a model: more than its ``state_dict`` holds, and put back without anything being built anew.

Brevitas leaves running statistics out of state dicts, counts batches in plain attributes, and rebuilds quantizers
whenever a state dict is loaded. Training that is to go on bit by bit needs all of it, as it was.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from brevitas_a2q.errors import ModelError

__all__ = ["ModelState", "model_tensors"]

Plain = bool | int | float


def model_tensors(model: nn.Module) -> dict[str, Tensor]:
    """Every parameter and buffer by name, shared ones once."""
    return {**dict(model.named_parameters()), **dict(model.named_buffers())}


@dataclass(frozen=True)
class ModelState:
    """Tensors by name, and the plain attributes (numbers and flags) of each module."""

    tensors: Mapping[str, Tensor]
    attributes: Mapping[str, Mapping[str, Plain]]

    @classmethod
    def of(cls, model: nn.Module) -> ModelState:
        """A copy of the model's state."""
        return cls(
            {name: tensor.detach().clone() for name, tensor in model_tensors(model).items()},
            {name: _plain_attributes(module) for name, module in model.named_modules()},
        )

    @torch.no_grad()
    def restore(self, model: nn.Module) -> None:
        """Put everything back, in place; parameters keep their identity.

        Raises:
            ModelError: The model is not built as the one the state was taken of.
        """
        own, modules = model_tensors(model), dict(model.named_modules())
        wrong = set(own) ^ set(self.tensors) or {name for name in own if own[name].shape != self.tensors[name].shape}
        wrong |= set(self.attributes) - set(modules)
        if wrong:
            raise ModelError(
                f"found the state of another network ({', '.join(sorted(wrong)[:3])})",
                expected=f"that of this {type(model).__name__}",
            )
        for name, tensor in own.items():
            tensor.copy_(self.tensors[name])
        for name, attributes in self.attributes.items():
            for attribute, value in attributes.items():
                setattr(modules[name], attribute, value)


def _plain_attributes(module: nn.Module) -> dict[str, Any]:
    return {name: value for name, value in vars(module).items() if type(value) in (bool, int, float)}
