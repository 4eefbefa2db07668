"""The type of numbers that a model came in: given back where its integers stay what they are."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import nn

from brevitas_a2q.ptq._calibration import Batch, call, in_type
from brevitas_a2q.quant._layers import accumulator_layers

__all__ = ["TYPES", "Precision", "in_precision_of"]

TYPES: Final = {
    "float16": torch.float16,
    "bfloat16": torch.bfloat16,
    "float32": torch.float32,
    "float64": torch.float64,
}

_SOLVED: Final = torch.float32  # what layers are solved and judged in


@dataclass(frozen=True)
class Precision:
    """A quantized model and the type it computes in.

    Attributes:
        model: The model.
        dtype: Name of its type.
        reason: Why it is not the type that the model came in; None where it is.
    """

    model: nn.Module
    dtype: str
    reason: str | None = None


def in_precision_of(given: nn.Module, quantized: nn.Module, batch: Batch) -> Precision:
    """The quantized model in the type of the one that it was made from, or as it is with the reason.

    Args:
        given: Model as it came.
        quantized: What became of it, in single precision.
        batch: Of inputs.
    """
    found = {parameter.dtype for parameter in given.parameters() if parameter.is_floating_point()} or {_SOLVED}
    names = " and ".join(sorted(map(_name, found)))
    if found == {_SOLVED}:
        return Precision(quantized, _name(_SOLVED))
    if len(found) > 1:
        return Precision(quantized, _name(_SOLVED), f"it came with parameters of {names}")
    dtype = found.pop()
    other = copy.deepcopy(quantized).to(dtype)
    changed = _changed(quantized, other, in_type(batch, dtype))
    if changed is None:
        return Precision(other, names)
    return Precision(quantized, _name(_SOLVED), f"in {names} {changed}")


def _changed(before: nn.Module, after: nn.Module, batch: Batch) -> str | None:
    """What another type would change, None if nothing."""
    layers = dict(accumulator_layers(after))
    for name, layer in accumulator_layers(before):
        if _integers(layer) != _integers(layers[name]):
            return f"layer {name} would have other integers"
    try:
        with torch.no_grad():
            output = call(batch)(after)
    except (RuntimeError, TypeError, ValueError) as error:
        return f"it would not run ({str(error).splitlines()[0]})"
    parts = output if isinstance(output, (tuple, list)) else (output,)
    finite = all(bool(part.isfinite().all()) for part in parts if isinstance(part, torch.Tensor))
    return None if finite else "its output would not be finite"


def _integers(layer: Any) -> tuple[Any, ...]:
    proxy = layer.weight_quant
    bias = proxy.integer_bias()
    return proxy.integer_weight().tolist(), proxy.input_range(), None if bias is None else bias.tolist()


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
