"""How far the output of a quantized network is from the float network's, on data that it has not seen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from brevitas_a2q.errors import ModelError
from brevitas_a2q.ptq._calibration import Batch, call

__all__ = ["Agreement", "compare", "outputs"]


@dataclass(frozen=True)
class Agreement:
    """How a network's output compares with the float network's.

    Attributes:
        error: Squared difference, relative to the variance of the float output.
        agreement: Percent of samples with the same largest class; where the output is no vector of classes, what the
            error leaves of the variance.
    """

    error: float
    agreement: float


@torch.no_grad()
def outputs(model: nn.Module, batches: Sequence[Batch]) -> list[Tensor]:
    """The first tensor that the model gives for each batch."""
    return [_first(call(batch)(model)) for batch in batches]


def compare(expected: Sequence[Tensor], found: Sequence[Tensor]) -> Agreement:
    """Compare outputs.

    Args:
        expected: Of the float network, by batch.
        found: Of the quantized one.
    """
    wanted = torch.cat([y.double().reshape(len(y), -1) for y in expected]) if _same_size(expected) else _flat(expected)
    got = torch.cat([y.double().reshape(len(y), -1) for y in found]) if _same_size(expected) else _flat(found)
    variance = (wanted - wanted.mean(0)).square().sum()
    error = float((wanted - got).square().sum() / variance.clamp_min(1e-300))
    classes = expected[0].dim() == 2 and expected[0].shape[1] > 1
    if classes:
        same = (wanted.argmax(1) == got.argmax(1)).double().mean()
        return Agreement(error, 100 * float(same))
    return Agreement(error, 100 * max(0.0, 1 - error))


def _same_size(tensors: Sequence[Tensor]) -> bool:
    return len({tuple(y.shape[1:]) for y in tensors}) == 1 and tensors[0].dim() > 0


def _flat(tensors: Sequence[Tensor]) -> Tensor:
    return torch.cat([y.double().reshape(-1) for y in tensors])[:, None]


def _first(output: Any) -> Tensor:
    if isinstance(output, Tensor):
        return output.detach()
    if hasattr(output, "value") and isinstance(output.value, Tensor):  # a quantized tensor
        return output.value.detach()
    parts = list(output.values()) if isinstance(output, Mapping) else output
    for part in parts if isinstance(parts, Sequence) else ():
        if isinstance(part, Tensor) and part.is_floating_point():
            return part.detach()
    raise ModelError(
        f"found an output of type {type(output).__name__}", where="post-training quantization", expected="a tensor"
    )
